// SPDX-License-Identifier: GPL-2.0-or-later
// The alarm book: nothing is told twice while it stands, everything that comes back is, and it does not grow for ever.
#include <doctest/doctest.h>

#include "migrationd/alarms/book.h"
#include "migrationd/alarms/events.h"

using namespace migrationd;
using namespace migrationd::alarms;

namespace {
const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");
const Subject vm1 = Subject::domain(uuid, "vm1", "r1");
WallTime at(std::int64_t seconds) { return {Milliseconds{1'700'000'000'000 + seconds * 1000}}; }
}  // namespace

TEST_CASE("alarm book: what stands already is counted, and not told again") {
  AlarmBook book;
  const auto first = book.raise(AlarmKind::domain_unhealthy, vm1, "paused (I/O error)", at(0));
  CHECK(first.fresh);
  CHECK(first.alarm.severity == Severity::critical);
  const auto again = book.raise(AlarmKind::domain_unhealthy, vm1, "paused (I/O error)", at(5));
  CHECK_FALSE(again.fresh);
  CHECK_FALSE(again.other_text);
  const auto other = book.raise(AlarmKind::domain_unhealthy, vm1, "crashed", at(9));
  CHECK_FALSE(other.fresh);
  CHECK(other.other_text);
  REQUIRE(book.all().size() == 1);
  const Alarm& one = book.all().front();
  CHECK(one.count == 3);
  CHECK(one.text == "crashed");
  CHECK(one.raised == at(0));
  CHECK(one.last == at(9));
}

TEST_CASE("alarm book: another kind or subject is another alarm; a renamed domain is not") {
  AlarmBook book;
  book.raise(AlarmKind::domain_unhealthy, vm1, "a", at(0));
  CHECK(book.raise(AlarmKind::not_ended, vm1, "a", at(0)).fresh);
  CHECK(book.raise(AlarmKind::fencing_failed, Subject::node("beta"), "a", at(0)).fresh);
  CHECK(book.raise(AlarmKind::fencing_failed, Subject::node("gamma"), "a", at(0)).fresh);
  CHECK_FALSE(book.raise(AlarmKind::domain_unhealthy, Subject::domain(uuid, "vm1-new", "r2"), "a", at(0)).fresh);
  CHECK(book.standing().size() == 4);
  CHECK(book.all().front().subject.name == "vm1-new");
  CHECK(book.all().front().subject.resource == "r2");
}

TEST_CASE("alarm book: raised after its end it is a new one") {
  AlarmBook book;
  const std::uint64_t first = book.raise(AlarmKind::hypervisor_away, Subject::daemon(), "away", at(0)).alarm.id;
  const auto ended = book.clear(AlarmKind::hypervisor_away, Subject::daemon(), "it answers again", at(3));
  REQUIRE(ended);
  CHECK(ended->id == first);
  CHECK(ended->cleared == at(3));
  CHECK_FALSE(book.clear(AlarmKind::hypervisor_away, Subject::daemon(), "it answers again", at(4)));
  const auto second = book.raise(AlarmKind::hypervisor_away, Subject::daemon(), "away", at(9));
  CHECK(second.fresh);
  CHECK(second.alarm.id > first);
  CHECK(second.alarm.count == 1);
  CHECK(second.alarm.acknowledged_by.empty());
}

TEST_CASE("alarm book: by hand") {
  AlarmBook book;
  const std::uint64_t id = book.raise(AlarmKind::two_instances, vm1, "it ran twice", at(0)).alarm.id;
  CHECK(book.acknowledge(id, "ann", at(1)).value().acknowledged_by == "ann");
  CHECK(book.acknowledge(id, "bob", at(2)).value().acknowledged_by == "ann");  // whoever was first
  CHECK(book.all().front().acknowledged == at(1));
  CHECK(book.standing().size() == 1);  // seen is not over
  CHECK_FALSE(book.acknowledge(99, "ann", at(2)).ok());
  CHECK(book.clear(99, "by ann", at(2)).error().find("there is no alarm 99") == 0);
  CHECK(book.clear(id, "by ann", at(2)).value().cleared_why == "by ann");
  CHECK(book.clear(id, "by ann", at(2)).error().find("cleared already: by ann") != std::string::npos);
  CHECK_FALSE(book.acknowledge(id, "ann", at(2)).ok());
}

TEST_CASE("alarm book: what was is kept for thirty days, what stands for ever") {
  AlarmBook book;
  book.raise(AlarmKind::two_instances, vm1, "stands", at(0));
  book.raise(AlarmKind::fencing_failed, Subject::node("beta"), "was", at(0));
  book.clear(AlarmKind::fencing_failed, Subject::node("beta"), "fenced", at(10));
  const std::int64_t days = 24 * 3600;
  CHECK_FALSE(book.forget_old(at(30 * days)));
  CHECK(book.forget_old(at(30 * days + 20)));
  REQUIRE(book.all().size() == 1);
  CHECK(book.all().front().text == "stands");
}

TEST_CASE("alarm book: it is bounded") {
  AlarmBook book;
  SUBCASE("of those that were the last ones to end are kept") {
    const std::uint64_t oldest = book.raise(AlarmKind::other, Subject::node("long"), "x", at(0)).alarm.id;
    for (std::size_t i = 0; i < cleared_kept + 50; ++i) {
      book.raise(AlarmKind::other, Subject::node("n" + std::to_string(i)), "x", at(1));
      book.clear(AlarmKind::other, Subject::node("n" + std::to_string(i)), "y", at(static_cast<std::int64_t>(2 + i)));
    }
    REQUIRE(book.clear(oldest, "at last", at(9'000)).ok());
    book.forget_old(at(9'000));
    CHECK(book.all().size() == cleared_kept);
    CHECK(book.all().front().id == oldest);
    CHECK(book.all()[1].subject.name == "n51");
  }
  SUBCASE("of those that stand the oldest gives way, and that is told") {
    for (std::size_t i = 0; i < standing_kept; ++i) CHECK_FALSE(book.raise(AlarmKind::other, Subject::node("n" + std::to_string(i)), "x", at(1)).gave_way);
    const auto one_more = book.raise(AlarmKind::other, Subject::node("new"), "x", at(2));
    REQUIRE(one_more.gave_way);
    CHECK(one_more.gave_way->subject.name == "n0");
    CHECK(book.standing().size() == standing_kept);
  }
  SUBCASE("a warning gives way before anything critical does") {
    for (std::size_t i = 0; i < standing_kept; ++i)
      book.raise(i == 500 ? AlarmKind::managed_save_removed : AlarmKind::other, Subject::node("n" + std::to_string(i)), "x", at(1));
    CHECK(book.raise(AlarmKind::other, Subject::node("new"), "x", at(2)).gave_way->subject.name == "n500");
    CHECK(book.raise(AlarmKind::other, Subject::node("newer"), "x", at(2)).gave_way->subject.name == "n0");
  }
  SUBCASE("a long text is cut, between two characters") {
    std::string text(text_limit - 1, 'a');
    text += "\xc3\xa4\xc3\xa4";
    book.raise(AlarmKind::other, Subject::daemon(), text, at(0));
    CHECK(book.all().front().text == std::string(text_limit - 1, 'a') + "...");
  }
}

TEST_CASE("alarm book: every kind has a word of its own, and back") {
  int kinds = 0;
  for (int i = 0; i <= static_cast<int>(AlarmKind::unfenced_membership); ++i, ++kinds) {
    const auto kind = static_cast<AlarmKind>(i);
    CHECK_MESSAGE(alarm_kind(to_string(kind)) == kind, to_string(kind));
  }
  CHECK(kinds > 20);
  CHECK_FALSE(alarm_kind("nonsense"));
}

TEST_CASE("event ring: numbers grow, and what was missed is told") {
  EventRing ring(100, 3);
  CHECK(ring.after(0, 10).events.empty());
  for (const char* text : {"a", "b", "c"}) ring.add(at(0), EventKind::notice, Subject::daemon(), text);
  CHECK(ring.last() == 102);
  CHECK(ring.after(0, 10).events.size() == 3);
  CHECK(ring.after(0, 10).lost == 0);  // older daemons' events aren't ours to lose
  CHECK(ring.after(99, 10).lost == 0);
  CHECK(ring.after(100, 10).events.front().text == "b");
  CHECK(ring.after(100, 1).events.size() == 1);
  ring.add(at(0), EventKind::link_up, Subject::node("beta"), "d");
  ring.add(at(0), EventKind::link_down, Subject::node("beta"), "e");
  const auto late = ring.after(100, 10);
  CHECK(late.lost == 1);
  REQUIRE(late.events.size() == 3);
  CHECK(late.events.front().number == 102);
  CHECK(ring.after(101, 10).lost == 0);
  CHECK(ring.after(104, 10).events.empty());
}
