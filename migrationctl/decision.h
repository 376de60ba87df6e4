// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop would mean, as explain and plan tell it: the scheduler's answer, with what only the daemons know.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "migrationctl/daemon.h"
#include "migrationctl/status-view.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/intent/intent.h"

namespace migrationctl {

/// Where crm_simulate's files may lie.
std::string temporary_directory();
/// As `uname -n` has it.
std::string this_node();

/// What the daemon of this node said of a resource, or why it said nothing.
struct FromDaemon {
  std::optional<Daemon> daemon;
  std::string node;
  std::string cluster;  ///< the cluster manager's name; empty: not known
  std::string body;     ///< JSON; empty: nothing
  std::string trouble;
};

/// `node`: whose decisions are wanted; empty: this node's. Only its own daemon knows them.
FromDaemon ask_daemon(const std::string& resource, const migrationd::NodeName& node);

/// The scheduler's answer with the stop's own conditions here, and the destination's word.
migrationd::Result<migrationd::intent::Decision> with_daemons(migrationd::Result<migrationd::intent::Decision> planned, FromDaemon& from,
                                                              const Domain& domain);

/// intent, to and reason.
nlohmann::ordered_json in_json(const migrationd::Result<migrationd::intent::Decision>& decision);
/// A CIB may hold names that are not UTF-8: they are shown with replacement characters, not thrown at.
std::string dump(const nlohmann::ordered_json& json);

}  // namespace migrationctl
