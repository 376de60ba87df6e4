// SPDX-License-Identifier: GPL-2.0-or-later
// What Pacemaker is told of a domain that ended here: that it failed (`crm_resource --fail` notes a failed monitor, upon which the
// scheduler recovers it), or that it is to stay stopped. Pacemaker takes the failure of a resource for its presence, so it is
// asked first whether it believes the resource to run here: noted where it does not, it would have the one that runs elsewhere
// stopped, too. The scheduler does not apply the monitor's on-fail to such a failure: where that is not "restart", nothing is reported.
#include <vector>

#include <boost/asio/post.hpp>
#include <pugixml.hpp>

#include "migrationd/io/pacemaker.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds tell_limit{5'000};

}  // namespace

Outcome running_by_monitor(const std::string& xml, const std::string& resource, const NodeName& node) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size()) || !document.child("pacemaker-result").child("resources"))
    return Error{"it can't be told whether Pacemaker believes it to run here: crm_mon did not answer in its XML form"};
  pugi::xml_node found;
  for (const pugi::xpath_node& one : document.select_nodes("//resources//resource"))
    if (resource == one.node().attribute("id").value()) found = one.node();
  const auto is = [&](const char* name, const std::string& value) { return value == found.attribute(name).value(); };
  if (!found) return Error{"Pacemaker does not know it as active"};
  if (!std::string(found.attribute("resource_agent").value()).ends_with(":migrationd:VirtualDomain"))
    return Error{"the resource is not one of this agent any more"};
  if (!is("managed", "true")) return Error{"Pacemaker does not manage it (unmanaged, or maintenance)"};
  if (!is("failed", "false")) return Error{"Pacemaker knows already that it failed"};
  if (is("target_role", "Stopped") || found.attribute("pending") || !is("role", "Started")) return Error{"Pacemaker is just starting, moving or stopping it"};
  if (!is("nodes_running_on", "1") || node != found.child("node").attribute("name").value())
    return Error{"Pacemaker does not believe that it runs on this node, or on this one alone"};
  return Done{};
}

Outcome restarted_on_failure(const std::string& configuration, const std::string& resource) {
  pugi::xml_document document;
  if (!document.load_buffer(configuration.data(), configuration.size()) || !document.child("configuration"))
    return Error{"it can't be told what Pacemaker does when the resource fails: cibadmin did not answer with the configuration"};
  const auto value = [](const pugi::xml_node& node) { return std::string(node.attribute("value").value()); };
  std::vector<pugi::xml_node> definitions;
  for (const pugi::xpath_node& one : document.select_nodes("//resources//primitive"))
    if (resource == one.node().attribute("id").value()) definitions.push_back(one.node());
  if (definitions.empty()) return Error{"Pacemaker does not know the resource"};
  const std::string name = definitions.front().attribute("template").value();
  for (const pugi::xpath_node& one : document.select_nodes("//resources/template"))
    if (!name.empty() && name == one.node().attribute("id").value()) definitions.push_back(one.node());
  std::vector<std::string> said;
  for (const pugi::xml_node& definition : definitions)
    for (const pugi::xml_node& operation : definition.child("operations").children("op")) {
      if (std::string(operation.attribute("name").value()) != "monitor") continue;
      if (operation.attribute("on-fail")) said.emplace_back(operation.attribute("on-fail").value());
      for (const pugi::xpath_node& one : operation.select_nodes("meta_attributes/nvpair[@name='on-fail']")) said.push_back(value(one.node()));
    }
  for (const pugi::xpath_node& one : document.select_nodes("//op_defaults//nvpair[@name='on-fail']")) said.push_back(value(one.node()));
  for (const std::string& one : said)
    if (one != "restart") return Error{"its monitor has on-fail=" + one + ", which counts for a monitor alone; the next one tells it"};
  return Done{};
}

void PacemakerCluster::carry_out_if_it_runs_here(const std::string& resource, const ProcessOrder& order, std::function<bool()> wanted,
                                                 engine::Callback<Outcome> done) {
  if (!active_here()) {
    boost::asio::post(loop_, [done] { done(Error{"Pacemaker does not run here"}); });
    return;
  }
  monitor([this, resource, order, wanted = std::move(wanted), done = std::move(done)](const Result<std::string>& said) {
    const Outcome runs = said.ok() ? running_by_monitor(said.value(), resource, settings_.self) : Outcome(Error{said.error()});
    if (!runs.ok()) return done(runs);
    if (!wanted()) return done(Error{"Pacemaker is stopping it already"});
    carry_out(order, done);
  });
}

void PacemakerCluster::report_failure(const std::string& resource, const std::string&, std::function<bool()> wanted, engine::Callback<Outcome> done) {
  const ProcessOrder order{{"crm_resource", "--fail", "--resource", resource, "--node", settings_.self}, {}, tell_limit};
  ask<bool>({{"cibadmin", "--query", "--local", "--scope", "configuration"}, {}, tell_limit, largest_configuration},
            [resource](const std::string& configuration) -> Result<bool> {
              const Outcome restarts = restarted_on_failure(configuration, resource);
              return restarts.ok() ? Result<bool>(true) : Result<bool>(Error{restarts.error()});
            },
            [this, resource, order, wanted = std::move(wanted), done = std::move(done)](const Result<bool>& restarts) {
              if (!restarts.ok()) return done(Error{restarts.error()});
              carry_out_if_it_runs_here(resource, order, wanted, done);
            });
}

/// Written without quorum it would not last; crm_resource refuses it then.
void PacemakerCluster::stay_off(const std::string& resource, std::function<bool()> wanted, engine::Callback<Outcome> done) {
  carry_out_if_it_runs_here(
      resource,
      {{"crm_resource", "--resource", resource, "--meta", "--set-parameter", "target-role", "--parameter-value", "Stopped"}, {}, tell_limit},
      std::move(wanted), std::move(done));
}

}  // namespace migrationd::io
