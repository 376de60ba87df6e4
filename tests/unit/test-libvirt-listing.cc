// SPDX-License-Identifier: GPL-2.0-or-later
// Nothing is absent because a listing did not name it: one that failed, one that is not complete, one whose domains
// are not read yet. The daemon's own code, on libvirt's test driver.
#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>

#include "libvirt-fixture.h"

using namespace migrationd;
using handoff::Here;

namespace {

/// A listing of active domains that leaves out all of them.
int list_nothing(virConnectPtr connection, virDomainPtr** domains, unsigned flags) {
  const int count = tests::real_list(connection, domains, flags);
  for (int i = 0; i < count; ++i) ::virDomainFree((*domains)[i]);
  if (count > 0) (*domains)[0] = nullptr;
  return std::min(count, 0);
}

}  // namespace

TEST_CASE("libvirt-listing: half of a listing that fails makes nothing absent") {
  std::atomic<int> failed = 0;
  unsigned failing = 0;
  tests::WatchedLibvirt watched;
  tests::LibvirtNode node;
  SUBCASE("the active domains") { failing = VIR_CONNECT_LIST_DOMAINS_ACTIVE; }
  SUBCASE("those just being started") { failing = VIR_CONNECT_LIST_DOMAINS_INACTIVE; }
  watched.on_list([&](virConnectPtr connection, virDomainPtr** domains, unsigned flags) {
    return flags & failing ? (++failed, -1) : tests::real_list(connection, domains, flags);
  });
  node.hypervisor.start();
  // twice: what the first left behind could be taken for knowledge by the second
  REQUIRE(node.until([&] { return failed >= 2 && node.log.has("list the domains"); }));
  CHECK(node.look().here == Here::unknown);
  watched.on_list({});
  CHECK(node.seen(Here::running));
}

TEST_CASE("libvirt-listing: a known domain that a listing leaves out is read, not called absent") {
  tests::WatchedLibvirt watched;
  tests::LibvirtNode node;
  node.hypervisor.start();
  REQUIRE(node.seen(Here::running));
  watched.on_list(list_nothing);
  bool listed = false;
  node.hypervisor.refresh([&](Outcome outcome) { listed = outcome.ok(); });
  REQUIRE(node.until([&] { return listed; }));
  CHECK(node.look().here == Here::running);
}

TEST_CASE("libvirt-listing: a living emulator that the listing does not name is no absent domain") {
  tests::WatchedLibvirt watched;
  tests::LibvirtNode node(false);
  tests::StandInEmulator emulator(node.scratch, "vm1", node.vm);
  node.hypervisor.start();
  REQUIRE(node.until([&] { return node.log.has("is connected"); }));
  CHECK(node.look().here == Here::unknown);
}

TEST_CASE("libvirt-listing: before each domain of the listing is read, nothing is said of any") {
  std::mutex lock;
  std::condition_variable changed;
  bool asked = false, answer = false;
  tests::WatchedLibvirt watched;
  tests::LibvirtNode node;
  watched.on_state([&](virDomainPtr domain, int* state, int* reason) {
    std::unique_lock held(lock);
    asked = true;
    changed.wait_for(held, std::chrono::seconds(10), [&] { return answer; });
    return tests::real_state(domain, state, reason);
  });
  node.hypervisor.start();
  const DomainUuid other = *DomainUuid::parse("99999999-2222-4333-8444-555555555555");
  REQUIRE(node.until([&] {
    std::lock_guard held(lock);
    return asked;
  }));
  CHECK(node.hypervisor.look(other).here == Here::unknown);
  {
    std::lock_guard held(lock);
    answer = true;
  }
  changed.notify_all();
  CHECK(node.seen(Here::running));
  CHECK(node.hypervisor.look(other).here == Here::absent);
}

TEST_CASE("libvirt-listing: a definition alone is no domain: it is absent, boots in place, and is absent after its end") {
  tests::LibvirtNode node(false);
  node.define();
  node.hypervisor.start();
  REQUIRE(node.until([&] { return node.log.has("is connected"); }));
  CHECK(node.look().here == Here::absent);
  CHECK(node.hypervisor.all().count(node.vm) == 0);

  std::optional<Outcome> booted, destroyed;
  node.hypervisor.boot({node.vm, "vm1", node.xml()}, [&](Outcome outcome) { booted = outcome; });
  REQUIRE(node.until([&] { return booted.has_value(); }));
  CHECK_MESSAGE(booted->ok(), (booted->ok() ? "" : booted->error()));
  CHECK(node.look().here == Here::running);
  CHECK(::virDomainIsPersistent(node.defined.get()) == 1);

  node.hypervisor.destroy(node.vm, [&](Outcome outcome) { destroyed = outcome; });
  REQUIRE(node.until([&] { return destroyed.has_value(); }));
  CHECK(destroyed->ok());
  CHECK(node.seen(Here::absent));
  CHECK(::virDomainIsPersistent(node.defined.get()) == 1);
}
