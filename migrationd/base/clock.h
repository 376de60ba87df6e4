// SPDX-License-Identifier: GPL-2.0-or-later
// Time as the project keeps it: CLOCK_BOOTTIME within one boot of one node, in milliseconds. An instant
// means nothing on another node or after a reboot, so it carries the boot id; peers are told durations.
#pragma once

#include <chrono>
#include <compare>
#include <string>

namespace migrationd {

using Milliseconds = std::chrono::milliseconds;

/// Milliseconds of CLOCK_BOOTTIME since this node's boot.
struct Instant {
  Milliseconds since_boot{0};
  Instant operator+(Milliseconds d) const { return {since_boot + d}; }
  Milliseconds operator-(Instant other) const { return since_boot - other.since_boot; }
  auto operator<=>(const Instant&) const = default;
};

}  // namespace migrationd
