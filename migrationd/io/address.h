// SPDX-License-Identifier: GPL-2.0-or-later
// Addresses as people write them: "192.0.2.1", "node2", "192.0.2.1:6415", "2001:db8::1", "[2001:db8::1]:6415".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace migrationd::io {

inline constexpr std::uint16_t default_port = 6415;

struct HostPort {
  std::string host;                   ///< a name or a numeric address, without brackets
  std::optional<std::uint16_t> port;  ///< 1 to 65535
};

/// Nothing when `text` is none of these forms.
std::optional<HostPort> parse_address(const std::string& text);

}  // namespace migrationd::io
