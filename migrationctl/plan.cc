// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl plan: what would become of the domains of a node that goes to standby, before anybody sends it there. From the
// scheduler's own plan for a copy of the CIB; on the node itself also with its daemon's word, and the destinations'.
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <tuple>
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
void ask_daemons(const migrationd::NodeName& node, std::vector<PlannedMove>& moves) {
  if (moves.empty()) return;
  FromDaemon from = meet_daemon(node);
  for (PlannedMove& move : moves) {
    ask_about(move.resource, from);
    Domain domain;
    if (!from.body.empty())
      if (auto read = read_domain(from.body); read) domain = std::move(read.value());
    std::optional<Ready> answered;
    auto decision = with_daemons(move.decision, from, domain, &answered);
    if (decision) move.decision = std::move(decision.value());
    if (!answered) continue;
    move.takes = answered->takes;
    move.priority = answered->priority;
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
    for (const PlannedMove& move : moves.value()) list.push_back(plan_json(move));
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

migrationd::Result<std::vector<PlannedMove>> plan_standby(const migrationd::NodeName& node, const std::string& cib_file) {
  migrationd::io::SchedulerQuestion question;
  question.node = node;
  question.cib_file = cib_file;
  question.directory = temporary_directory();
  question.deadline = migrationd::Milliseconds{120'000};
  const auto found = migrationd::io::explain_standby_now(question);
  if (!found) return migrationd::Error{found.error()};
  std::vector<PlannedMove> moves;
  for (const StandbyMove& move : found.value()) moves.push_back({move});
  if (cib_file.empty()) ask_daemons(node, moves);
  by_turns(moves);
  return moves;
}

bool goes_live(const StandbyMove& move) { return move.decision.intent == Intent::push || move.decision.intent == Intent::offer; }

void by_turns(std::vector<PlannedMove>& moves) {
  std::stable_sort(moves.begin(), moves.end(), [](const PlannedMove& a, const PlannedMove& b) {
    const auto key = [](const PlannedMove& one) {
      return goes_live(one) ? std::tuple(0, -one.priority.value_or(0), one.takes.value_or(Milliseconds{0})) : std::tuple(1, 0, Milliseconds{0});
    };
    return key(a) < key(b);
  });
}

std::optional<Milliseconds> takes_together(const std::vector<PlannedMove>& moves) {
  Milliseconds sum{0};
  bool any = false;
  for (const PlannedMove& move : moves) {
    if (!goes_live(move)) continue;
    if (!move.takes) return std::nullopt;
    sum += *move.takes;
    any = true;
  }
  return any ? std::optional(sum) : std::nullopt;
}

std::string plan_text(const std::vector<PlannedMove>& moves) {
  // A second at least, and up: nobody is told that it takes no time.
  const auto about = [](Milliseconds time) { return "about " + duration_text(std::max(time, Milliseconds{1}) + Milliseconds{999}); };
  Table rows = {{"RESOURCE", "HOW", "TO", "TAKES", "WHY"}};
  for (const PlannedMove& move : moves)
    rows.push_back({harmless(move.resource), how(move), move.decision.to.empty() ? "-" : harmless(move.decision.to),
                    !goes_live(move) ? "-" : move.takes ? about(*move.takes) : "not known", harmless(move.decision.reason)});
  const auto together = takes_together(moves);
  const auto live = std::count_if(moves.begin(), moves.end(), goes_live);
  std::string text = table_text(rows, 0);
  if (together && live > 1) text += "The live ones take " + about(*together) + " together, those of the upper lines first.\n";
  return text;
}

nlohmann::ordered_json plan_json(const PlannedMove& move) {
  nlohmann::ordered_json one;
  one["resource"] = move.resource;
  one.update(in_json(move.decision));
  one["migrate_to"] = move.migrated;
  one["takes_ms"] = move.takes ? nlohmann::ordered_json(move.takes->count()) : nlohmann::ordered_json(nullptr);
  one["priority"] = move.priority ? nlohmann::ordered_json(*move.priority) : nlohmann::ordered_json(nullptr);
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
