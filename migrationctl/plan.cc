// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl plan: what would become of the domains of a node that goes to standby, before anybody sends it there. From the
// scheduler's own plan for a copy of the CIB; on the node itself also with its daemon's word, and the destinations'.
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "migrationctl/commands.h"
#include "migrationctl/decision.h"
#include "migrationctl/plan.h"

namespace migrationctl {

namespace {

namespace intent = migrationd::intent;
using intent::Intent;
using migrationd::io::StandbyMove;

struct Options {
  std::string node;
  std::string cib;
  bool json = false;
};

const char* how(const StandbyMove& move) {
  switch (move.decision.intent) {
    case Intent::stop: return "stopped";
    case Intent::keep: return "stays";
    case Intent::push:
    case Intent::offer: return "live";
  }
  return "?";
}

/// On the node itself its daemon knows more than the scheduler, and asks the destinations.
void ask_daemons(const migrationd::NodeName& node, std::vector<StandbyMove>& moves) {
  if (moves.empty()) return;
  FromDaemon from = meet_daemon(node);
  for (StandbyMove& move : moves) {
    ask_about(move.resource, from);
    Domain domain;
    if (!from.body.empty())
      if (auto read = read_domain(from.body); read) domain = std::move(read.value());
    auto decision = with_daemons(move.decision, from, domain);
    if (decision) move.decision = std::move(decision.value());
  }
}

int run(const Options& options) {
  const auto moves = plan_standby(options.node, options.cib);
  if (!moves) {
    std::cerr << "migrationctl: cannot plan the standby of " << harmless(options.node) << ": " << harmless(moves.error()) << '\n';
    return failed;
  }
  if (options.json) {
    auto list = nlohmann::ordered_json::array();
    for (const StandbyMove& move : moves.value()) list.push_back(plan_json(move));
    std::cout << dump(list);
  } else if (moves.value().empty()) {
    std::cout << "No domain of ocf:migrationd:VirtualDomain is active on " << harmless(options.node) << ".\n";
  } else {
    std::cout << plan_text(moves.value()) << "Standby of " << harmless(options.node) << " would move "
              << std::count_if(moves.value().begin(), moves.value().end(), goes_live) << " of " << moves.value().size() << " live.\n";
  }
  return success;
}

}  // namespace

migrationd::Result<std::vector<StandbyMove>> plan_standby(const migrationd::NodeName& node, const std::string& cib_file) {
  migrationd::io::SchedulerQuestion question;
  question.node = node;
  question.cib_file = cib_file;
  question.directory = temporary_directory();
  question.deadline = migrationd::Milliseconds{120'000};
  auto moves = migrationd::io::explain_standby_now(question);
  if (moves && cib_file.empty()) ask_daemons(node, moves.value());
  return moves;
}

bool goes_live(const StandbyMove& move) { return move.decision.intent == Intent::push || move.decision.intent == Intent::offer; }

std::string plan_text(const std::vector<StandbyMove>& moves) {
  Table rows = {{"RESOURCE", "HOW", "TO", "WHY"}};
  for (const StandbyMove& move : moves)
    rows.push_back({harmless(move.resource), how(move), move.decision.to.empty() ? "-" : harmless(move.decision.to), harmless(move.decision.reason)});
  return table_text(rows, 0);
}

nlohmann::ordered_json plan_json(const StandbyMove& move) {
  nlohmann::ordered_json one;
  one["resource"] = move.resource;
  one.update(in_json(move.decision));
  one["migrate_to"] = move.migrated;
  return one;
}

void add_plan(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("plan", "What would become of a node's domains if it went to standby; changes nothing");
  command->add_option("NODE", options->node, "the node, by its name in the cluster")->required();
  command->add_option("--cib", options->cib, "a saved CIB (default: the cluster's, now)")->type_name("FILE");
  command->add_flag("--json", options->json, "print the answer as JSON");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace migrationctl
