// SPDX-License-Identifier: GPL-2.0-or-later
// The parameter monitor_scripts: the administrator's own programs that say whether what runs in the guest is well.
#pragma once

#include <string>

#include "agent/child.h"

namespace migrationd::agent {

/// Runs the programs, separated by white space and looked for in PATH, one after another until one fails; the one that
/// runs at `deadline` is killed. Empty: all succeeded. Else which one did not, how it ended and what it said last.
std::string run_monitor_scripts(const std::string& programs, Deadline deadline);

}  // namespace migrationd::agent
