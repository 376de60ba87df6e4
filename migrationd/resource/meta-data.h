// SPDX-License-Identifier: GPL-2.0-or-later
// The agent's meta-data: OCF resource agent API 1.1, section "Resource Agent Meta-Data".
#pragma once

#include <string>
#include <string_view>

#include "migrationd/base/clock.h"

namespace migrationd::resource {

/// The XML document. `version`: of the agent.
std::string meta_data(std::string_view version);

/// The timeout that the meta-data advertises for an action; 0: the action isn't advertised.
Milliseconds advertised_timeout(std::string_view action);

}  // namespace migrationd::resource
