// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl return: the end of an evacuation. The node leaves standby, and may have domains again.
#include <iostream>
#include <memory>

#include "migrationctl/cluster.h"
#include "migrationctl/commands.h"
#include "migrationctl/decision.h"
#include "migrationctl/words.h"
#include "migrationd/io/crm-simulate.h"
#include "migrationd/io/scheduler-graph.h"

namespace migrationctl {

namespace {

namespace io = migrationd::io;

constexpr std::chrono::seconds settle_time{300};
constexpr migrationd::Milliseconds simulate_time{120'000};

/// What the cluster has on the node, for people.
std::string active_on(Cluster& cluster, const std::string& node) {
  const auto cib = cluster.cib();
  if (!cib) return {};
  const auto outlook = io::outlook_now(cib.value(), temporary_directory(), simulate_time);
  if (!outlook) return {};
  const auto facts = io::read_facts(outlook.value().cib, outlook.value().summary, "", "");
  std::string names;
  if (facts)
    for (const auto& [name, resource] : facts.value().resources)
      if (resource.agent == "ocf:migrationd:VirtualDomain" && resource.active.contains(node)) names += (names.empty() ? "" : ", ") + name;
  return names;
}

int run(const std::string& node) {
  Cluster cluster;
  const auto before = cluster.standby(node);
  if (!before) {
    complain(node + " does not return: " + before.error());
    return failed;
  }
  if (!is_standby(before.value())) {
    std::cout << harmless(node) << " is not in standby.\n";
    return success;
  }
  if (const auto done = cluster.set_standby(node, ""); !done) {
    complain(node + " does not return: " + done.error());
    return failed;
  }
  std::cout << harmless(node) << " is no longer in standby." << std::endl;
  if (const auto settled = cluster.settle(settle_time); !settled) {
    complain("what comes back to " + node + " is not followed to its end: " + settled.error());
    return failed;
  }
  const std::string names = active_on(cluster, node);
  std::cout << (names.empty() ? "The cluster moves no domain to it." : "Domains there: " + harmless(names) + ".") << '\n';
  return success;
}

}  // namespace

void add_return(CLI::App& program, Chosen& chosen) {
  auto node = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("return", "End a node's standby, and wait until the cluster has moved what it wants there");
  command->add_option("NODE", *node, "the node, by its name in the cluster")->required();
  command->callback([node, &chosen] { chosen = [node] { return run(*node); }; });
}

}  // namespace migrationctl
