// SPDX-License-Identifier: GPL-2.0-or-later
// See utilization.h. An own change is a change of the configuration, too: so what was set is read again, once.
#include "migrationd/io/utilization.h"

#include <string_view>

#include <pugixml.hpp>

#include "migrationd/io/process.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds query_limit{10'000};
/// A configuration with thousands of resources.
constexpr std::size_t largest_answer = 64 * 1024 * 1024;

/// Whether the primitive's own attribute `name` is as it is to be. What it has from a template is none of its own.
bool as_wanted(pugi::xml_node primitive, const std::string& name, const std::optional<std::uint64_t>& value) {
  bool found = false;
  for (pugi::xml_node set : primitive.children("utilization")) {
    for (pugi::xml_node pair : set.children("nvpair")) {
      if (name != pair.attribute("name").value()) continue;
      found = true;
      if (!value || std::to_string(*value) != pair.attribute("value").value()) return false;
    }
  }
  return found == value.has_value();
}

/// Also where a template says the agent. Of a resource that went to another agent a daemon knows still until its next start.
bool is_ours(const pugi::xml_document& document, pugi::xml_node primitive) {
  const std::string model = primitive.attribute("template").value();
  const pugi::xml_node says = model.empty() ? primitive : document.child("resources").find_child_by_attribute("template", "id", model.c_str());
  const auto has = [&](const char* name, const char* value) { return std::string_view(says.attribute(name).value()) == value; };
  return has("class", "ocf") && has("provider", "migrationd") && has("type", "VirtualDomain");
}

std::string words(const UtilizationChange& change) {
  return change.name + (change.value ? "=" + std::to_string(*change.value) : " (removed)");
}

}  // namespace

Result<std::vector<UtilizationChange>> utilization_changes(const std::string& cib, const std::map<std::string, engine::Utilization>& wanted) {
  pugi::xml_document document;
  if (!document.load_buffer(cib.data(), cib.size()) || !document.child("resources"))
    return Error{"cibadmin did not answer with the resources' configuration"};
  std::vector<UtilizationChange> changes;
  for (const pugi::xpath_node& found : document.select_nodes("//primitive")) {
    const auto resource = wanted.find(found.node().attribute("id").value());
    if (resource == wanted.end() || !is_ours(document, found.node())) continue;
    for (const auto& [name, value] : resource->second)
      if (!as_wanted(found.node(), name, value)) changes.push_back({resource->first, name, value});
  }
  return changes;
}

std::vector<std::string> utilization_command(const UtilizationChange& change) {
  std::vector<std::string> argv{"crm_resource", "--resource", change.resource, "--utilization"};
  if (change.value) {
    argv.insert(argv.end(), {"--set-parameter", change.name, "--parameter-value", std::to_string(*change.value)});
  } else {
    argv.insert(argv.end(), {"--delete-parameter", change.name});
  }
  return argv;
}

void UtilizationKeeper::keep(const std::map<std::string, engine::Utilization>& wanted) {
  if (busy_ || (as_wanted_ && wanted == wanted_)) return;
  wanted_ = wanted;
  if (!wanted_.empty()) return look();
  as_wanted_ = true;
}

void UtilizationKeeper::look() {
  busy_ = true;
  as_wanted_ = true;  // unless it changes while it is being read
  const ProcessOrder order{{"cibadmin", "--query", "--local", "--scope", "resources"}, {}, query_limit, largest_answer};
  run_process(executor_, order, [this, weak = std::weak_ptr<int>(life_), order](Result<ProcessEnd> end) {
    if (!weak.lock()) return;
    if (!end.ok()) return failed(end.error());
    if (end.value().exit_status != 0) return failed(describe(order, end.value()));
    looked(utilization_changes(end.value().out, wanted_));
  });
}

void UtilizationKeeper::looked(const Result<std::vector<UtilizationChange>>& found) {
  if (!found.ok()) return failed(found.error());
  changes_ = found.value();
  if (changes_.empty()) trouble_.clear();
  change_next();
}

void UtilizationKeeper::change_next() {
  if (changes_.empty()) {
    busy_ = false;
    return;
  }
  as_wanted_ = false;  // read again, to see that it came to be so
  const UtilizationChange change = changes_.back();
  changes_.pop_back();
  const ProcessOrder order{utilization_command(change), {}, query_limit};
  run_process(executor_, order, [this, weak = std::weak_ptr<int>(life_), order, change](Result<ProcessEnd> end) {
    if (!weak.lock()) return;
    if (!end.ok()) return failed(end.error());
    if (end.value().exit_status != 0) return failed(describe(order, end.value()));
    log_.write(engine::Log::Level::info, change.resource, "its utilization in the cluster's configuration: " + words(change));
    change_next();
  });
}

void UtilizationKeeper::failed(const std::string& why) {
  busy_ = as_wanted_ = false;
  changes_.clear();
  if (trouble_ == why) return;
  trouble_ = why;
  log_.write(engine::Log::Level::warning, "", "the utilization attributes can't be kept, tried again: " + why);
}

}  // namespace migrationd::io
