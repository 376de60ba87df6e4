// SPDX-License-Identifier: GPL-2.0-or-later
// Announcing a guest to the network: the frame, addresses that are none, and devices that are no bridge's. What it does to a
// real bridge is tested in the lab (tests/lab/test-hypervisor.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "migrationd/io/network-place.h"

using namespace migrationd;
using namespace migrationd::io;

TEST_CASE("network place: an address as libvirt writes it") {
  const auto mac = parse_mac("52:54:00:0a:Bc:ff");
  REQUIRE(mac);
  CHECK(*mac == MacAddress{0x52, 0x54, 0x00, 0x0a, 0xbc, 0xff});
  for (const char* text : {"", "52:54:00:0a:bc", "52:54:00:0a:bc:f", "52:54:00:0a:bc:ff:00", "52-54-00-0a-bc-ff", "52:54:00:0a:bc:fg", "5 :54:00:0a:bc:ff",
                           "-2:54:00:0a:bc:ff", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_mac(text));
  }
}

TEST_CASE("network place: a reverse ARP request of the guest to everybody") {
  const auto frame = announcement_frame(*parse_mac("52:54:00:01:02:03"));
  const std::vector<int> wanted = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 1, 2, 3, 0x80, 0x35,        // Ethernet
                                   0, 1, 8, 0, 6, 4, 0, 3, 0x52, 0x54, 0x00, 1, 2, 3, 0, 0, 0, 0, 0x52, 0x54, 0x00, 1, 2, 3};  // RFC 903
  CHECK(std::vector<int>(frame.begin(), frame.begin() + static_cast<long>(wanted.size())) == wanted);
  CHECK(std::all_of(frame.begin() + static_cast<long>(wanted.size()), frame.end(), [](auto byte) { return byte == 0; }));
}

TEST_CASE("network place: what is no port of a bridge here is refused, and never becomes a path") {
  const MacAddress mac = *parse_mac("52:54:00:01:02:03");
  for (const char* tap : {"", "lo", "no-such-tap", "../../../lo", ".", "a-name-longer-than-any-device"}) {
    CAPTURE(tap);
    CHECK_FALSE(place_guest("lo", tap, mac).ok());
    CHECK_FALSE(place_guest("../lo", tap, mac).ok());
  }
}
