// SPDX-License-Identifier: GPL-2.0-or-later
// Which of this node's addresses the others reach. A cluster manager may know only its nodes' names, and on many
// machines a node's own name stands for a loopback address (Debian's /etc/hosts: 127.0.1.1 NAME), at which nobody
// else ever arrives. Then the way to the other nodes tells: the address from which packets to them would be sent.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

using IpAddress = boost::asio::ip::address;

/// What the system knows of names and ways. Tests have their own.
struct NetworkView {
  /// All that a name stands for, in the resolver's order; empty: it isn't known. Blocks, as long as the resolver does.
  std::function<std::vector<IpAddress>(const std::string& host)> resolve;
  /// The local address from which `to` is reached; nothing: there is no way. No packet is sent.
  std::function<std::optional<IpAddress>(const IpAddress& to)> source_towards;
};
NetworkView real_network();

/// What `host`, a name or a numeric address, stands for: all of it, without the loopback ones if it has others.
std::vector<IpAddress> addresses_of(const std::string& host, const NetworkView& network);

struct ListenAddresses {
  std::vector<std::string> addresses;  ///< numeric, with the port where one was given
  std::string note;                    ///< for the log, when they are not what this node's names stand for
};

/// Where to accept: at what `own` (names, or numeric addresses, which count as they are) stand for; where that is
/// nothing but loopback, at the local ends of the ways to `others`. Never all addresses. An error says what to do.
Result<ListenAddresses> listen_addresses(const std::vector<std::string>& own,
                                         const std::map<NodeName, std::vector<std::string>>& others,
                                         const NetworkView& network = real_network());

}  // namespace migrationd::io
