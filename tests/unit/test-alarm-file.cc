// SPDX-License-Identifier: GPL-2.0-or-later
// The alarms on disk: read back as they were; what can't be understood is put aside and said, and stops nothing.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <filesystem>

#include "migrationd/io/alarm-file.h"
#include "migrationd/io/alarm-json.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using tests::file_content;
using tests::write_file;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");
WallTime at(std::int64_t ms) { return {Milliseconds{1'700'000'000'000 + ms}}; }

alarms::AlarmBook some() {
  alarms::AlarmBook book;
  book.raise(AlarmKind::domain_unhealthy, Subject::domain(uuid, "vm \"1\"\n", "r1"), "paused \xff (I/O error)", at(1));
  book.raise(AlarmKind::domain_unhealthy, Subject::domain(uuid, "vm \"1\"\n", "r1"), "paused (I/O error)", at(777));
  book.raise(AlarmKind::fencing_failed, Subject::node("beta"), "no device", at(2));
  book.raise(AlarmKind::unfenced_membership, Subject::daemon(), "believes", at(3));
  (void)book.acknowledge(1, "ann", at(4));
  (void)book.clear(2, "it was fenced", at(5));
  return book;
}

struct State {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  std::string file = dir + "/alarms";
};

}  // namespace

TEST_CASE("alarm file: it comes back as it was") {
  const State state;
  REQUIRE(save_alarms(state.dir, encode_alarms(some())).ok());
  struct stat status {};
  REQUIRE(::stat(state.file.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  const LoadedAlarms loaded = load_alarms(state.dir);
  CHECK(loaded.complaint.empty());
  CHECK(encode_alarms(loaded.book) == encode_alarms(some()));
  const auto& all = loaded.book.all();
  REQUIRE(all.size() == 3);
  CHECK(all[0].count == 2);
  CHECK(all[0].subject.name == "vm \"1\"\n");
  CHECK(all[0].acknowledged_by == "ann");
  CHECK(all[0].acknowledged == at(4));
  CHECK(all[1].cleared == at(5));
  CHECK(all[1].cleared_why == "it was fenced");
  CHECK(all[2].severity == Severity::warning);
  CHECK(loaded.book.next() == 4);  // numbers aren't given twice
}

TEST_CASE("alarm file: none is an empty book") {
  const State state;
  const LoadedAlarms loaded = load_alarms(state.dir);
  CHECK(loaded.complaint.empty());
  CHECK(loaded.book.all().empty());
}

TEST_CASE("alarm file: what can't be understood is put aside, and said") {
  const State state;
  const std::string good = encode_alarms(some());
  REQUIRE(save_alarms(state.dir, good).ok());
  const auto with = [&](std::string content, const std::string& from, const std::string& to) {
    const auto place = content.find(from);
    REQUIRE(place != std::string::npos);
    return content.replace(place, from.size(), to);
  };
  std::string bad, why;
  SUBCASE("empty") { bad = "", why = "no list"; }
  SUBCASE("of a newer version") { bad = with(good, "alarms 1\n", "alarms 2\n"), why = "version 2"; }
  SUBCASE("cut off") { bad = good.substr(0, good.size() / 2), why = "broken"; }
  SUBCASE("no JSON") { bad = "migrationd-alarms 1\nnonsense", why = "broken"; }
  SUBCASE("of another type") { bad = with(good, "\"count\":2", "\"count\":\"2\""), why = "count is no whole number"; }
  SUBCASE("a field is missing") { bad = with(good, "\"kind\"", "\"kinds\""), why = "kind"; }
  SUBCASE("a number twice") { bad = with(good, "\"id\":2", "\"id\":1"), why = "twice"; }
  SUBCASE("no number") { bad = with(good, "\"id\":2", "\"id\":0"), why = "id"; }
  SUBCASE("a time that none is") { bad = with(good, "\"last\":", "\"last\":999"), why = "last is no time"; }
  SUBCASE("brackets without end") { bad = "migrationd-alarms 1\n" + std::string(100'000, '['), why = "deeply"; }
  write_file(state.file, bad);
  const LoadedAlarms loaded = load_alarms(state.dir);
  CHECK(loaded.book.all().empty());
  CHECK_MESSAGE(loaded.complaint.find(why) != std::string::npos, loaded.complaint);
  CHECK(loaded.complaint.find("it is kept as alarms.refused") != std::string::npos);
  CHECK(file_content(state.dir + "/alarms.refused") == bad);
  CHECK_FALSE(std::filesystem::exists(state.file));
  CHECK(save_alarms(state.dir, good).ok());
  CHECK(load_alarms(state.dir).complaint.empty());
}

TEST_CASE("alarm file: a link in its place is not followed") {
  const State state;
  REQUIRE(save_alarms(state.dir, "x").ok());
  const std::string elsewhere = state.scratch / "elsewhere";
  write_file(elsewhere, encode_alarms(some()));
  std::filesystem::remove(state.file);
  std::filesystem::create_symlink(elsewhere, state.file);
  CHECK(load_alarms(state.dir).book.all().empty());
  CHECK_FALSE(file_content(elsewhere).empty());
}

TEST_CASE("alarm json: an answer that would be too large leaves off the oldest of what was") {
  alarms::AlarmBook book;
  for (int i = 0; i < 900; ++i) {
    book.raise(AlarmKind::other, Subject::node("n" + std::to_string(i)), std::string(900, 'x'), at(i));
    if (i > 0) (void)book.clear(static_cast<std::uint64_t>(i + 1), "over", at(i));
  }
  const std::string all = alarms_json("alpha", book.all(), true);
  CHECK(all.size() < 1024 * 1024);
  CHECK(all.find("\"left_off\":0") == std::string::npos);
  CHECK(all.find("\"n0\"") != std::string::npos);  // it stands
  CHECK(all.find("\"n899\"") != std::string::npos);
  CHECK(all.find("\"n1\"") == std::string::npos);
  CHECK(alarms_json("alpha", book.all(), false).find("\"left_off\":0") != std::string::npos);
}

TEST_CASE("alarm json: times") {
  CHECK(utc_text({Milliseconds{1'700'000'000'007}}) == "2023-11-14T22:13:20.007Z");
  CHECK(utc_text({Milliseconds{-1}}) == "?");
}
