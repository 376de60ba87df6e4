// SPDX-License-Identifier: GPL-2.0-or-later
// What is said of a domain: absent only when it is proven, and each of libvirt's states as what it means.
#include <doctest/doctest.h>
#include <libvirt/libvirt.h>

#include "migrationd/io/domain-registry.h"

using namespace migrationd;
using namespace migrationd::io;
using handoff::Here;

namespace {

const DomainUuid vm = *DomainUuid::parse("11111111-2222-4333-8444-555555555555");
Instant at(int milliseconds) { return {Milliseconds(milliseconds)}; }

engine::DomainView seen(int state, int reason, DomainJob job = DomainJob::none, bool mark = false) {
  return view_of({.name = "vm1", .state = state, .reason = reason, .job = job, .copy_mark = mark, .memory_kib = 1});
}

/// A registry after a complete look in which vm runs.
struct Running {
  explicit Running(bool xen = false) : registry(xen) {
    CHECK(registry.listed({vm}) == std::set<DomainUuid>{vm});
    registry.set(vm, {.name = "vm1", .state = VIR_DOMAIN_RUNNING, .reason = VIR_DOMAIN_RUNNING_BOOTED}, [this] { return alive; });
    registry.complete(at(0));
  }
  bool alive = true;
  DomainRegistry registry;
};

}  // namespace

TEST_CASE("registry: nothing is absent before the first complete look, nor after the connection is lost") {
  DomainRegistry registry;
  CHECK(registry.look(vm, at(0)).here == Here::unknown);
  registry.listed({});
  CHECK(registry.look(vm, at(0)).here == Here::unknown);
  registry.complete(at(0));
  CHECK(registry.look(vm, at(0)).here == Here::absent);
  registry.lost();
  CHECK(registry.look(vm, at(100000)).here == Here::unknown);
}

TEST_CASE("registry: what was proven absent while libvirt was down is absent for a moment, and only while libvirt is away") {
  DomainRegistry registry;
  registry.proven_absent(vm, at(1000));
  CHECK(registry.look(vm, at(2999)).here == Here::absent);
  CHECK(registry.look(vm, at(3000)).here == Here::unknown);
  registry.proven_absent(vm, at(4000));
  registry.listed({vm});
  registry.complete(at(4001));
  CHECK(registry.look(vm, at(4002)).here == Here::unknown);  // it is there again
}

TEST_CASE("registry: a listed domain that isn't read yet, or can't be, is unknown") {
  DomainRegistry registry;
  registry.listed({vm});
  registry.complete(at(0));
  CHECK(registry.look(vm, at(0)).here == Here::unknown);
  Running node;
  node.registry.unreadable(vm, "hangs");
  CHECK(node.registry.look(vm, at(0)).here == Here::unknown);
  CHECK(node.registry.look(vm, at(0)).detail == "hangs");
}

TEST_CASE("registry: a domain that was just started, or can't be read the first time, isn't absent") {
  DomainRegistry registry;
  registry.listed({});
  registry.complete(at(0));
  SUBCASE("started") {
    registry.sighted(vm);
    CHECK(registry.look(vm, at(1)).here == Here::unknown);
    registry.stopped(vm, VIR_DOMAIN_EVENT_STOPPED_FAILED, at(2));
    CHECK(registry.look(vm, at(3)).here == Here::absent);
  }
  SUBCASE("not readable") {
    registry.unreadable(vm, "its emulator isn't found");
    CHECK(registry.look(vm, at(1)).here == Here::unknown);
    CHECK(registry.look(vm, at(1)).detail == "its emulator isn't found");
    CHECK(registry.all(at(1)).contains(vm));
    registry.vanished(vm, at(2));  // it was never there: nothing that could be rebooting
    CHECK(registry.look(vm, at(2)).here == Here::absent);
  }
  SUBCASE("not readable, then it ends") {
    registry.unreadable(vm, "its emulator isn't found");
    registry.stopped(vm, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, at(2));
    CHECK(registry.look(vm, at(2)).here == Here::absent);
  }
  SUBCASE("not readable, then it is") {
    registry.unreadable(vm, "its emulator isn't found");
    registry.set(vm, {.name = "vm1", .state = VIR_DOMAIN_RUNNING, .reason = VIR_DOMAIN_RUNNING_BOOTED}, [] { return true; });
    CHECK(registry.look(vm, at(1)).here == Here::running);
    registry.vanished(vm, at(2));
    CHECK(registry.look(vm, at(3)).here == Here::unknown);
  }
  SUBCASE("started again while its end is still doubted") {
    registry.set(vm, {.name = "vm1", .state = VIR_DOMAIN_RUNNING, .reason = VIR_DOMAIN_RUNNING_BOOTED}, nullptr);
    registry.vanished(vm, at(2));
    registry.unreadable(vm, "hangs");
    CHECK(registry.look(vm, at(100000)).here == Here::unknown);
    registry.vanished(vm, at(100000));
    CHECK(registry.look(vm, at(100001)).here == Here::unknown);
  }
}

TEST_CASE("registry: while libvirt is away a healthy domain lives on for as long as its emulator does") {
  Running node;
  CHECK_FALSE(node.registry.look(vm, at(0)).lives_on);  // libvirt answers
  node.registry.lost();
  CHECK(node.registry.look(vm, at(0)).here == Here::unknown);
  CHECK(node.registry.look(vm, at(0)).lives_on);
  node.alive = false;
  CHECK_FALSE(node.registry.look(vm, at(0)).lives_on);
  SUBCASE("not so one that was not healthy, or never read") {
    node.alive = true;
    node.registry.set(vm, {.name = "vm1", .state = VIR_DOMAIN_PAUSED, .reason = VIR_DOMAIN_PAUSED_IOERROR}, [] { return true; });
    CHECK_FALSE(node.registry.look(vm, at(0)).lives_on);
    node.registry.unreadable(vm, "hangs");
    CHECK_FALSE(node.registry.look(vm, at(0)).lives_on);
  }
}

TEST_CASE("registry: vanished without a seen end is absent after five seconds only") {
  Running node;
  node.alive = false;
  node.registry.vanished(vm, at(1000));
  CHECK(node.registry.look(vm, at(5999)).here == Here::unknown);
  CHECK(node.registry.unsettled(at(5999)) == std::set<DomainUuid>{vm});
  CHECK(node.registry.look(vm, at(6000)).here == Here::absent);
  CHECK(node.registry.unsettled(at(6000)).empty());
}

TEST_CASE("registry: a seen end is absent at once, but never while the emulator lives") {
  Running node;
  node.registry.stopped(vm, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, at(1000));
  CHECK(node.registry.look(vm, at(1000)).here == Here::unknown);
  CHECK(node.registry.look(vm, at(100000)).here == Here::unknown);
  node.alive = false;
  CHECK(node.registry.look(vm, at(1000)).here == Here::absent);
}

TEST_CASE("registry: the end of a Xen guest may be its reboot") {
  Running node(true);
  node.alive = false;
  node.registry.stopped(vm, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, at(6000));
  CHECK(node.registry.look(vm, at(6000)).here == Here::unknown);
  CHECK(node.registry.look(vm, at(11000)).here == Here::absent);
  Running destroyed(true);
  destroyed.alive = false;
  destroyed.registry.stopped(vm, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, at(6000));
  CHECK(destroyed.registry.look(vm, at(6000)).here == Here::absent);
  DomainRegistry fresh(true);
  fresh.listed({});
  fresh.complete(at(0));
  CHECK(fresh.look(vm, at(4999)).here == Here::unknown);
  CHECK(fresh.look(vm, at(5000)).here == Here::absent);
}

TEST_CASE("registry: a domain not in a new listing is read before anything is said of it") {
  Running node;
  node.registry.lost();
  CHECK(node.registry.listed({}) == std::set<DomainUuid>{vm});
  node.registry.vanished(vm, at(50));
  node.registry.complete(at(50));
  node.alive = false;
  CHECK(node.registry.look(vm, at(60)).here == Here::unknown);
}

TEST_CASE("registry: an emulator that libvirt doesn't list keeps its domain unknown") {
  DomainRegistry registry;
  bool alive = true;
  registry.stray(vm, [&] { return alive; }, at(0));
  registry.listed({});
  registry.complete(at(0));
  CHECK(registry.look(vm, at(90000)).here == Here::unknown);
  alive = false;
  CHECK(registry.look(vm, at(90000)).here == Here::absent);
}

TEST_CASE("registry: libvirt's states") {
  CHECK(seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED).here == Here::running);
  CHECK(seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED).healthy);
  CHECK(seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, DomainJob::outgoing).job);
  // an administrator's pause executes by itself later; an I/O error is no health
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER).here == Here::running);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER).healthy);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR).here == Here::running);
  CHECK(!seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR).healthy);
  CHECK(!seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR).ending);
  for (const auto& one : {seen(VIR_DOMAIN_SHUTDOWN, 0), seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_SHUTTING_DOWN), seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_SAVE)})
    CHECK(one.ending);
  CHECK(!seen(VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED).healthy);
  // copies
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, DomainJob::incoming).here == Here::incoming);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, DomainJob::none, true).here == Here::paused);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP, DomainJob::none, true).here == Here::incoming);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_STARTING_UP).here == Here::unknown);
  // a source in switchover, and one whose migration failed
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, DomainJob::outgoing).here == Here::paused);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, DomainJob::outgoing).job);
  CHECK(seen(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION).here == Here::paused);
  // half a guest is neither; at the destination it is a copy that is not complete
  for (const int reason : {VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED}) {
    CHECK(seen(VIR_DOMAIN_PAUSED, reason, DomainJob::outgoing).here == Here::remains);
    CHECK(seen(VIR_DOMAIN_PAUSED, reason, DomainJob::none, true).here == Here::incoming);
  }
  CHECK(seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY).fetching);
  CHECK(seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY).healthy);
  CHECK(seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED).fetching);
  CHECK(!seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED).healthy);
  CHECK(!seen(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_MIGRATED).fetching);
  CHECK(seen(VIR_DOMAIN_NOSTATE, 0).here == Here::unknown);
}
