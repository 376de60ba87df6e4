// SPDX-License-Identifier: GPL-2.0-or-later
// Durations as the cluster manager writes them: "90", "90s", "2min", "500ms".
#pragma once

#include <string>
#include <string_view>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"

namespace migrationd::resource {

/// The duration that `text` spells: a whole number, then, in either case and with or without a space before
/// it, us, usec, ms, msec, s, sec, m, min, h or hr; a number alone is seconds. Below a millisecond it is
/// rounded down, as Pacemaker does. Errors: empty, negative, another unit, more than a year.
Result<Milliseconds> parse_duration(std::string_view text);

}  // namespace migrationd::resource
