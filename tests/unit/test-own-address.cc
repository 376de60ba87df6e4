// SPDX-License-Identifier: GPL-2.0-or-later
// Where a node accepts the others' links when its cluster manager knows it by name, and the name stands for a loopback
// address: Debian's own /etc/hosts.
#include <doctest/doctest.h>

#include "migrationd/io/own-address.h"

using namespace migrationd;
using io::IpAddress;

namespace {

using Addresses = std::vector<std::string>;

/// Some /etc/hosts, and a machine with some addresses and ways.
struct Machine {
  std::map<std::string, Addresses> hosts;
  std::map<std::string, std::string> sources;  ///< destination to local address

  io::NetworkView view() const {
    return {[this](const std::string& host) {
              std::vector<IpAddress> found;
              if (const auto at = hosts.find(host); at != hosts.end())
                for (const auto& one : at->second) found.push_back(boost::asio::ip::make_address(one));
              return found;
            },
            [this](const IpAddress& to) -> std::optional<IpAddress> {
              const auto at = sources.find(to.to_string());
              if (at == sources.end()) return std::nullopt;
              return boost::asio::ip::make_address(at->second);
            }};
  }
  Result<io::ListenAddresses> listen(const Addresses& own, const Addresses& peer = {"beta"}) const {
    return io::listen_addresses(own, {{"beta", peer}}, view());
  }
};

const Machine debian{{{"alpha", {"127.0.1.1"}}, {"beta", {"192.0.2.2"}}}, {{"192.0.2.2", "192.0.2.1"}, {"192.0.2.1", "192.0.2.1"}}};

}  // namespace

TEST_CASE("own-address: what a name stands for, and never only the first of it") {
  Machine machine = debian;
  machine.hosts["alpha"] = {"127.0.1.1", "::1", "192.0.2.1", "2001:db8::1"};
  machine.sources["2001:db8::1"] = "2001:db8::1";
  const auto found = machine.listen({"alpha"});
  REQUIRE(found.ok());
  CHECK(found.value().addresses == Addresses{"192.0.2.1", "2001:db8::1"});
  CHECK(found.value().note.empty());
  CHECK(machine.listen({"alpha:7000"}).value().addresses == Addresses{"192.0.2.1:7000", "[2001:db8::1]:7000"});
}

TEST_CASE("own-address: an address that the name has elsewhere is left out, unless nothing else is known") {
  Machine machine = debian;
  machine.hosts["alpha"] = {"198.51.100.7", "192.0.2.1"};
  CHECK(machine.listen({"alpha"}).value().addresses == Addresses{"192.0.2.1"});
  machine.hosts["alpha"] = {"198.51.100.7"};
  CHECK(machine.listen({"alpha"}).value().addresses == Addresses{"198.51.100.7"});
}

TEST_CASE("own-address: a name with nothing but loopback is passed over for the way to the others, and that is said") {
  const auto found = debian.listen({"alpha"});
  REQUIRE(found.ok());
  CHECK(found.value().addresses == Addresses{"192.0.2.1"});
  CHECK(found.value().note.find("alpha stands for 127.0.1.1 only") != std::string::npos);
  CHECK(found.value().note.find("/etc/hosts") != std::string::npos);
  CHECK(debian.listen({"alpha:7000"}).value().addresses == Addresses{"192.0.2.1:7000"});
  SUBCASE("each way, also to addresses without a name, once") {
    Machine machine = debian;
    machine.sources["198.51.100.2"] = "198.51.100.1";
    CHECK(machine.listen({"alpha"}, {"beta", "198.51.100.2", "192.0.2.2:9000"}).value().addresses ==
          Addresses{"192.0.2.1", "198.51.100.1"});
  }
  SUBCASE("a name that is not known, or none at all, goes the same way") {
    CHECK(debian.listen({"gamma"}).value().addresses == Addresses{"192.0.2.1"});
    CHECK(debian.listen({}).value().addresses == Addresses{"192.0.2.1"});
  }
}

TEST_CASE("own-address: where nothing tells the address, the error names /etc/hosts and listen") {
  Machine machine = debian;
  SUBCASE("no way") { machine.sources.clear(); }
  SUBCASE("the peer's name is not known") { machine.hosts.erase("beta"); }
  SUBCASE("the peer's name is loopback, too") { machine.hosts["beta"] = {"127.0.1.1"}; }
  SUBCASE("the way is loopback") { machine.sources["192.0.2.2"] = "127.0.0.1"; }
  machine.sources["127.0.1.1"] = "127.0.0.1";
  const auto found = machine.listen({"alpha"});
  REQUIRE_FALSE(found.ok());
  for (const char* part : {"alpha stands for 127.0.1.1 only", "beta", "/etc/hosts", "listen = ADDRESS", "migrationd.conf"})
    CHECK_MESSAGE(found.error().find(part) != std::string::npos, found.error());
}

TEST_CASE("own-address: an address that was written as a number counts as it is") {
  CHECK(debian.listen({"127.0.0.1"}).value().addresses == Addresses{"127.0.0.1"});
  CHECK(debian.listen({"[::1]:7000", "203.0.113.9"}).value().addresses == Addresses{"[::1]:7000", "203.0.113.9"});
}

TEST_CASE("own-address: a node that is alone has no need of the others' way") {
  const auto found = io::listen_addresses({"alpha"}, {}, debian.view());
  REQUIRE(found.ok());
  CHECK(found.value().addresses == Addresses{"127.0.1.1"});
  CHECK(found.value().note.find("no other node yet") != std::string::npos);
}

TEST_CASE("own-address: the real resolver and the real ways") {
  const io::NetworkView network = io::real_network();
  const auto local = network.resolve("localhost");
  REQUIRE_FALSE(local.empty());
  CHECK(local.front().is_loopback());
  const IpAddress itself = boost::asio::ip::make_address("127.0.0.1");
  CHECK(network.source_towards(itself) == itself);
  CHECK(network.resolve("no such name").empty());
}
