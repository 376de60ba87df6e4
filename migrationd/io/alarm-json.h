// SPDX-License-Identifier: GPL-2.0-or-later
// Alarms and events as JSON: on disk and for migrationctl. The names are an interface for scripts and only ever grow.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "migrationd/alarms/book.h"
#include "migrationd/alarms/events.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

/// "2026-11-28T20:41:35.120Z"
std::string utc_text(WallTime time);

/// {"id", "kind", "severity", "subject": {"what", "name", "uuid", "resource"}, "text", "raised", "last", "count", "acknowledged",
/// "acknowledged_by", "cleared", "cleared_why"}; times are utc_text or null.
nlohmann::json alarm_json(const alarms::Alarm& alarm);
/// {"number", "at", "kind", "subject", "text", "alarm"}
nlohmann::json event_json(const alarms::Event& event);

/// {"node", "alarms": [...], "left_off"}, the newest first; with `all` those that were, too. `left_off`: so many older ones
/// would have made the answer too large.
std::string alarms_json(const NodeName& self, const std::vector<alarms::Alarm>& known, bool all);
/// {"node", "events": [...], "lost", "last"}
std::string events_json(const NodeName& self, const alarms::EventRing::Batch& batch, std::uint64_t last);

/// The file's content: a line with its version, then what the book holds.
std::string encode_alarms(const alarms::AlarmBook& book);
/// Strict: one that was changed or is of a newer version is refused whole, with the reason. Never throws.
Result<alarms::AlarmBook> decode_alarms(std::string_view content);

}  // namespace migrationd::io
