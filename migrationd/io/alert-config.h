// SPDX-License-Identifier: GPL-2.0-or-later
// A program that is told of alarms, as Pacemaker's alert agents are.
#pragma once

#include <string>
#include <vector>

namespace migrationd::io {

struct AlertAgent {
  std::string path;
  std::vector<std::string> recipients;  ///< it is run for each; none: once, without one
};

}  // namespace migrationd::io
