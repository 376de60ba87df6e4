// SPDX-License-Identifier: GPL-2.0-or-later
// A program that the agent runs, and how long it waits for it.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "migrationd/base/clock.h"

namespace migrationd::agent {

using Deadline = std::chrono::steady_clock::time_point;

/// What is left until `deadline`; 0 when it has passed.
Milliseconds time_until(Deadline deadline);

/// The same as poll(2) takes it, an hour at most: who polls looks at the deadline again.
int poll_time(Deadline deadline);

/// Waits for the child's end, which is then reaped, with waitpid(2)'s `status`. False: it had not ended by `deadline` and
/// was killed.
bool ended_by(Deadline deadline, pid_t child, int& status);

}  // namespace migrationd::agent
