// SPDX-License-Identifier: GPL-2.0-or-later
// See own-address.h.
#include "migrationd/io/own-address.h"

#include <algorithm>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>

#include "migrationd/io/address.h"

namespace migrationd::io {

namespace {

namespace ip = boost::asio::ip;
using boost::system::error_code;

std::vector<IpAddress> resolve(const std::string& host) {
  boost::asio::io_context none;
  error_code code;
  std::vector<IpAddress> found;
  for (const auto& entry : ip::tcp::resolver(none).resolve(host, "", ip::tcp::resolver::passive, code))
    found.push_back(entry.endpoint().address());
  return found;
}

std::optional<IpAddress> source_towards(const IpAddress& to) {
  constexpr ip::port_type any_but_zero = 9;  // a datagram socket that is connected sends nothing by that
  boost::asio::io_context none;
  error_code code;
  const ip::udp::endpoint there(to, any_but_zero);
  ip::udp::socket socket(none);
  socket.open(there.protocol(), code);
  if (!code) socket.connect(there, code);
  if (code) return std::nullopt;
  const auto here = socket.local_endpoint(code);
  if (code || here.address().is_unspecified()) return std::nullopt;
  return here.address();
}

template <class List, class One>
void add_new(List& list, const One& one) {
  if (std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
}

std::string text_of(const IpAddress& address, std::optional<std::uint16_t> port) {
  const std::string text = address.to_string();
  if (!port) return text;
  return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(*port);
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

NetworkView real_network() { return {resolve, source_towards}; }

std::vector<IpAddress> addresses_of(const std::string& host, const NetworkView& network) {
  error_code not_numeric;
  const IpAddress numeric = ip::make_address(host, not_numeric);
  if (!not_numeric) return {numeric};
  std::vector<IpAddress> all;
  for (const IpAddress& one : network.resolve(host)) add_new(all, one);
  std::vector<IpAddress> reachable;
  std::copy_if(all.begin(), all.end(), std::back_inserter(reachable), [](const IpAddress& one) { return !one.is_loopback(); });
  return reachable.empty() ? all : reachable;
}

Result<ListenAddresses> listen_addresses(const std::vector<std::string>& own,
                                         const std::map<NodeName, std::vector<std::string>>& others,
                                         const NetworkView& network) {
  ListenAddresses found;
  std::vector<std::string> names, loopback;
  std::optional<std::uint16_t> port;  // of a name that doesn't tell where
  std::vector<std::string> elsewhere;  // such as an address that the name service still has of another time
  for (const std::string& entry : own) {
    const auto parsed = parse_address(entry);
    if (!parsed) return Error{"\"" + entry + "\", this node's address as the cluster has it, is no address"};
    error_code not_numeric;
    ip::make_address(parsed->host, not_numeric);
    if (!not_numeric) {
      add_new(found.addresses, text_of(ip::make_address(parsed->host), parsed->port));
      continue;
    }
    names.push_back(parsed->host);
    port = parsed->port;
    for (const IpAddress& one : addresses_of(parsed->host, network)) {
      const bool ours = network.source_towards(one) == one;
      add_new(one.is_loopback() ? loopback : ours ? found.addresses : elsewhere, text_of(one, parsed->port));
    }
  }
  if (found.addresses.empty()) found.addresses = elsewhere;  // listening there fails, and says so
  if (!found.addresses.empty()) return found;

  const std::string why =
      own.empty() ? "the cluster names no address of this node"
                  : "this node's name " + listed(names) +
                        (loopback.empty() ? " is not known" : " stands for " + listed(loopback) + " only, which no other node reaches");
  if (others.empty() && !loopback.empty()) {
    found.addresses = loopback;
    found.note = why + "; there is no other node yet. Before one is added, give the name its real address in /etc/hosts";
    return found;
  }
  std::vector<std::string> tried;
  for (const auto& [node, addresses] : others) {
    for (const std::string& entry : addresses) {
      const auto parsed = parse_address(entry);
      if (!parsed) continue;
      add_new(tried, entry);
      for (const IpAddress& one : addresses_of(parsed->host, network)) {
        const auto source = one.is_loopback() ? std::nullopt : network.source_towards(one);
        if (source && !source->is_loopback()) add_new(found.addresses, text_of(*source, port));
      }
    }
  }
  const std::string remedy =
      "give the name its real address in /etc/hosts, or set listen = ADDRESS in migrationd.conf";
  if (found.addresses.empty())
    return Error{"no address is known at which the other nodes reach this one: " + why + ", and there is no way to " +
                 (tried.empty() ? "another node" : listed(tried)) + " that would tell it: " + remedy};
  found.note = why + ": the links are accepted at " + listed(found.addresses) +
               ", from where the other nodes are reached. If they can't link to it: " + remedy;
  return found;
}

}  // namespace migrationd::io
