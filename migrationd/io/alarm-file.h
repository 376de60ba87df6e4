// SPDX-License-Identifier: GPL-2.0-or-later
// The alarms' file in the state directory. Nothing that runs depends on it: one that can't be read is put aside, and one that
// can't be written leaves the older one as it was.
#pragma once

#include <string>

#include "migrationd/alarms/book.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

struct LoadedAlarms {
  alarms::AlarmBook book;
  std::string complaint;  ///< why what was there is not used, and where it was put; empty: all is well
};

LoadedAlarms load_alarms(const std::string& state_dir);
/// Whole or not at all. Waits for the disk.
Outcome save_alarms(const std::string& state_dir, const std::string& content);

}  // namespace migrationd::io
