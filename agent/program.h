// SPDX-License-Identifier: GPL-2.0-or-later
// Runs a program of somebody else's, in time.
#pragma once

#include <string>
#include <vector>

#include "agent/child.h"

namespace migrationd::agent {

/// Runs `arguments`, the first of which is the program, looked for in PATH; at `deadline` it is killed. Empty: it succeeded.
/// Else how it ended and what it said last. It stays in this process's group.
std::string run_program(const std::vector<std::string>& arguments, Deadline deadline);

}  // namespace migrationd::agent
