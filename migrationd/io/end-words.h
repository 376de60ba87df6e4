// SPDX-License-Identifier: GPL-2.0-or-later
// What an end in order waits for, for people: it may take minutes, and the log has to say of what.
#pragma once

#include <string>
#include <vector>

#include "migrationd/engine/engine.h"

namespace migrationd::io {

/// The domains whose hand-off or stop is not finished here, each with its state, separated by "; ". Empty: there are none.
std::string unfinished(const std::vector<engine::DomainStatus>& domains);

}  // namespace migrationd::io
