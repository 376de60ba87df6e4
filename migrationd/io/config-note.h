// SPDX-License-Identifier: GPL-2.0-or-later
// Which configuration the daemon runs by, noted for who comes without one: the agent calls `migrationd --direct` when the
// daemon is dead, and knows neither its options nor its places. The note itself lies where it can be found without
// any configuration, and is gone after a boot, as all is that ran before it.
#pragma once

#include <string>

#include "migrationd/base/result.h"

namespace migrationd::io {

inline constexpr const char* config_note_directory = "/run/migrationd";

/// Notes that the daemon runs by the configuration file `path`; by the default one: that there is nothing to note.
/// Errors: the note can't be written or removed, so that `--direct` would look in other places than the daemon.
Outcome note_config(const std::string& path, const std::string& directory = config_note_directory);

/// The configuration of the daemon that ran last: the noted one, or the default. A note that isn't our own is none.
std::string noted_config(const std::string& directory = config_note_directory);

}  // namespace migrationd::io
