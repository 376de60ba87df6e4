// SPDX-License-Identifier: GPL-2.0-or-later
// The journal's answer means "on disk": what is flushed, in which order, and what a disk that can't flush leads to.
// A power cut itself can't be had here; so the calls to the kernel are watched.
#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/journal-files.h"
#include "scratch.h"
#include "watched-calls.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

const std::string uuid_text = "11111111-2222-4333-8444-555555555555";
using Log = std::vector<std::string>;

engine::Record record(std::uint64_t epoch) {
  engine::Record one;
  one.uuid = *DomainUuid::parse(uuid_text);
  one.name = "vm1";
  one.state.phase = handoff::Phase::offered;
  one.state.epoch = {epoch};
  return one;
}

struct Disk {
  tests::Scratch scratch;
  std::string state = scratch / "state";
  boost::asio::io_context loop;

  /// Writes, or removes when `one` is nothing, and notes when the answer came.
  Outcome order(tests::WatchedDisk& watched, const std::optional<engine::Record>& one) {
    JournalFiles journal(loop, state, "boot");
    std::optional<Outcome> answer;
    const auto done = [&](Outcome outcome) {
      watched.note("answered");
      answer = outcome;
    };
    if (one) {
      journal.write(*one, done);
    } else {
      journal.remove(*DomainUuid::parse(uuid_text), done);
    }
    auto work = boost::asio::make_work_guard(loop);
    while (!answer) loop.run_one();  // the journal's own deadline ends it
    return *answer;
  }
  Epoch stored() const {
    const auto found = load_record(state, *DomainUuid::parse(uuid_text), "boot");
    return found && found.value() ? found.value()->record.state.epoch : Epoch{};
  }
};

const std::string beside = "state/journal/." + uuid_text + ".new";
const Log whole_write = {"fsync " + beside, "rename ." + uuid_text + ".new " + uuid_text, "fsync state/journal", "answered"};

}  // namespace

TEST_CASE("journal-disk: a record and its name are flushed before the answer") {
  Disk disk;
  REQUIRE(store_record(disk.state, record(1), "boot").ok());
  tests::WatchedDisk watched(disk.scratch.path());
  CHECK(disk.order(watched, record(2)).ok());
  CHECK(watched.seen() == whole_write);
  CHECK(disk.stored() == Epoch{2});
}

TEST_CASE("journal-disk: the directories of the first record are flushed, too") {
  Disk disk;
  tests::WatchedDisk watched(disk.scratch.path());
  CHECK(disk.order(watched, record(1)).ok());
  Log expected = {"fsync .", "fsync state"};
  expected.insert(expected.end(), whole_write.begin(), whole_write.end());
  CHECK(watched.seen() == expected);
}

TEST_CASE("journal-disk: a removal is flushed before the answer") {
  Disk disk;
  REQUIRE(store_record(disk.state, record(1), "boot").ok());
  tests::WatchedDisk watched(disk.scratch.path());
  CHECK(disk.order(watched, {}).ok());
  CHECK(watched.seen() == Log{"fsync state/journal", "answered"});
}

TEST_CASE("journal-disk: a record that can't be flushed is an error, and the old one stays") {
  Disk disk;
  REQUIRE(store_record(disk.state, record(1), "boot").ok());
  tests::WatchedDisk watched(disk.scratch.path());
  SUBCASE("the record itself") { watched.break_fsync(beside); }
  SUBCASE("its directory") { watched.break_fsync("state/journal"); }
  const Outcome answer = disk.order(watched, record(2));
  REQUIRE_FALSE(answer.ok());
  CHECK(answer.error().find("fsync") != std::string::npos);
  CHECK(answer.error().find(uuid_text) != std::string::npos);
  CHECK(disk.stored() == Epoch{1});
}

TEST_CASE("journal-disk: when the farewells can't be replaced, the old ones go: who is named there may be back") {
  Disk disk;
  // A journal writes in order, so its answer to a record comes after the farewells.
  const auto write = [&](const std::set<NodeName>& nodes, Epoch epoch) {
    JournalFiles journal(disk.loop, disk.state, "boot");
    journal.write_farewells(nodes);
    std::optional<Outcome> answer;
    journal.write(record(epoch.value), [&](Outcome outcome) { answer = outcome; });
    auto work = boost::asio::make_work_guard(disk.loop);
    while (!answer) disk.loop.run_one();
  };
  write({"n2", "n3"}, Epoch{1});
  REQUIRE(load_farewells(disk.state, "boot") == std::set<NodeName>{"n2", "n3"});
  {
    tests::WatchedDisk watched(disk.scratch.path());
    watched.break_fsync("state/.farewells.new");
    write({"n3"}, Epoch{2});
  }
  CHECK(load_farewells(disk.state, "boot").empty());
}

TEST_CASE("journal-disk: a write for --direct is flushed before it returns") {
  Disk disk;
  REQUIRE(store_record(disk.state, record(1), "boot").ok());
  tests::WatchedDisk watched(disk.scratch.path());
  REQUIRE(store_record(disk.state, record(2), "boot").ok());
  CHECK(watched.seen() == Log(whole_write.begin(), whole_write.end() - 1));
}
