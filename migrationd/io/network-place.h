// SPDX-License-Identifier: GPL-2.0-or-later
// Where the network believes a guest to be. QEMU announces a guest that arrived when it executes; until then frames for it go to
// the node that it left and are lost, so a client's first packet waits for its retransmission: longer than the guest stood still. Here
// a guest can be announced before it executes: what comes for it waits in its tap device.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"

namespace migrationd::io {

using MacAddress = std::array<std::uint8_t, 6>;

/// Of the form 52:54:00:12:34:56. Nothing for any other text, and for an address that no single guest can have (a group's).
std::optional<MacAddress> parse_mac(std::string_view text);

/// A reverse ARP request (RFC 903) of the guest for itself to everybody, as QEMU sends it: switches learn from it where the guest is, and
/// nobody answers.
std::array<std::uint8_t, 60> announcement_frame(const MacAddress& guest);

/// From now on frames for `guest` that reach `bridge` of this node go to its port `tap`, and other switches are told that it is here.
/// Error also: `bridge` is none of the kernel's own bridges (Open vSwitch, say, which learns by itself when the guest speaks), or `tap` is
/// none of its ports.
Outcome place_guest(const std::string& bridge, const std::string& tap, const MacAddress& guest);

}  // namespace migrationd::io
