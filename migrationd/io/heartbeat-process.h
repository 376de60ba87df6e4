// SPDX-License-Identifier: GPL-2.0-or-later
// What Heartbeat is doing, from its processes: it tells nobody that it is being stopped, also cl_status does not,
// until its last resource is given up.
#pragma once

#include <string>

namespace migrationd::io {

/// Whether the pid file names a process that lives.
bool heartbeat_runs(const std::string& pid_file);

/// Whether it is being stopped: somebody waits for its end (`heartbeat -k`, as its init script and unit call it), or
/// its own child gives up the resources. Another order to it, such as `heartbeat -s`, can pass for that as long as it lasts. `proc`: where the processes are listed. Costs a read per process.
bool heartbeat_stops(const std::string& proc = "/proc");

}  // namespace migrationd::io
