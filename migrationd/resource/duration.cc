// SPDX-License-Identifier: GPL-2.0-or-later
// Durations as the cluster manager writes them.
#include "migrationd/resource/duration.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace migrationd::resource {

namespace {

struct Unit {
  std::string_view name;
  std::int64_t microseconds;
};

constexpr std::array<Unit, 11> units{{
    {"", 1'000'000},
    {"us", 1},
    {"usec", 1},
    {"ms", 1'000},
    {"msec", 1'000},
    {"s", 1'000'000},
    {"sec", 1'000'000},
    {"m", 60'000'000},
    {"min", 60'000'000},
    {"h", 3'600'000'000},
    {"hr", 3'600'000'000},
}};

constexpr std::int64_t longest_microseconds = 366LL * 24 * 3'600'000'000;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Error refused(std::string_view text, std::string_view why) {
  return {"'" + std::string(text) + "' is not a duration: " + std::string(why) +
          "; write a number with a unit, such as 90s, 2min or 500ms"};
}

}  // namespace

Result<Milliseconds> parse_duration(std::string_view text) {
  const std::string_view whole = trimmed(text);
  std::int64_t number = 0;
  const auto [end, status] = std::from_chars(whole.data(), whole.data() + whole.size(), number);
  if (status == std::errc::result_out_of_range) return refused(text, "the number is too large");
  if (status != std::errc()) return refused(text, "it doesn't begin with a number");
  if (number < 0) return refused(text, "it is negative");

  std::string unit(trimmed(whole.substr(static_cast<std::size_t>(end - whole.data()))));
  for (char& c : unit)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  for (const Unit& known : units) {
    if (known.name != unit) continue;
    if (number > longest_microseconds / known.microseconds) return refused(text, "it is longer than a year");
    return Milliseconds(number * known.microseconds / 1000);
  }
  return refused(text, "the unit '" + unit + "' is unknown");
}

}  // namespace migrationd::resource
