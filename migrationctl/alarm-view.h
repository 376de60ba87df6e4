// SPDX-License-Identifier: GPL-2.0-or-later
// Alarms and events as text, from the daemon's JSON (pure but for the time zone).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "migrationd/base/result.h"

namespace migrationctl {

struct ShownAlarm {
  std::uint64_t id = 0;
  std::string kind, severity, about, text;
  std::string raised, acknowledged_by, cleared, cleared_why;
  std::uint64_t count = 0;
};

struct ShownAlarms {
  std::string node;
  std::vector<ShownAlarm> alarms;
  std::uint64_t left_off = 0;
};

struct ShownEvent {
  std::uint64_t number = 0;
  std::string at, kind, about, text;
  std::string json;  ///< as it came, in one line
};

struct ShownEvents {
  std::vector<ShownEvent> events;
  std::uint64_t lost = 0;
};

/// Fields that are missing stay empty, those that are unknown are passed over: the daemon may be of another version.
/// Errors: no JSON object, or a field of another type than ours.
migrationd::Result<ShownAlarms> read_alarms(const std::string& json);
migrationd::Result<ShownEvents> read_events(const std::string& json);

/// The table of those that stand; with `all` also those that were, in a table of their own.
std::string alarms_text(const ShownAlarms& shown, bool all, std::size_t width);
/// One line without its end.
std::string event_text(const ShownEvent& event);
/// "2026-11-28T20:41:35.120Z" as the local time "2026-11-28 21:41:35"; what is no such time stays as it is.
std::string local_time(const std::string& utc);

}  // namespace migrationctl
