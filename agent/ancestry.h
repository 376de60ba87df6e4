// SPDX-License-Identifier: GPL-2.0-or-later
// Why Heartbeat calls. Its environment doesn't say, but the processes above us do: a shutdown, a standby, the
// peer's request and the roll-back of a failed take-over each come through scripts of their own.
#pragma once

#include <string>
#include <vector>

#include "migrationd/wire/local-message.h"

namespace migrationd::agent {

using Arguments = std::vector<std::string>;

/// `ancestors`: the argument vectors of the processes above, the parent first. Never `none`.
wire::HeartbeatCause cause_of_call(const std::vector<Arguments>& ancestors);

/// The node that Heartbeat found dead and takes over from (its script mach_down runs above us); empty: none. Where
/// STONITH is configured, Heartbeat comes to that only after it succeeded.
std::string dead_node(const std::vector<Arguments>& ancestors);

/// The ancestors of this process, from /proc, up to process 1 or the first that can't be read.
std::vector<Arguments> ancestors();

}  // namespace migrationd::agent
