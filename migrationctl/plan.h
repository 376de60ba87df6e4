// SPDX-License-Identifier: GPL-2.0-or-later
// What a standby of a node would do to its domains, as plan and evacuate show it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/crm-simulate.h"

namespace migrationctl {

/// What becomes of a domain, and what is known of its migration.
struct PlannedMove : migrationd::io::StandbyMove {
  std::optional<migrationd::Milliseconds> takes{};  ///< predicted; nothing: not known
  std::optional<int> priority{};                    ///< nothing: not known
};

/// By the scheduler's plan for a copy of the CIB (`cib_file`; empty: the cluster's, now, and then, on the node itself, also by its
/// daemon's word and the destinations'). In the order in which they would begin: see by_turns(). Errors: it can't be asked.
migrationd::Result<std::vector<PlannedMove>> plan_standby(const migrationd::NodeName& node, const std::string& cib_file);

/// Whether the domain would go on running, elsewhere.
bool goes_live(const migrationd::io::StandbyMove& move);

/// Those that go live by the order of their turns, as the daemon has it: the priority, then the time. The others after them.
void by_turns(std::vector<PlannedMove>& moves);
/// How long the live ones take together, one after the other or sharing the network. Nothing: not known of each, or there is none.
std::optional<migrationd::Milliseconds> takes_together(const std::vector<PlannedMove>& moves);

/// A table for people, and a sentence on the time where there is anything to say.
std::string plan_text(const std::vector<PlannedMove>& moves);
/// resource, intent, to, reason, migrate_to, takes_ms and priority.
nlohmann::ordered_json plan_json(const PlannedMove& move);

}  // namespace migrationctl
