// SPDX-License-Identifier: GPL-2.0-or-later
// See network-place.h. The bridge's own table is changed first: it may have learned, from what the guest sent before, that it is reached
// through the uplink, and drops what comes from there for it.
#include "migrationd/io/network-place.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <netlink/addr.h>
#include <netlink/route/neighbour.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "migrationd/io/fd.h"

namespace migrationd::io {

namespace {

constexpr std::uint8_t group_address = 0x01;
constexpr std::uint16_t hardware_ethernet = 1;
constexpr std::uint16_t reverse_request = 3;

/// A device's name as the kernel takes it, which makes it a path component, too.
bool is_device(const std::string& name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." && name.find('/') == std::string::npos;
}

bool is_port_of(const std::string& tap, const std::string& bridge) {
  struct stat status;
  return ::stat(("/sys/class/net/" + bridge + "/brif/" + tap).c_str(), &status) == 0;
}

Outcome learn(const std::string& tap, int index, const MacAddress& guest) {
  const std::string what = "tell the bridge of " + tap + " where the guest is: ";
  std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
  std::unique_ptr<rtnl_neigh, decltype(&rtnl_neigh_put)> entry(rtnl_neigh_alloc(), rtnl_neigh_put);
  std::unique_ptr<nl_addr, decltype(&nl_addr_put)> address(nl_addr_build(AF_LLC, guest.data(), guest.size()), nl_addr_put);
  if (!socket || !entry || !address) return Error{what + "no memory"};
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error < 0) return Error{what + nl_geterror(error)};
  rtnl_neigh_set_family(entry.get(), AF_BRIDGE);
  rtnl_neigh_set_ifindex(entry.get(), index);
  rtnl_neigh_set_lladdr(entry.get(), address.get());
  rtnl_neigh_set_flags(entry.get(), NTF_MASTER);
  rtnl_neigh_set_state(entry.get(), NUD_REACHABLE);  // forgotten and learned anew as any other
  if (const int error = rtnl_neigh_add(socket.get(), entry.get(), NLM_F_CREATE | NLM_F_REPLACE); error < 0) return Error{what + nl_geterror(error)};
  return Done{};
}

Outcome tell(const std::string& bridge, int index, const MacAddress& guest) {
  const std::string what = "announce the guest on " + bridge + ": ";
  const Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error{what + std::strerror(errno)};
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = index;
  to.sll_halen = ETH_ALEN;
  std::fill_n(to.sll_addr, ETH_ALEN, 0xff);
  const auto frame = announcement_frame(guest);
  if (::sendto(socket.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0)
    return Error{what + std::strerror(errno)};
  return Done{};
}

}  // namespace

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  if (text.size() != 3 * mac.size() - 1) return {};
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const char* at = text.data() + 3 * i;
    if (i > 0 && at[-1] != ':') return {};
    const auto [end, error] = std::from_chars(at, at + 2, mac[i], 16);
    if (error != std::errc{} || end != at + 2) return {};
  }
  const bool nobody = std::all_of(mac.begin(), mac.end(), [](std::uint8_t byte) { return byte == 0; });
  if (nobody || (mac[0] & group_address) != 0) return {};
  return mac;
}

std::array<std::uint8_t, 60> announcement_frame(const MacAddress& guest) {
  std::array<std::uint8_t, 60> frame{};
  auto at = frame.begin();
  const auto number = [&](std::uint16_t value) {
    *at++ = static_cast<std::uint8_t>(value >> 8);
    *at++ = static_cast<std::uint8_t>(value & 0xff);
  };
  const auto address = [&](const MacAddress& mac) { at = std::copy(mac.begin(), mac.end(), at); };
  const auto no_address = [&] { at += 4; };
  address({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  address(guest);
  number(ETH_P_RARP);
  number(hardware_ethernet);
  number(ETH_P_IP);
  *at++ = ETH_ALEN;
  *at++ = 4;
  number(reverse_request);
  address(guest);
  no_address();
  address(guest);
  no_address();
  return frame;
}

Outcome place_guest(const std::string& bridge, const std::string& tap, const MacAddress& guest) {
  if (!is_device(bridge) || !is_device(tap) || !is_port_of(tap, bridge))
    return Error{"\"" + tap + "\" is no port of a Linux bridge \"" + bridge + "\" here"};
  const unsigned bridge_index = ::if_nametoindex(bridge.c_str());
  const unsigned tap_index = ::if_nametoindex(tap.c_str());
  if (bridge_index == 0 || tap_index == 0) return Error{"look for " + bridge + " and " + tap + ": " + std::strerror(errno)};
  if (Outcome learned = learn(tap, static_cast<int>(tap_index), guest); !learned) return learned;
  return tell(bridge, static_cast<int>(bridge_index), guest);
}

}  // namespace migrationd::io
