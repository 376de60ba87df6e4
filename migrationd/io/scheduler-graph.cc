// SPDX-License-Identifier: GPL-2.0-or-later
// The transition graph into a Plan; the history edits and comparisons around it.
#include "migrationd/io/scheduler-graph.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <sstream>

#include "migrationd/io/scheduler-xml.h"

namespace migrationd::io {

using namespace scheduler_xml;

namespace {

bool is_action(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return name == "rsc_op" || name == "pseudo_event" || name == "crm_event";
}

/// "vm_stop_0" of operation stop is vm's: pseudo events have only this.
std::string resource_of_key(const std::string& key, const std::string& operation) {
  const auto interval = key.rfind('_');
  if (interval == std::string::npos) return {};
  const std::string tail = "_" + operation;
  const std::string head = key.substr(0, interval);
  if (head.size() <= tail.size() || !head.ends_with(tail)) return {};
  return head.substr(0, head.size() - tail.size());
}

Result<intent::PlannedAction> read_action(const pugi::xml_node& node) {
  intent::PlannedAction action;
  long long id = 0;
  if (!number(node.attribute("id").as_string(), id) || id < 0 || id > INT_MAX)
    return Error{std::string("the transition graph has a <") + node.name() + "> without a usable id"};
  action.id = static_cast<int>(id);
  const std::string_view kind = node.name();
  action.kind = kind == "rsc_op"     ? intent::ActionKind::resource
                : kind == "crm_event" ? intent::ActionKind::cluster
                                      : intent::ActionKind::pseudo;
  action.operation = attribute(node, "operation");
  if (action.operation.empty()) return Error{"action " + std::to_string(id) + " of the transition graph has no operation"};
  action.node = attribute(node, "on_node");
  std::string resource = attribute(node.child("primitive"), "id");
  if (resource.empty()) resource = resource_of_key(attribute(node, "operation_key"), action.operation);
  action.resource = intent::without_instance(resource);
  return action;
}

const pugi::xml_node find_history(const pugi::xml_document& cib, const std::string& resource, const NodeName& node) {
  pugi::xml_node found;
  for_each_history(cib, resource, [&](const NodeName& at, const pugi::xml_node& history) {
    if (at == node && !found) found = history;
  });
  return found;
}

void set(pugi::xml_node& node, const char* name, const std::string& value) {
  auto attribute = node.attribute(name);
  if (!attribute) attribute = node.append_attribute(name);
  attribute.set_value(value.c_str());
}

}  // namespace

Result<intent::Plan> read_graph(std::string_view graph) {
  pugi::xml_document document;
  if (auto parsed = parse(document, graph, "transition_graph", "the transition graph"); !parsed) return Error{parsed.error()};
  intent::Plan plan;
  std::vector<int> waited_for;
  for (const auto& synapse : document.child("transition_graph").children("synapse")) {
    std::set<int> inputs;
    for (const auto& trigger : synapse.child("inputs").children("trigger"))
      for (const auto& input : trigger.children()) {
        if (!is_action(input)) continue;
        auto action = read_action(input);
        if (!action) return Error{action.error()};
        inputs.insert(action.value().id);
        waited_for.push_back(action.value().id);
      }
    for (const auto& element : synapse.child("action_set").children()) {
      if (!is_action(element)) continue;
      auto action = read_action(element);
      if (!action) return Error{action.error()};
      action.value().waits_for = inputs;
      const int id = action.value().id;
      if (!plan.actions.emplace(id, std::move(action.value())).second)
        return Error{"the transition graph has action " + std::to_string(id) + " twice"};
    }
  }
  for (const int id : waited_for)
    if (!plan.actions.contains(id))
      return Error{"the transition graph is incomplete: action " + std::to_string(id) + " is waited for but not in it"};
  return plan;
}

Result<BeforeStop> before_pending_stop(std::string_view cib, const std::string& resource, const NodeName& node) {
  pugi::xml_document document;
  if (auto parsed = parse(document, cib, "cib", "the CIB"); !parsed) return Error{parsed.error()};
  const pugi::xml_node history = find_history(document, resource, node);
  pugi::xml_node pending;
  long long first = LLONG_MAX;
  for (const auto& operation : history.children("lrm_rsc_op")) {
    long long call = 0;
    if (is_pending(operation) && attribute(operation, "operation") == "stop")
      pending = operation;
    else if (number(operation.attribute("call-id").as_string(), call) && call >= 0)
      first = std::min(first, call);
  }
  if (!pending) return BeforeStop{std::string(cib), {}};
  // Room below the oldest entry; call-ids are compared as numbers, and 0 is one.
  const std::string before = std::to_string(first == LLONG_MAX ? 1 : std::max(0LL, first - 1));
  std::string magic = attribute(pending, "transition-key");
  set(pending, "operation_key", resource + "_start_0");
  set(pending, "operation", "start");
  set(pending, "call-id", before);
  set(pending, "rc-code", "0");
  set(pending, "op-status", "0");
  set(pending, "transition-magic", "0:0;" + magic);
  std::ostringstream text;
  document.save(text, "", pugi::format_raw);
  return BeforeStop{text.str(), transition_of(pending)};
}

Result<std::string> compare_digests(std::string_view cib, std::string_view digests, const std::string& resource,
                                    const NodeName& node) {
  pugi::xml_document document, answer;
  if (auto parsed = parse(document, cib, "cib", "the CIB"); !parsed) return Error{parsed.error()};
  if (auto parsed = parse(answer, digests, "pacemaker-result", "the answer of crm_resource --digests"); !parsed)
    return Error{parsed.error()};
  std::string all, nonreloadable;
  for (const auto& digest : answer.child("pacemaker-result").child("digests").children("digest")) {
    if (attribute(digest, "type") == "all") all = attribute(digest, "hash");
    if (attribute(digest, "type") == "nonreloadable") nonreloadable = attribute(digest, "hash");
  }
  if (all.empty()) return Error{"crm_resource --digests named no digest of " + resource};
  // What it runs with: its start or arrival; when that entry was overwritten, the migration that came after it, or the
  // probe that found it running.
  pugi::xml_node best;
  int best_rank = 0;
  long long best_call = -1;
  for (const auto& operation : find_history(document, resource, node).children("lrm_rsc_op")) {
    const std::string name = attribute(operation, "operation");
    const bool done = attribute(operation, "rc-code") == "0";
    const bool probe = name == "monitor" && attribute(operation, "interval") == "0";
    const int rank = (name == "start" || name == "migrate_from") && done ? 3 : name == "migrate_to" ? 2 : probe && done ? 1 : 0;
    long long call = 0;
    if (rank == 0 || !operation.attribute("op-digest") || !number(operation.attribute("call-id").as_string(), call)) continue;
    if (rank > best_rank || (rank == best_rank && call > best_call)) best = operation, best_rank = rank, best_call = call;
  }
  if (!best || attribute(best, "op-digest") == all) return std::string{};
  const std::string restart = attribute(best, "op-restart-digest");
  if (!restart.empty() && restart == nonreloadable) return std::string{};
  return "its parameters are not those that it was started with on " + node;
}

Result<Names> read_names(std::string_view cib) {
  pugi::xml_document document;
  if (auto parsed = parse(document, cib, "cib", "the CIB"); !parsed) return Error{parsed.error()};
  Names names;
  const auto configuration = document.child("cib").child("configuration");
  for (const auto& match : configuration.child("resources").select_nodes(".//primitive"))
    names.resources.insert(attribute(match.node(), "id"));
  for_each_history(document, {}, [&](const NodeName&, const pugi::xml_node& history) {
    names.resources.insert(intent::without_instance(attribute(history, "id")));
  });
  for (const auto& node : configuration.child("nodes").children("node")) names.nodes.insert(attribute(node, "uname"));
  for (const auto& state : document.child("cib").child("status").children("node_state"))
    if (state.attribute("uname")) names.nodes.insert(attribute(state, "uname"));
  return names;
}

}  // namespace migrationd::io
