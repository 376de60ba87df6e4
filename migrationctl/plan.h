// SPDX-License-Identifier: GPL-2.0-or-later
// What a standby of a node would do to its domains, as plan and evacuate show it.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/crm-simulate.h"

namespace migrationctl {

/// By the scheduler's plan for a copy of the CIB (`cib_file`; empty: the cluster's, now, and then, on the node itself, also by its
/// daemon's word and the destinations'). Errors: it can't be asked.
migrationd::Result<std::vector<migrationd::io::StandbyMove>> plan_standby(const migrationd::NodeName& node, const std::string& cib_file);

/// Whether the domain would go on running, elsewhere.
bool goes_live(const migrationd::io::StandbyMove& move);

/// A table for people.
std::string plan_text(const std::vector<migrationd::io::StandbyMove>& moves);
/// resource, intent, to, reason and migrate_to.
nlohmann::ordered_json plan_json(const migrationd::io::StandbyMove& move);

}  // namespace migrationctl
