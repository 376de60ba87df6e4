// SPDX-License-Identifier: GPL-2.0-or-later
// A migration job, from the order to its end: the copy arrives paused, and the answer of libvirt's call, which can be
// lost, never says by itself that the source may go on. The daemon's own code, on libvirt's test driver.
#include <doctest/doctest.h>

#include <condition_variable>

#include "libvirt-fixture.h"
#include "migrationd/io/copy-mark.h"

using namespace migrationd;
using handoff::Here;
using handoff::JobEnd;

namespace {

/// A domain with its emulator, migrated to nowhere: the call stands still until `answer` says how it ends.
struct Job {
  explicit Job(bool defined = false, const std::string& options = "", bool mark_left = false) {
    if (defined) node.define();
    emulator.emplace(node.scratch, "vm1", node.vm);
    watched.on_migrate([this](virDomainPtr domain, virTypedParameterPtr parameters, unsigned count, unsigned with) {
      std::unique_lock held(lock);
      flags = with;
      marked = io::has_copy_mark(domain);
      const char* xml = nullptr;
      ::virTypedParamsGetString(parameters, static_cast<int>(count), VIR_MIGRATE_PARAM_DEST_XML, &xml);
      definition = xml != nullptr ? xml : "";
      called = true;
      changed.wait_for(held, std::chrono::seconds(20), [this] { return answered.has_value(); });
      return answered.value_or(-1);
    });
    node.hypervisor.start();
    REQUIRE(node.seen(Here::running));
    if (mark_left) {
      REQUIRE(::virDomainSetMetadata(node.domain.get(), VIR_DOMAIN_METADATA_ELEMENT, "<copy ran='yes'/>", "migrationd", io::copy_mark_uri,
                                     VIR_DOMAIN_AFFECT_LIVE) == 0);
    }
    node.hypervisor.migrate(node.vm, {.to = "n2", .uri = "test:///elsewhere", .options = options}, [this](engine::MigrationEnd with) { end = with; });
    REQUIRE(node.until([this] {
      std::lock_guard held(lock);
      return called;
    }));
  }
  ~Job() { answer(-1); }
  void answer(int with) {
    {
      std::lock_guard held(lock);
      if (!answered) answered = with;
    }
    changed.notify_all();
  }
  /// The call's failure has been heard, and the domain was asked for once more.
  bool failure_heard() {
    answer(-1);
    return node.until([this] { return node.log.has("migrate domain"); });
  }

  std::mutex lock;
  std::condition_variable changed;
  bool called = false;
  unsigned flags = 0;
  bool marked = false;  ///< what leaves, in its own definition
  std::string definition;
  std::optional<int> answered;
  std::optional<engine::MigrationEnd> end;
  tests::WatchedLibvirt watched;
  tests::LibvirtNode node;
  std::optional<tests::StandInEmulator> emulator;
};

}  // namespace

TEST_CASE("libvirt-job: the copy is ordered to arrive paused and marked, so that it runs on our word alone") {
  Job job;
  std::lock_guard held(job.lock);
  CHECK((job.flags & VIR_MIGRATE_PAUSED) != 0);
  CHECK((job.flags & VIR_MIGRATE_LIVE) != 0);
  CHECK((job.flags & VIR_MIGRATE_PERSIST_DEST) == 0);
  CHECK(job.definition.find(io::copy_mark_uri) != std::string::npos);
  CHECK(job.definition.find("ran=\"yes\"") != std::string::npos);
}

TEST_CASE("libvirt-job: a mark that is left of the domain's own arrival is gone before it leaves; what stays of it would pass for a copy") {
  Job job(false, "", true);
  std::lock_guard held(job.lock);
  CHECK_FALSE(job.marked);
  CHECK(job.definition.find(io::copy_mark_uri) != std::string::npos);
}

TEST_CASE("libvirt-job: libvirt's own file of a definition, which config= may name, stays where it is") {
  const auto flags = [](bool defined, const char* options) {
    Job job(defined, options);
    std::lock_guard held(job.lock);
    return job.flags & (VIR_MIGRATE_UNDEFINE_SOURCE | VIR_MIGRATE_PERSIST_DEST);
  };
  CHECK(flags(true, "") == 0);
  CHECK(flags(true, "--undefinesource") == VIR_MIGRATE_UNDEFINE_SOURCE);  // asked for
  CHECK(flags(false, "--undefinesource") == 0);                           // nothing to undefine; libxl would complain
}

TEST_CASE("libvirt-job: a lost answer ends nothing as long as nobody can tell what became of the source") {
  Job job;
  job.watched.on_state([](virDomainPtr, int*, int*) { return -1; });
  REQUIRE(job.node.domain);
  REQUIRE(job.watched.emit(job.node.domain.get(), VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED));
  REQUIRE(job.failure_heard());
  REQUIRE(job.node.seen(Here::unknown));
  CHECK_FALSE(job.end);
  SUBCASE("the emulator's death says that it migrated") {
    job.emulator->end();
    REQUIRE(job.node.until([&] { return job.end.has_value(); }));
    CHECK(job.end->end == JobEnd::migrated);
  }
  SUBCASE("or libvirt that it runs here") {
    job.watched.on_state({});
    REQUIRE(job.node.until([&] { return job.end.has_value(); }));
    CHECK(job.end->end == JobEnd::runs_here);
  }
  SUBCASE("or that it stands here") {
    job.watched.on_state([](virDomainPtr, int* state, int* reason) {
      *state = VIR_DOMAIN_PAUSED;
      *reason = VIR_DOMAIN_PAUSED_MIGRATION;
      return 0;
    });
    REQUIRE(job.node.until([&] { return job.end.has_value(); }));
    CHECK(job.end->end == JobEnd::paused_here);
  }
}

TEST_CASE("libvirt-job: after the switchover the emulator's death is the end, before the call's answer") {
  Job job;
  REQUIRE(job.watched.emit(job.node.domain.get(), VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED));
  job.emulator->end();
  REQUIRE(job.node.until([&] { return job.end.has_value(); }));
  CHECK(job.end->end == JobEnd::migrated);
  std::lock_guard held(job.lock);
  CHECK_FALSE(job.answered);
}

TEST_CASE("libvirt-job: success is not believed while the source's emulator lives") {
  Job job;
  job.answer(0);
  bool read = false;
  job.node.hypervisor.refresh([&](Outcome) { read = true; });
  REQUIRE(job.node.until([&] { return read; }));
  CHECK_FALSE(job.end);
  job.emulator->end();
  REQUIRE(job.node.until([&] { return job.end.has_value(); }));
  CHECK(job.end->end == JobEnd::migrated);
}
