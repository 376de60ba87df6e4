// SPDX-License-Identifier: GPL-2.0-or-later
// See monitor-scripts.h. They stay in the agent's process group: Pacemaker kills that when the action's time is up.
#include "agent/monitor-scripts.h"

#include <algorithm>

#include "agent/program.h"

namespace migrationd::agent {

std::string run_monitor_scripts(const std::string& programs, Deadline deadline) {
  constexpr const char* space = " \t\n\r";
  for (std::size_t at = programs.find_first_not_of(space); at != std::string::npos;) {
    const std::size_t end = std::min(programs.find_first_of(space, at), programs.size());
    if (std::string failed = run_program({programs.substr(at, end - at)}, deadline); !failed.empty()) return "monitor_scripts: " + failed;
    at = programs.find_first_not_of(space, end);
  }
  return {};
}

}  // namespace migrationd::agent
