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

/// The daemon of this node, and what it said of the resource that it was asked about last.
struct FromDaemon {
  std::optional<Daemon> daemon;  ///< nothing: it can't be asked about the node that is wanted
  std::string node;
  std::string cluster;  ///< the cluster manager's name; empty: not known
  std::string body;     ///< JSON; empty: nothing
  std::string trouble;  ///< why there is no daemon, or no body
};

/// Connects to the daemon and asks who it is. `node`: whose decisions are wanted; empty: this node's. Only its own daemon
/// knows them.
FromDaemon meet_daemon(const migrationd::NodeName& node);

/// Asks the daemon that was met about a resource; `body` or `trouble` is its answer.
void ask_about(const std::string& resource, FromDaemon& from);

/// The scheduler's answer with the stop's own conditions here, and the destination's word, which `answered` takes up when it comes.
migrationd::Result<migrationd::intent::Decision> with_daemons(migrationd::Result<migrationd::intent::Decision> planned, FromDaemon& from,
                                                              const Domain& domain, std::optional<Ready>* answered = nullptr);

/// intent, to and reason.
nlohmann::ordered_json in_json(const migrationd::Result<migrationd::intent::Decision>& decision);
/// A CIB may hold names that are not UTF-8: they are shown with replacement characters, not thrown at.
std::string dump(const nlohmann::ordered_json& json);

}  // namespace migrationctl
