// SPDX-License-Identifier: GPL-2.0-or-later
// A domain's storage pools and networks are started before it comes, on libvirt's test driver: what is not active is
// found, started once, and what can't be started is said by its name.
#include <doctest/doctest.h>

#include "libvirt-fixture.h"
#include "migrationd/io/local-resources.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

constexpr const char* pool_xml = "<pool type='dir'><name>guests</name><target><path>/nowhere</path></target></pool>";
constexpr const char* network_xml = "<network><name>office</name><bridge name='virbr77'/><ip address='192.0.2.1' netmask='255.255.255.0'/></network>";

/// A pool and a network that are defined, and not active; gone at the end.
struct Defined {
  explicit Defined(virConnectPtr connection)
      : pool(::virStoragePoolDefineXML(connection, pool_xml, 0)), network(::virNetworkDefineXML(connection, network_xml)) {
    REQUIRE(pool);
    REQUIRE(network);
    REQUIRE_FALSE(pool_active());
    REQUIRE_FALSE(network_active());
  }
  Defined(const Defined&) = delete;
  Defined& operator=(const Defined&) = delete;
  ~Defined() {
    ::virStoragePoolDestroy(pool);
    ::virStoragePoolUndefine(pool);
    ::virStoragePoolFree(pool);
    ::virNetworkDestroy(network);
    ::virNetworkUndefine(network);
    ::virNetworkFree(network);
  }
  bool pool_active() const { return ::virStoragePoolIsActive(pool) == 1; }
  bool network_active() const { return ::virNetworkIsActive(network) == 1; }

  virStoragePoolPtr pool;
  virNetworkPtr network;
};

std::string xml_with(const DomainUuid& uuid, const std::string& pool, const std::string& network) {
  return "<domain type='test'><name>vm1</name><uuid>" + uuid.str() + "</uuid><memory>65536</memory><devices>" +
         "<disk type='volume'><source pool='" + pool + "' volume='vm1'/><target dev='vda'/></disk>" +
         "<interface type='network'><source network='" + network + "'/></interface></devices></domain>";
}

}  // namespace

TEST_CASE("local-resources: a check names what is not active, and how to start it; start_resources=true lets it pass") {
  tests::LibvirtNode node(false);
  Defined defined(node.connection.get());
  const Connection connection(node.connection.get(), [](virConnectPtr) {});
  const auto domain = parse_domain_xml(xml_with(node.vm, "guests", "office"), "x");
  REQUIRE(domain.ok());

  const auto strict = check_resources(connection, domain.value(), false);
  REQUIRE_FALSE(strict.ok());
  CHECK(strict.error() == "storage pool guests is not active on this node; run virsh pool-start guests, or set start_resources=true");
  const auto lenient = check_resources(connection, domain.value(), true);
  REQUIRE(lenient.ok());
  CHECK(lenient.value().find("storage pool guests, network office") == 0);
  CHECK_FALSE(defined.network_active());  // a check starts nothing
}

TEST_CASE("local-resources: the daemon starts what is not active, and only that") {
  tests::LibvirtNode node(false);
  Defined defined(node.connection.get());
  node.hypervisor.start();
  REQUIRE(node.until([&] { return node.log.has("is connected"); }));
  const auto start = [&](const std::string& pool, const std::string& network) {
    std::optional<Outcome> ended;
    node.hypervisor.start_resources({node.vm, "vm1", xml_with(node.vm, pool, network)}, [&](Outcome outcome) { ended = outcome; });
    REQUIRE(node.until([&] { return ended.has_value(); }));
    return *ended;
  };

  CHECK(start("guests", "office").ok());
  CHECK(defined.pool_active());
  CHECK(defined.network_active());
  CHECK(node.log.has("started for it: storage pool guests, network office"));

  node.log.lines.clear();
  CHECK(start("guests", "office").ok());
  CHECK_FALSE(node.log.has("started for it"));

  const Outcome unknown = start("guests", "elsewhere");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().find("network elsewhere is not known to libvirt on this node") != std::string::npos);
}
