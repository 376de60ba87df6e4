// SPDX-License-Identifier: GPL-2.0-or-later
// How a domain ended: all sequences of libvirt's events that were seen of real ends, and what its log says of them.
#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include <libvirt/libvirt.h>

#include "migrationd/io/domain-endings.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using io::DomainEndings;
using recovery::Ending;
using recovery::how_it_ended;
using recovery::Sign;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");

struct Event {
  int event, detail;
};
constexpr Event started{VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_BOOTED};
constexpr Event resumed{VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED};
constexpr Event paused{VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED};
constexpr Event by_guest{VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_GUEST};
constexpr Event by_host{VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_HOST};
constexpr Event panicked{VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED};
constexpr Event stopped(int detail) { return {VIR_DOMAIN_EVENT_STOPPED, detail}; }

struct Seen {
  tests::Scratch scratch;
  DomainEndings endings;
  explicit Seen(const std::vector<Event>& events) {
    for (const Event& one : events) endings.saw(uuid, one.event, one.detail);
  }
  Ending ended() const { return endings.how_it_ended(uuid, scratch.path(), "vm1"); }
  void log(const std::string& text) { std::ofstream(scratch / "vm1.log", std::ios::app) << text; }
};

Ending after(const std::vector<Event>& events) { return Seen(events).ended(); }

const std::string start = "2026-11-28 20:00:00.000+0000: starting up libvirt version: 9.0.0, package: 4+deb12u2, qemu version: 7.2.11\n";
std::string end(const std::string& reason) { return "2026-11-28 20:10:00.000+0000: shutting down, reason=" + reason + "\n"; }

}  // namespace

TEST_CASE("endings: the guest's own poweroff and virsh shutdown are a power-off, and so is virsh destroy") {
  CHECK(after({started, by_guest, stopped(VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)}) == Ending::powered_off);
  CHECK(after({started, by_host, stopped(VIR_DOMAIN_EVENT_STOPPED_DESTROYED)}) == Ending::powered_off);
  CHECK(after({started, stopped(VIR_DOMAIN_EVENT_STOPPED_DESTROYED)}) == Ending::powered_off);
  CHECK(after({started, paused, stopped(VIR_DOMAIN_EVENT_STOPPED_DESTROYED)}) == Ending::powered_off);
  CHECK(after({stopped(VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)}) == Ending::powered_off);  // Xen tells no more
}

TEST_CASE("endings: a killed emulator and a panic are a crash, whatever ends the domain then") {
  CHECK(after({started, by_host, stopped(VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)}) == Ending::crashed);
  CHECK(after({started, stopped(VIR_DOMAIN_EVENT_STOPPED_FAILED)}) == Ending::crashed);
  CHECK(after({started, panicked, stopped(VIR_DOMAIN_EVENT_STOPPED_CRASHED)}) == Ending::crashed);
  CHECK(after({started, panicked, by_host, stopped(VIR_DOMAIN_EVENT_STOPPED_DESTROYED)}) == Ending::crashed);
  CHECK(after({started, panicked, by_guest, stopped(VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)}) == Ending::crashed);
}

TEST_CASE("endings: what is saved or migrated did not fail") {
  CHECK(after({started, paused, stopped(VIR_DOMAIN_EVENT_STOPPED_SAVED)}) == Ending::saved);
  CHECK(after({started, paused, stopped(VIR_DOMAIN_EVENT_STOPPED_MIGRATED)}) == Ending::migrated);
}

TEST_CASE("endings: what was before the guest went on belongs to no end, as a shutdown that became a reboot, or an earlier life") {
  CHECK(after({started, panicked, resumed, by_guest, stopped(VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)}) == Ending::powered_off);
  CHECK(after({by_host, stopped(VIR_DOMAIN_EVENT_STOPPED_DESTROYED), started, stopped(VIR_DOMAIN_EVENT_STOPPED_FAILED)}) == Ending::crashed);
  Seen seen({started, panicked});
  seen.endings.forget(uuid);  // the event `reboot`
  seen.endings.saw(uuid, by_guest.event, by_guest.detail);
  seen.endings.saw(uuid, VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
  CHECK(seen.ended() == Ending::powered_off);
}

TEST_CASE("endings: without an end nothing is known; of two shutdowns the first one counts") {
  CHECK(how_it_ended({}) == Ending::unknown);
  CHECK(how_it_ended({Sign::guest_shut_down}) == Ending::unknown);
  CHECK(how_it_ended({Sign::panicked}) == Ending::unknown);
  CHECK(how_it_ended({Sign::guest_shut_down, Sign::signalled, Sign::off}) == Ending::powered_off);
  CHECK(how_it_ended({Sign::signalled, Sign::guest_shut_down, Sign::off}) == Ending::crashed);
  CHECK(after({started, by_guest}) == Ending::unknown);
}

TEST_CASE("endings: the log tells what no event was seen of") {
  const auto by = [](const std::string& text) {
    Seen seen({});
    seen.log(text);
    return seen.ended();
  };
  const std::string by_libvirt = "2026-11-28T20:10:00Z qemu-system-x86_64: terminating on signal 15 from pid 123 (/usr/sbin/libvirtd)\n";
  const std::string by_somebody = "2026-11-28T20:10:00Z qemu-system-x86_64: terminating on signal 15 from pid 99 (kill)\n";
  CHECK(by(start + end("shutdown")) == Ending::powered_off);
  CHECK(by(start + by_libvirt + end("shutdown")) == Ending::powered_off);
  CHECK(by(start + by_somebody + end("shutdown")) == Ending::crashed);
  CHECK(by(start + by_libvirt + end("destroyed")) == Ending::powered_off);
  CHECK(by(start + end("crashed")) == Ending::crashed);
  CHECK(by(start + end("failed")) == Ending::crashed);
  CHECK(by(start + end("daemon")) == Ending::crashed);
  CHECK(by(start + end("migrated")) == Ending::migrated);
  CHECK(by(start + end("saved")) == Ending::saved);
  CHECK(by(start + end("destroyed") + start) == Ending::unknown);
  CHECK(by(start + end("failed") + start + end("shutdown")) == Ending::powered_off);
  CHECK(by("ng up\n" + std::string(100'000, 'x') + "\n" + end("destroyed")) == Ending::powered_off);
  CHECK(by("") == Ending::unknown);
}

TEST_CASE("endings: an event that was seen goes before the log, and no log is an end that nobody knows") {
  Seen seen({started, stopped(VIR_DOMAIN_EVENT_STOPPED_FAILED)});
  seen.log(start + end("shutdown"));
  CHECK(seen.ended() == Ending::crashed);
  CHECK(after({}) == Ending::unknown);
}
