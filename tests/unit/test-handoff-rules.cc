// SPDX-License-Identifier: GPL-2.0-or-later
// The rules that may not break (design, section 5) as far as step() holds them, beside the two tables:
// starts and stops that cross, a journal that fails, restarts, conflicts, reinstalled nodes, and monitor.
#include "tests/unit/handoff-room.h"

namespace migrationd::handoff {
using namespace test;

TEST_CASE("handoff rules: two starts at once: the smaller name goes first") {
  const Step bigger = step({"n2", "i2", 4, {"n1"}}, claim({"n1"}), at(Here::absent), event::Claim{"n1", {2, 1}, true, "", {7}});
  CHECK(bigger.next.phase == Phase::withdrawn);
  CHECK(find<action::RetryStart>(bigger));
  CHECK_FALSE(find<action::SendGone>(bigger));
  const Step smaller = step(pair(), claim({"n2"}), at(Here::absent), event::Claim{"n2", {2, 1}, true, "", {7}});
  CHECK(smaller.next.phase == Phase::claim);
  CHECK_FALSE(find<action::SendGone>(smaller));
}

TEST_CASE("handoff rules: a cluster of one node boots at once") {
  const Step s = step(cluster({}), gone(), at(Here::absent), event::Start{11});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.journal == Journal::required);
  CHECK(find<action::Boot>(s));
}

TEST_CASE("handoff rules: a start finds it running here") {
  const Step ours = step(pair(), held(), at(Here::running), event::Start{11});
  REQUIRE(find<action::AnswerStart>(ours));
  CHECK(find<action::AnswerStart>(ours)->ok);
  const Step by_hand = step(pair(), gone(), at(Here::running), event::Start{11});
  CHECK(by_hand.next.phase == Phase::held);
  CHECK(by_hand.next.epoch == Epoch{8});
  CHECK(find<action::AnswerStart>(by_hand)->ok);
}

TEST_CASE("handoff rules: a start never succeeds while it is only being booted") {
  const Step s = step(pair(), held(Due::boot), at(Here::unknown), event::Start{11});
  CHECK_FALSE(find<action::AnswerStart>(s));
}

TEST_CASE("handoff rules: the end of an old resume is not the end of a boot") {
  const Step s = step(pair(), held(Due::boot), at(Here::absent), event::Executes{Due::resume});
  CHECK(s.next == held(Due::boot));
}

TEST_CASE("handoff rules: the end of an old resume is not the end of this one") {
  State taken = held(Due::resume);
  taken.given_by = "n2";
  taken.given_attempt = {4, 1};
  const Step old = step(pair(), taken, at(Here::paused), event::Executes{Due::resume});
  CHECK(old.next.due == Due::resume);
  CHECK_FALSE(find<action::SendAcknowledged>(old));
  CHECK(find<action::Resume>(old));
  CHECK_FALSE(find<action::SendAcknowledged>(step(pair(), taken, at(Here::unknown), event::Executes{Due::resume})));
  // The end of the right one may be heard while the hypervisor is silent: what runs is seen later, too.
  for (const Event& e : {Event{event::Resend{}}, Event{event::HereChanged{}}, Event{event::Executes{Due::resume}}}) {
    CAPTURE(to_string(e));
    const Step runs = step(pair(), taken, at(Here::running), e);
    CHECK(runs.next.due == Due::nothing);
    CHECK(find<action::SendAcknowledged>(runs));
  }
}

TEST_CASE("handoff rules: a start while a stop waits in withdrawn: the stop succeeds if nothing is here") {
  for (const bool copy : {false, true}) {
    CAPTURE(copy);
    State before = withdrawn();
    before.stop = 5;
    const Step s = step(pair(), before, at(copy ? Here::paused : Here::absent), event::Start{12});
    REQUIRE(find<action::AnswerStop>(s));
    CHECK(find<action::AnswerStop>(s)->ok == !copy);
    CHECK(s.next.phase == (copy ? Phase::withdrawn : Phase::claim));
  }
}

TEST_CASE("handoff rules: a boot that fails fails the start with its reason") {
  State before = held(Due::boot);
  before.start = 11;
  const Step s = step(pair(), before, at(Here::absent), event::BootFailed{"no such disk"});
  CHECK(s.next.phase == Phase::gone);
  REQUIRE(find<action::AnswerStart>(s));
  CHECK_FALSE(find<action::AnswerStart>(s)->ok);
  CHECK(find<action::AnswerStart>(s)->why.find("no such disk") != std::string::npos);
}

TEST_CASE("handoff rules: a real stop during a boot ends what the boot makes") {
  const Step s = step(pair(), held(Due::boot), at(Here::absent), event::Stop{5, StopMeaning::real, {}});
  CHECK(s.next.phase == Phase::stopping);
  CHECK_FALSE(find<action::AnswerStop>(step(pair(), s.next, at(Here::absent), event::HereChanged{})));
  const Step made = step(pair(), s.next, at(Here::running), event::Executes{Due::boot});
  CHECK(find<action::ShutDown>(made));
  const Step dead = step(pair(), made.next, at(Here::absent), event::HereChanged{});
  CHECK(dead.next.phase == Phase::gone);
  CHECK(find<action::AnswerStop>(dead));
}

TEST_CASE("handoff rules: a stop that means an offer never ends a domain that is just being resumed") {
  const Step s = step(pair(), held(Due::resume), at(Here::paused), event::Stop{5, StopMeaning::offer, two_minutes});
  CHECK_FALSE(find<action::ShutDown>(s));
  CHECK_FALSE(find<action::AnswerStop>(s));
}

TEST_CASE("handoff rules: a stop of what was started by hand can be an offer, too") {
  const Step s = step(pair(), gone(), at(Here::running), event::Stop{5, StopMeaning::offer, two_minutes});
  CHECK(s.next.phase == Phase::offered);
  CHECK(s.journal == Journal::required);
}

TEST_CASE("handoff rules: a stop of what isn't here succeeds at once, but not while the hypervisor is silent") {
  const Step absent = step(pair(), gone(), at(Here::absent), event::Stop{5, StopMeaning::real, {}});
  REQUIRE(find<action::AnswerStop>(absent));
  CHECK(find<action::AnswerStop>(absent)->ok);
  CHECK_FALSE(find<action::AnswerStop>(step(pair(), gone(), at(Here::unknown), event::Stop{5, StopMeaning::real, {}})));
}

TEST_CASE("handoff rules: a real stop works without the journal") {
  const Step s = step(pair(), held(), at(Here::running), event::Stop{5, StopMeaning::real, {}});
  CHECK(s.journal == Journal::best_effort);
  CHECK(find<action::ShutDown>(s));
}

TEST_CASE("handoff rules: a stop judged again with the same token is not answered twice") {
  State before = held();
  before.stop = 5;
  const Step s = step(pair(), before, at(Here::running), event::Stop{5, StopMeaning::offer, two_minutes});
  CHECK(count<action::AnswerStop>(s) == 1);
  CHECK(find<action::AnswerStop>(s)->ok);
}

TEST_CASE("handoff rules: an offer that can't be journalled is a real stop") {
  const event::Stop stop{5, StopMeaning::offer, two_minutes};
  const Step s = journal_failed(pair(), held(), at(Here::running), stop, "no space");
  CHECK(s.next.phase == Phase::stopping);
  CHECK(s.journal != Journal::required);
  CHECK(find<action::ShutDown>(s));
  CHECK(alarms(s));
}

TEST_CASE("handoff rules: a start or push that can't be journalled fails and says why") {
  const Step start = journal_failed(pair(), gone(), at(Here::absent), event::Start{11}, "no space");
  REQUIRE(find<action::AnswerStart>(start));
  CHECK_FALSE(find<action::AnswerStart>(start)->ok);
  CHECK(find<action::AnswerStart>(start)->why.find("no space") != std::string::npos);
  CHECK(start.next == gone());
  const Step push = journal_failed(pair(), gone(), at(Here::running), event::Push{12, "n2"}, "no space");
  REQUIRE(find<action::AnswerPush>(push));
  CHECK_FALSE(find<action::AnswerPush>(push)->ok);
}

TEST_CASE("handoff rules: a promise that can't be journalled is not made") {
  const Step s = journal_failed(pair(), gone(), at(Here::absent), event::Claim{"n2", {2, 1}, true, "", {9}}, "no space");
  CHECK(s.next == gone());
  CHECK_FALSE(find<action::SendGone>(s));
  CHECK(find<action::SendWait>(s));
}

TEST_CASE("handoff rules: the end of a job is not lost with the journal") {
  State before = moving(true);
  before.stop = 5;
  const Step s = journal_failed(pair(), before, at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here}, "no space");
  CHECK(s.next.phase == Phase::stopping);
  CHECK(find<action::SendReleased>(s));
}

TEST_CASE("handoff rules: a restarted daemon knows its offer, and its deadline") {
  const Step in_time = step(pair(), offered(), at(Here::running, Milliseconds{2000}), event::Recovered{});
  CHECK(in_time.next.phase == Phase::offered);
  CHECK(find<action::ArmOffer>(in_time));
  const Step late = step(pair(), offered(), at(Here::running, Milliseconds{500000}), event::Recovered{});
  CHECK(late.next.phase == Phase::stopping);
  CHECK(find<action::ShutDown>(late));
}

TEST_CASE("handoff rules: after a crash nothing is booted by itself") {
  for (const Due due : {Due::nothing, Due::boot, Due::resume}) {
    const Step s = step(pair(), held(due), at(Here::absent), event::Recovered{});
    CHECK(s.next.phase == Phase::gone);
    CHECK_FALSE(find<action::Boot>(s));
  }
}

TEST_CASE("handoff rules: a copy found after a restart that was never given is dropped") {
  const Step s = step(pair(), gone(), at(Here::paused), event::Recovered{});
  CHECK(find<action::DropCopy>(s));
}

TEST_CASE("handoff rules: what runs is never dropped as a copy") {
  for (const State& before : {gone(), claim({"n2"}), withdrawn(), held(), offered(), moving(), stopping()}) {
    for (const Event& e : {Event{event::Recovered{}}, Event{event::Gone{"n2", {4, 1}, {7}, "i2", {}}},
                           Event{event::Released{"n2", {4, 1}, ""}}, Event{event::Claim{"n2", {9, 9}, true, "", {7}}},
                           Event{event::Start{1}}, Event{event::Proven{"n2", Proof::fenced}}}) {
      CAPTURE(to_string(before.phase));
      CAPTURE(to_string(e));
      CHECK_FALSE(find<action::DropCopy>(step(pair(), before, at(Here::running), e)));
    }
  }
}

TEST_CASE("handoff rules: two holders: the one with the smaller epoch ends, loudly; the larger stays") {
  const Step ours_older = step(pair(), held(), at(Here::running), event::Note{{"n2", "i2", {8}}});
  CHECK(ours_older.next.phase == Phase::stopping);
  REQUIRE(find<action::ShutDown>(ours_older));
  CHECK(find<action::ShutDown>(ours_older)->at_once);
  CHECK(alarms(ours_older));
  const Step ours_newer = step(pair(), held(), at(Here::running), event::Note{{"n2", "i2", {6}}});
  CHECK(ours_newer.next.phase == Phase::held);
  CHECK_FALSE(find<action::ShutDown>(ours_newer));
}

TEST_CASE("handoff rules: two holders: said, too, where the cluster manager has begun to stop the older one") {
  const Step first = step(pair(), stopping(), at(Here::running), event::Note{{"n2", "i2", {8}}});
  CHECK(first.next.phase == Phase::stopping);
  CHECK_FALSE(find<action::ShutDown>(first));
  CHECK(alarms(first));
  CHECK_FALSE(alarms(step(pair(), first.next, at(Here::running), event::Note{{"n2", "i2", {8}}})));  // once
  CHECK_FALSE(alarms(step(pair(), stopping(), at(Here::absent), event::Note{{"n2", "i2", {8}}})));
  CHECK_FALSE(alarms(step(pair(), stopping(), at(Here::running), event::Note{{"n2", "i2", {6}}})));
}

TEST_CASE("handoff rules: who heard of a holder before it knew what runs here boots with a larger epoch than that one's") {
  for (const Event& seen : {Event{event::HereChanged{}}, Event{event::Recovered{}}}) {
    const Step early = step(pair(), offered(), at(Here::unknown), event::Note{{"n2", "i2", {8}}});
    const Step absent = step(pair(), early.next, at(Here::absent), seen);
    REQUIRE(absent.next.phase == Phase::gone);
    CHECK(absent.next.epoch == Epoch{8});
    const Step asks = step(pair(), absent.next, at(Here::absent), event::Start{11});
    const Step boots = step(pair(), asks.next, at(Here::absent), event::Proven{"n2", Proof::not_member});
    REQUIRE(boots.next.phase == Phase::held);
    CHECK(boots.next.epoch > Epoch{8 + 1'000'000 - 1});
  }
}

TEST_CASE("handoff rules: two holders with the same epoch: exactly one of them ends") {
  const Step smaller = step(pair(), held(), at(Here::running), event::Note{{"n2", "i2", {7}}});
  CHECK(smaller.next.phase == Phase::held);
  const Step bigger = step({"n2", "i2", 4, {"n1"}}, held(), at(Here::running), event::Note{{"n1", "i1", {7}}});
  CHECK(bigger.next.phase == Phase::stopping);
}

TEST_CASE("handoff rules: what is held by an old record is not ended, nor its node fenced, before it is known to run") {
  for (const State& before : {held(), offered()}) {
    CAPTURE(to_string(before.phase));
    const Step early = step(pair(), before, at(Here::unknown), event::Note{{"n2", "i2", {8}}});
    CHECK(early.next.phase == before.phase);
    CHECK_FALSE(find<action::ShutDown>(early));
    CHECK_FALSE(alarms(early));
    for (const Event& seen : {Event{event::HereChanged{}}, Event{event::Recovered{}}}) {
      CAPTURE(to_string(seen));
      const Step absent = step(pair(), early.next, at(Here::absent), seen);
      CHECK_FALSE(find<action::ShutDown>(absent));
      CHECK_FALSE(find<action::SendNote>(absent));
      const Step runs = step(pair(), early.next, at(Here::running), seen);
      CHECK(runs.next.phase == Phase::stopping);
      CHECK(find<action::ShutDown>(runs));
      CHECK(alarms(runs));
    }
  }
}

TEST_CASE("handoff rules: a note with a smaller epoch does not lower ours") {
  const Step s = step(pair(), gone({7}), at(Here::absent), event::Note{{"n2", "i2", {3}}});
  CHECK(s.next.epoch == Epoch{7});
  const Step up = step(pair(), gone({7}), at(Here::absent), event::Note{{"n2", "i2", {9}}});
  CHECK(up.next.epoch == Epoch{9});
  CHECK(up.next.noted.node == "n2");
}

TEST_CASE("handoff rules: a reinstalled node can't speak for what ran there before") {
  State before = claim({"n2"});
  before.noted = {"n2", "the old installation", {7}};
  const Step s = step(pair(), before, at(Here::absent), event::Gone{"n2", {4, 1}, {0}, "a new one", {}});
  CHECK_FALSE(find<action::Boot>(s));
  CHECK(s.next.doubt.find("migrationctl forget n2") != std::string::npos);
  const Step same = step(pair(), before, at(Here::absent), event::Gone{"n2", {4, 1}, {7}, "the old installation", {}});
  CHECK(find<action::Boot>(same));
  const Step fenced = step(pair(), before, at(Here::absent), event::Proven{"n2", Proof::fenced});
  CHECK(find<action::Boot>(fenced));
}

TEST_CASE("handoff rules: a push invites, and succeeds only when the destination has acknowledged") {
  const Step push = step(pair(), held(), at(Here::running), event::Push{12, "n2"});
  CHECK(find<action::SendInvite>(push));
  CHECK_FALSE(find<action::AnswerPush>(push));
  const Step claimed = step(pair(), push.next, at(Here::running), event::Claim{"n2", {2, 1}, false, "not yours", {7}});
  CHECK(claimed.next.phase == Phase::moving);
  const Step away = step(pair(), claimed.next, at(Here::absent), event::JobEnded{{2, 1}, JobEnd::migrated});
  CHECK_FALSE(find<action::AnswerPush>(away));
  const Step thanks = step(pair(), away.next, at(Here::absent), event::Acknowledged{"n2", {2, 1}});
  REQUIRE(find<action::AnswerPush>(thanks));
  CHECK(find<action::AnswerPush>(thanks)->ok);
}

TEST_CASE("handoff rules: a push that fails leaves the domain where it was and says why") {
  State before = moving(true);
  before.push = 12;
  const Step s = step(pair(), before, at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here});
  CHECK(s.next.phase == Phase::held);
  REQUIRE(find<action::AnswerPush>(s));
  CHECK_FALSE(find<action::AnswerPush>(s)->ok);
  CHECK_FALSE(find<action::AnswerPush>(s)->why.empty());
}

TEST_CASE("handoff rules: monitor never says not running when it does not know") {
  for (const State& s : {gone(), claim(), withdrawn(), held(), held(Due::boot), stopping()}) {
    CAPTURE(to_string(s.phase));
    CHECK(monitor(s, Here::unknown) == Monitor::unknown);
  }
}

TEST_CASE("handoff rules: monitor of what is offered, given, moving and failed") {
  CHECK(monitor(offered(), Here::running) == Monitor::not_running);
  CHECK(monitor(given(), Here::absent) == Monitor::not_running);
  CHECK(monitor(moving(), Here::running) == Monitor::not_running);
  CHECK(monitor(moving(true), Here::running) == Monitor::running);
  CHECK(monitor(held(), Here::running) == Monitor::running);
  CHECK(monitor(held(), Here::paused) == Monitor::failed);
  CHECK(monitor(held(), Here::absent) == Monitor::not_running);
  CHECK(monitor(gone(), Here::running) == Monitor::running);
}

TEST_CASE("handoff rules: only what is journalled counts as a difference on disk") {
  State other = claim();
  other.start = 99;
  other.doubt = "waits";
  other.answers["n2"] = {Answer::Kind::gone, "i2"};
  CHECK(same_on_disk(claim(), other));
  other.open = {3, 1};
  CHECK_FALSE(same_on_disk(claim(), other));
}

}  // namespace migrationd::handoff
