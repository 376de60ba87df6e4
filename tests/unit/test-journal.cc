// SPDX-License-Identifier: GPL-2.0-or-later
// The journal: what was written is read again, and what is damaged, newer or another's is refused, never guessed.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/journal-files.h"
#include "scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

const std::string uuid_text = "11111111-2222-4333-8444-555555555555";

engine::Record full_record() {
  engine::Record record;
  record.uuid = *DomainUuid::parse(uuid_text);
  record.name = "vm \"1\"\n/ü";
  record.resource = "p_vm1";
  record.parameters = {{"config", "/etc/vm1.xml"}, {"handoff", "auto"}};
  record.definition = "<domain/>";
  handoff::State& s = record.state;
  s.phase = handoff::Phase::moving;
  s.epoch = {7};
  s.own = {3, 4};
  s.open = {3, 2};
  s.last = {{"node2", {5, 6}}, {"node3", {18446744073709551615u, 1}}};
  s.peer = "node2";
  s.serving = {5, 6};
  s.from_held = true;
  s.invited = true;
  s.asked = {"node2", "node3"};
  s.due = handoff::Due::resume;
  s.was_offered = true;
  s.offer_left = Milliseconds(1234);
  s.offer_ends = {Milliseconds(99999)};
  s.noted = {"node2", "inst-2", {6}};
  return record;
}

/// Runs the loop until `count` answers came.
std::vector<Outcome> answers(boost::asio::io_context& loop, std::vector<Outcome>& into, std::size_t count) {
  auto work = boost::asio::make_work_guard(loop);
  while (into.size() < count) loop.run_one();
  return into;
}

}  // namespace

TEST_CASE("journal-record: every journalled field comes back, none of the others") {
  engine::Record record = full_record();
  record.state.start = 9;  // belongs to the daemon's life, not to the disk
  Result<std::string> bytes = encode_record(record, "boot-1");
  REQUIRE(bytes.ok());
  Result<StoredRecord> back = decode_record(bytes.value(), "boot-1");
  REQUIRE(back.ok());
  CHECK(!back.value().other_boot);
  CHECK(back.value().record.state == full_record().state);
  CHECK(back.value().record.name == record.name);
  CHECK(back.value().record.parameters == record.parameters);
  CHECK(back.value().record.definition == "<domain/>");
}

TEST_CASE("journal-record: an instant of another boot is recognised") {
  Result<StoredRecord> back = decode_record(encode_record(full_record(), "boot-1").value(), "boot-2");
  REQUIRE(back.ok());
  CHECK(back.value().other_boot);
  CHECK(back.value().record.state.offer_ends == Instant{});
  CHECK(back.value().record.state.offer_left == Milliseconds(1234));
}

TEST_CASE("journal-record: damage is found wherever it is") {
  std::string good = encode_record(full_record(), "b").value();
  for (std::size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x11);
    CHECK_MESSAGE(!decode_record(bad, "b").ok(), "byte ", at);
  }
  for (std::size_t length : {std::size_t{0}, std::size_t{5}, good.size() / 2, good.size() - 1})
    CHECK(!decode_record(good.substr(0, length), "b").ok());
}

TEST_CASE("journal-record: a newer version is refused by name, not understood half") {
  std::string newer = encode_record(full_record(), "b").value();
  newer.replace(newer.find(" 1 "), 3, " 2 ");
  Result<StoredRecord> back = decode_record(newer, "b");
  REQUIRE(!back.ok());
  CHECK(back.error().find("newer") != std::string::npos);
}

TEST_CASE("journal-record: text that isn't UTF-8 is refused with its field's name") {
  engine::Record record = full_record();
  record.parameters["snapshot"] = "\xff\xfe";
  Result<std::string> bytes = encode_record(record, "b");
  REQUIRE(!bytes.ok());
  CHECK(bytes.error().find("snapshot") != std::string::npos);
}

TEST_CASE("journal-files: writes come in order and are there afterwards; the files are private") {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  boost::asio::io_context loop;
  JournalFiles journal(loop, dir, "b");
  std::vector<Outcome> got;
  for (std::uint64_t epoch = 1; epoch <= 20; ++epoch) {
    engine::Record record = full_record();
    record.state.epoch = {epoch};
    journal.write(record, [&](Outcome outcome) { got.push_back(outcome); });
  }
  for (const Outcome& outcome : answers(loop, got, 20)) CHECK(outcome.ok());
  Result<LoadedJournal> loaded = load_journal(dir, "b");
  REQUIRE(loaded.ok());
  REQUIRE(loaded.value().records.size() == 1);
  CHECK(loaded.value().refused.empty());
  CHECK(loaded.value().records[0].record.state.epoch == Epoch{20});
  struct stat status;
  REQUIRE(::stat((dir + "/journal/" + uuid_text).c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(::stat((dir + "/journal").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
}

TEST_CASE("journal-files: what can't be understood is reported and left as it is") {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  REQUIRE(store_record(dir, full_record(), "b").ok());
  std::string file = dir + "/journal/" + uuid_text;
  tests::write_file(file, "migrationd-journal 1 nonsense\n{}");
  tests::write_file(dir + "/journal/notes.txt", "x");
  Result<LoadedJournal> loaded = load_journal(dir, "b");
  REQUIRE(loaded.ok());
  CHECK(loaded.value().records.empty());
  REQUIRE(loaded.value().refused.size() == 2);
  for (const RefusedRecord& one : loaded.value().refused)
    if (one.file == uuid_text) CHECK(one.uuid.str() == uuid_text);
  CHECK(tests::file_content(file) == "migrationd-journal 1 nonsense\n{}");
}

TEST_CASE("journal-files: a record under another domain's name is refused") {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  REQUIRE(store_record(dir, full_record(), "b").ok());
  const std::string other = "99999999-2222-4333-8444-555555555555";
  std::filesystem::rename(dir + "/journal/" + uuid_text, dir + "/journal/" + other);
  Result<LoadedJournal> loaded = load_journal(dir, "b");
  REQUIRE(loaded.ok());
  CHECK(loaded.value().records.empty());
  CHECK(loaded.value().refused.size() == 1);
}

TEST_CASE("journal-files: a link in a record's place is neither followed nor read") {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  REQUIRE(store_record(dir, full_record(), "b").ok());
  std::string file = dir + "/journal/" + uuid_text, target = scratch / "elsewhere";
  std::filesystem::rename(file, target);
  std::filesystem::create_symlink(target, file);
  CHECK(load_journal(dir, "b").value().refused.size() == 1);
  CHECK(!store_record(dir, full_record(), "b").ok());
}

TEST_CASE("journal-files: a write that fails is an error, and the old record is whole") {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  REQUIRE(store_record(dir, full_record(), "b").ok());
  // a directory where the temporary file must go stands for a disk that takes nothing
  std::filesystem::create_directories(dir + "/journal/." + uuid_text + ".new/x");
  boost::asio::io_context loop;
  JournalFiles journal(loop, dir, "b");
  std::vector<Outcome> got;
  engine::Record record = full_record();
  record.state.epoch = {8};
  journal.write(record, [&](Outcome outcome) { got.push_back(outcome); });
  CHECK(!answers(loop, got, 1)[0].ok());
  CHECK(load_journal(dir, "b").value().records[0].record.state.epoch == Epoch{7});
}

TEST_CASE("journal-files: the lock keeps a second daemon out and names the first") {
  tests::Scratch scratch;
  std::string dir = scratch / "state";
  CHECK(JournalLock::holder(dir).value() == 0);
  {
    Result<JournalLock> first = JournalLock::take(dir);
    REQUIRE(first.ok());
    Result<JournalLock> second = JournalLock::take(dir);
    REQUIRE(!second.ok());
    CHECK(second.error().find(std::to_string(::getpid())) != std::string::npos);
    CHECK(JournalLock::holder(dir).value() == ::getpid());
  }
  CHECK(JournalLock::take(dir).ok());
}
