// SPDX-License-Identifier: GPL-2.0-or-later
// A resource that moves over from ocf:heartbeat:VirtualDomain keeps its way through the network, so the URIs
// must come out as that agent's shell code makes them.
#include <doctest/doctest.h>

#include "migrationd/resource/migration-uri.h"

using namespace migrationd::resource;

namespace {

Parameters over(Transport transport) {
  Parameters p;
  p.migration_transport = transport;
  return p;
}

}  // namespace

TEST_CASE("migration uri: the destination goes where the host was, with the transport") {
  Parameters p;
  CHECK(migration_uri(p, "node2").value() == "qemu://node2/system");
  CHECK(migration_uri(over(Transport::ssh), "node2").value() == "qemu+ssh://node2/system");
  p = over(Transport::tcp);
  p.hypervisor = "qemu://here:9999/system";
  CHECK(migration_uri(p, "node2").value() == "qemu+tcp://node2:9999/system");
  p.hypervisor = "xen:///system?x=1";
  CHECK(migration_uri(p, "node2").value() == "xen+tcp://node2/system?x=1");
}

TEST_CASE("migration uri: the transport of the local connection doesn't leak into the remote one") {
  Parameters p = over(Transport::tls);
  p.hypervisor = "qemu+unix:///system";
  CHECK(migration_uri(p, "node2").value() == "qemu+tls://node2/system");
  p.migration_transport = Transport::automatic;
  CHECK(migration_uri(p, "node2").value() == "qemu://node2/system");
}

TEST_CASE("migration uri: user and network suffix; the suffix goes before the first dot") {
  Parameters p = over(Transport::ssh);
  p.migration_user = "mover";
  p.migration_network_suffix = "-mig";
  CHECK(migration_uri(p, "node2").value() == "qemu+ssh://mover@node2-mig/system");
  CHECK(migration_uri(p, "node2.example.org").value() == "qemu+ssh://mover@node2-mig.example.org/system");
  CHECK(migrate_uri(p, "node2.example.org") == "tcp://node2-mig.example.org");
  p.migrateport = 49999;
  CHECK(migrate_uri(p, "node2") == "tcp://node2-mig:49999");
  p.hypervisor = "xen:///system";
  CHECK(migrate_uri(p, "node2") == "node2-mig");
}

TEST_CASE("migration uri: without a suffix libvirt chooses the memory's way itself") {
  Parameters p;
  p.migrateport = 49999;
  CHECK(migrate_uri(p, "node2").empty());
}

TEST_CASE("migration uri: custom URIs go before computed ones, %n is the destination, everywhere it stands") {
  Parameters p = over(Transport::ssh);
  p.remoteuri = "qemu+tcp://%n-adm/system?name=%n";
  p.migration_user = "ignored";
  CHECK(migration_uri(p, "node2").value() == "qemu+tcp://node2-adm/system?name=node2");
  p.migrateuri = "tcp://%n-mig:49152";
  CHECK(migrate_uri(p, "node2") == "tcp://node2-mig:49152");
}

TEST_CASE("migration uri: %n in migrateuri has the suffix, except beside remoteuri") {
  Parameters p;
  p.migrateuri = "tcp://%n";
  p.migration_network_suffix = "-mig";
  CHECK(migrate_uri(p, "node2") == "tcp://node2-mig");
  p.remoteuri = "qemu://%n/system";
  CHECK(migrate_uri(p, "node2") == "tcp://node2");
}

TEST_CASE("migration uri: a hypervisor without a place for a host is an error, not a migration to oneself") {
  Parameters p;
  p.hypervisor = "test:default";
  const auto uri = migration_uri(p, "node2");
  REQUIRE_FALSE(uri.ok());
  CHECK(uri.error().find("set remoteuri") != std::string::npos);
}

TEST_CASE("migration uri: migrateuri goes before the one in migrate_options") {
  std::map<std::string, std::string> given{{"config", "/x"}, {"migrate_options", "--p2p --migrateuri=tcp://%n-options"}};
  CHECK(migrate_uri(parse(given).value(), "node2") == "tcp://node2-options");
  given["migrateuri"] = "tcp://%n-own";
  CHECK(migrate_uri(parse(given).value(), "node2") == "tcp://node2-own");
}

TEST_CASE("migration uri: the daemons carry what names no other way") {
  Parameters p;
  CHECK(carried(p));
  p.hypervisor = "qemu+unix:///system";
  CHECK(carried(p));
  CHECK(carried_via(p, "node2") == "");
  for (const char* uri : {"xen:///system", "qemu:///session", "test:///default"}) {
    p.hypervisor = uri;
    CHECK(!carried(p));
  }
  for (const Transport transport : {Transport::ssh, Transport::tls, Transport::tcp}) CHECK(!carried(over(transport)));
  for (const char* word : {"--tls", "--tls-destination=x", "--tunnelled", "--listen-address 192.0.2.1", "--disks-port=1", "--disks-uri=tcp://x", "--rdma-pin-all"}) {
    Parameters own;
    own.migrate_options = std::string("--auto-converge ") + word;
    CHECK(!carried(own));
  }
  Parameters harmless;
  harmless.migrate_options = "--parallel --parallel-connections 4 --copy-storage-all";
  CHECK(carried(harmless));
}

TEST_CASE("migration uri: a network suffix is libvirt's way, unless the daemons are asked to go it") {
  Parameters p;
  p.migration_network_suffix = "-mig";
  CHECK(!carried(p));
  p.migration_transport = Transport::migrationd;
  CHECK(carried(p));
  CHECK(check_carried(p).ok());
  CHECK(carried_via(p, "node2.example.org") == "node2-mig.example.org");
}
