// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon's log with its alarms: one notification for what stands, the same after a restart, and a full disk hurts nobody.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/alarm-desk.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using Level = engine::Log::Level;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");
const Subject vm1 = Subject::domain(uuid, "vm1", "r1");

struct Sink : engine::Log {
  std::vector<std::string> lines;
  void write(Level level, const std::string& domain, const std::string& text) override {
    lines.push_back(std::to_string(static_cast<int>(level)) + " " + domain + " " + text);
  }
};

/// One daemon's life on a state directory.
struct Life {
  Sink sink;
  boost::asio::io_context loop;
  WallTime now{Milliseconds{1'700'000'000'000}};
  AlarmDesk desk{loop, sink, [this] { return now; }};

  explicit Life(const std::string& state_dir, std::uint64_t incarnation = 1) { desk.keep_in(state_dir, incarnation); }
  ~Life() { desk.close(); }
  /// Until nothing is on its way to the disk any more.
  void written(const std::string& state_dir, const std::function<bool()>& done) {
    for (int i = 0; i < 2000 && !(std::filesystem::exists(state_dir + "/alarms") && done()); ++i) {
      loop.restart();
      loop.run_one_for(std::chrono::milliseconds(50));
    }
  }
  std::vector<std::string> events() const {
    std::vector<std::string> all;
    for (const auto& one : desk.events().after(0, 1000).events) all.push_back(std::string(to_string(one.kind)) + " " + one.text);
    return all;
  }
};

}  // namespace

TEST_CASE("alarm desk: lines go to the log, and what is worth it becomes an event") {
  const tests::Scratch scratch;
  Life life(scratch / "state", 3);
  life.desk.write(Level::debug, "vm1", "a step");
  life.desk.write(Level::notice, "vm1", "started");
  life.desk.write(Level::warning, "", "hm");
  life.desk.happened(EventKind::link_up, Subject::node("beta"), Level::notice, "the link to beta is up");
  CHECK(life.sink.lines == std::vector<std::string>{"0 vm1 a step", "2 vm1 started", "3  hm", "2  the link to beta is up"});
  CHECK(life.events() == std::vector<std::string>{"notice started", "warning hm", "link-up the link to beta is up"});
  CHECK(life.desk.events().after(0, 1).events.front().number == 3'000'000'001);
}

TEST_CASE("alarm desk: raised, counted, cleared") {
  const tests::Scratch scratch;
  Life life(scratch / "state");
  life.desk.raise(AlarmKind::domain_unhealthy, vm1, "paused");
  life.desk.raise(AlarmKind::domain_unhealthy, vm1, "paused", /*said_lately=*/true);
  life.desk.clear(AlarmKind::domain_unhealthy, vm1, "it runs here");
  life.desk.clear(AlarmKind::domain_unhealthy, vm1, "it runs here");
  life.desk.write(Level::alarm, "", "something new");  // what has no kind yet is an alarm all the same
  CHECK(life.sink.lines == std::vector<std::string>{"4 vm1 paused", "2 vm1 alarm domain-unhealthy cleared: it runs here", "4  something new"});
  CHECK(life.events() == std::vector<std::string>{"alarm-raised domain-unhealthy: paused", "alarm-cleared domain-unhealthy: it runs here",
                                                  "alarm-raised other: something new"});
  REQUIRE(life.desk.alarms().size() == 2);
  CHECK(life.desk.alarms()[0].count == 2);
}

TEST_CASE("alarm desk: what is raised again after it was cleared by hand is in the log, however lately it was said") {
  const tests::Scratch scratch;
  Life life(scratch / "state");
  life.desk.raise(AlarmKind::domain_unhealthy, vm1, "paused");
  CHECK(life.desk.clear_by_hand(1, "ann").ok());
  life.desk.raise(AlarmKind::domain_unhealthy, vm1, "paused", /*said_lately=*/true);
  CHECK(std::count(life.sink.lines.begin(), life.sink.lines.end(), "4 vm1 paused") == 2);
}

TEST_CASE("alarm desk: by hand") {
  const tests::Scratch scratch;
  Life life(scratch / "state");
  life.desk.raise(AlarmKind::two_instances, vm1, "twice");
  life.desk.raise(AlarmKind::fencing_failed, Subject::node("beta"), "no device");
  CHECK(life.desk.acknowledge(1, "ann").ok());
  CHECK(life.desk.acknowledge_all("bob") == 1);
  CHECK(life.desk.acknowledge_all("bob") == 0);
  CHECK(life.desk.clear_by_hand(1, "ann").ok());
  CHECK_FALSE(life.desk.clear_by_hand(1, "ann").ok());
  CHECK(life.desk.alarms()[0].cleared_why == "by ann");
  CHECK(life.desk.alarms()[1].acknowledged_by == "bob");
  CHECK(life.events()[2] == "alarm-acknowledged two-instances: by ann");
}

TEST_CASE("alarm desk: the next daemon knows them, and tells none of them again") {
  const tests::Scratch scratch;
  const std::string state = scratch / "state";
  {
    Life life(state, 1);
    life.desk.raise(AlarmKind::unfenced_membership, Subject::daemon(), "believes");
    life.desk.raise(AlarmKind::journal_record_refused, vm1, "broken");
    life.desk.raise(AlarmKind::journal_record_refused, Subject::node("x"), "broken, too");
    CHECK(life.desk.acknowledge(1, "ann").ok());
    life.written(state, [&] {
      boost::asio::io_context other;
      AlarmDesk reader(other, life.sink);
      reader.keep_in(state, 1);
      return reader.alarms().size() == 3 && !reader.alarms()[0].acknowledged_by.empty();
    });
  }
  Life life(state, 2);
  life.desk.raise(AlarmKind::unfenced_membership, Subject::daemon(), "believes");
  CHECK(life.events().empty());  // nothing new
  CHECK(life.sink.lines.size() == 1);
  REQUIRE(life.desk.alarms().size() == 3);
  CHECK(life.desk.alarms()[0].count == 2);
  CHECK(life.desk.alarms()[0].acknowledged_by == "ann");
  life.desk.clear_others(AlarmKind::journal_record_refused, {vm1.key()}, "the records can be read");
  CHECK(life.desk.alarms()[1].stands());
  CHECK_FALSE(life.desk.alarms()[2].stands());
  CHECK(life.desk.events().last() == 2'000'000'001);
}

TEST_CASE("alarm desk: what was raised before the state directory was ours is kept, too") {
  const tests::Scratch scratch;
  Sink sink;
  boost::asio::io_context loop;
  AlarmDesk desk(loop, sink);
  desk.raise(AlarmKind::nodes_unknown, Subject::daemon(), "early");
  desk.keep_in(scratch / "state", 7);
  REQUIRE(desk.alarms().size() == 1);
  CHECK(desk.alarms()[0].text == "early");
  CHECK(desk.events().last() == 7'000'000'001);
  desk.close();
}

TEST_CASE("alarm desk: a disk that can't be written is said once, and nothing else comes of it") {
  const tests::Scratch scratch;
  const std::string blocked = scratch / "a-file";
  tests::write_file(blocked, "");
  Life life(blocked + "/state");
  life.desk.raise(AlarmKind::two_instances, vm1, "twice");
  for (int i = 0; i < 200 && life.sink.lines.size() < 3; ++i) {
    life.loop.restart();
    life.loop.run_one_for(std::chrono::milliseconds(50));
  }
  const auto complaints = [&] {
    return std::count_if(life.sink.lines.begin(), life.sink.lines.end(),
                         [](const std::string& line) { return line.find("the alarms are kept in memory only: ") != std::string::npos; });
  };
  CHECK(complaints() == 1);
  life.desk.raise(AlarmKind::not_ended, vm1, "not ended");
  for (int i = 0; i < 10 && complaints() == 1; ++i) {  // the second attempt fails, too
    life.loop.restart();
    life.loop.run_one_for(std::chrono::milliseconds(50));
  }
  CHECK(complaints() == 1);
  const std::string why = life.sink.lines.at(2);
  CHECK(why.find("3  the alarms are kept in memory only: ") == 0);
  CHECK(life.desk.alarms().size() == 2);
}
