// SPDX-License-Identifier: GPL-2.0-or-later
// Post-copy in the room: once the switch is ordered nothing is aborted, once it is seen the source never has the domain again,
// and the destination executes it only after both have that on disk.
#include "tests/unit/handoff-room.h"

namespace migrationd::handoff {
using namespace test;

namespace {

State switching() {
  State s = moving(true);
  s.post_copy = true;
  return s;
}
State given_in_post_copy() {
  State s = given();
  s.post_copy = true;
  return s;
}
/// Given in post-copy by n2, for our attempt 4.1; its copy does not execute yet.
State let_run() {
  const Step s = step(pair(), claim({"n2"}), at(Here::incoming), event::Given{"n2", {4, 1}, {8}, true});
  return s.next;
}
const Attempt served{2, 1};

}  // namespace

TEST_CASE("handoff post-copy: the switch is on disk before it is ordered, once") {
  const Step s = step(pair(), moving(true), at(Here::running), event::SwitchWanted{served});
  CHECK(s.journal == Journal::required);
  CHECK(s.next.phase == Phase::moving);
  CHECK(s.next.post_copy);
  REQUIRE(find<action::StartPostCopy>(s));
  CHECK(find<action::StartPostCopy>(s)->attempt == served);
  CHECK_FALSE(find<action::StartPostCopy>(step(pair(), s.next, at(Here::running), event::SwitchWanted{served})));
  CHECK_FALSE(find<action::StartPostCopy>(step(pair(), moving(true), at(Here::running), event::SwitchWanted{{2, 0}})));
}

TEST_CASE("handoff post-copy: where the journal refuses, the job goes on as it was") {
  const Step s = journal_failed(pair(), moving(true), at(Here::running), event::SwitchWanted{served}, "the disk is full");
  CHECK(s.next == moving(true));
  CHECK_FALSE(find<action::StartPostCopy>(s));
}

TEST_CASE("handoff post-copy: a job that was told to end does not switch") {
  State before = moving(true);
  before.aborting = true;
  const Step s = step(pair(), before, at(Here::running), event::SwitchWanted{served});
  CHECK(s.next == before);
  CHECK_FALSE(find<action::StartPostCopy>(s));
}

TEST_CASE("handoff post-copy: with the switch ordered nothing aborts the job, until it is refused") {
  State before = switching();
  before.push = 9;
  const auto wish = [&](const Event& event) {
    const Step s = step(pair(), before, at(Here::running), event);
    CHECK_FALSE(find<action::AbortJob>(s));
    CHECK(s.next.phase == Phase::moving);
    const Step refused = step(pair(), s.next, at(Here::running), event::SwitchRefused{served, "no such job"});
    CHECK(find<action::AbortJob>(refused));
    CHECK_FALSE(refused.next.post_copy);
  };
  wish(event::Withdraw{"n2", served});
  wish(event::Stop{5, StopMeaning::real, {}});
  wish(event::Start{6});
  wish(event::PushEnded{9, "its time is up"});
  wish(event::Claim{"n2", {2, 2}, true, "", {7}});
  before.from_held = false;
  wish(event::Judged{Judgement::take_back, "unmanaged"});
}

TEST_CASE("handoff post-copy: when it is seen the domain is given, on disk before anybody is told") {
  for (const bool ordered : {true, false}) {  // also when somebody else has ordered it
    const Step s = step(pair(), ordered ? switching() : moving(true), at(Here::remains), event::HereChanged{});
    CHECK(s.next.phase == Phase::given);
    CHECK(s.next.post_copy);
    CHECK(s.next.epoch == Epoch{8});
    CHECK(s.journal == Journal::required);
    REQUIRE(find<action::SendGiven>(s));
    CHECK(find<action::SendGiven>(s)->post_copy);
    CHECK_FALSE(find<action::Resume>(s));
  }
}

TEST_CASE("handoff post-copy: a daemon that comes up in the middle of it neither aborts nor resumes, and gives it") {
  const Step up = step(pair(), switching(), at(Here::remains), event::Recovered{});
  CHECK(find<action::WatchJob>(up));
  CHECK_FALSE(find<action::AbortJob>(up));
  CHECK_FALSE(find<action::Resume>(up));
  CHECK(step(pair(), up.next, at(Here::remains), event::Resend{}).next.phase == Phase::given);
}

TEST_CASE("handoff post-copy: with the switch ordered, a domain that is said to be paused here is resumed only where it is seen so") {
  for (const Here shown : {Here::unknown, Here::remains, Here::incoming}) {
    const Step s = step(pair(), switching(), at(shown), event::JobEnded{served, JobEnd::paused_here});
    CHECK(s.next.phase == Phase::moving);
    CHECK(find<action::WatchJob>(s));
    CHECK_FALSE(find<action::Resume>(s));
  }
  CHECK(step(pair(), switching(), at(Here::paused), event::JobEnded{served, JobEnd::paused_here}).next.phase == Phase::held);
}

TEST_CASE("handoff post-copy: what remains is never executed, dropped or called absent while the peer fetches from it") {
  const State before = given_in_post_copy();
  for (const Event& event : std::vector<Event>{event::Withdraw{"n2", served}, event::Claim{"n2", {2, 2}, true, "", {8}},
                                               event::Claim{"n3", {1, 1}, true, "", {7}}, event::Start{6},
                                               event::Stop{5, StopMeaning::real, {}}, event::Resend{}, event::Recovered{},
                                               event::Acknowledged{"n2", served, true}, event::JobEnded{served, JobEnd::paused_here}}) {
    CAPTURE(to_string(event));
    const Step s = step(cluster(), before, at(Here::remains), event);
    CHECK(s.next.phase == Phase::given);
    CHECK_FALSE(find<action::Resume>(s));
    CHECK_FALSE(find<action::DropCopy>(s));
    CHECK_FALSE(find<action::ShutDown>(s));
    CHECK_FALSE(find<action::SendGone>(s));
    CHECK_FALSE(find<action::AnswerStop>(s));
  }
  CHECK(monitor(before, Here::remains) == Monitor::not_running);
}

TEST_CASE("handoff post-copy: a push succeeds when it executes there, a stop when nothing of it is here") {
  State before = given_in_post_copy();
  before.push = 9;
  before.stop = 5;
  const Step runs = step(pair(), before, at(Here::remains), event::Acknowledged{"n2", served, true});
  REQUIRE(find<action::AnswerPush>(runs));
  CHECK(find<action::AnswerPush>(runs)->ok);
  CHECK_FALSE(find<action::AnswerStop>(runs));
  const Step done = step(pair(), runs.next, at(Here::absent), event::HereChanged{});
  CHECK(done.next.phase == Phase::gone);
  REQUIRE(find<action::AnswerStop>(done));
  CHECK(find<action::AnswerStop>(done)->ok);
}

TEST_CASE("handoff post-copy: a stop whose time is nearly up does not fail for it") {
  State before = given_in_post_copy();
  before.stop = 5;
  const Step s = step(pair(), before, at(Here::remains), event::TimeShort{});
  CHECK(s.next.phase == Phase::given);
  REQUIRE(find<action::AnswerStop>(s));
  CHECK(find<action::AnswerStop>(s)->ok);
}

TEST_CASE("handoff post-copy: what the peer needs no more, or is down to need, is ended with the next look") {
  for (const Event& event : std::vector<Event>{event::Acknowledged{"n2", served, false}, event::Proven{"n2", Proof::fenced}}) {
    const Step useless = step(pair(), given_in_post_copy(), at(Here::remains), event);
    CHECK(useless.next.phase == Phase::given);
    const Step ends = step(pair(), useless.next, at(Here::remains), event::Resend{});
    CHECK(find<action::DropCopy>(ends));
    CHECK(step(pair(), ends.next, at(Here::absent), event::HereChanged{}).next.phase == Phase::gone);
  }
}

TEST_CASE("handoff post-copy: a copy that is given so is let run while it arrives, with that on disk") {
  const Step s = step(pair(), claim({"n2"}), at(Here::incoming), event::Given{"n2", {4, 1}, {8}, true});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.epoch == Epoch{8});
  CHECK(s.journal == Journal::required);
  REQUIRE(find<action::LetRun>(s));
  CHECK(find<action::LetRun>(s)->attempt == Attempt{4, 1});
  CHECK_FALSE(find<action::Resume>(s));  // the hypervisor refuses it while the copy arrives
  CHECK_FALSE(find<action::SendAcknowledged>(s));
  CHECK(monitor(s.next, Here::incoming) == Monitor::running);
}

TEST_CASE("handoff post-copy: one that is given as usual is waited for") {
  const Step s = step(pair(), claim({"n2"}), at(Here::incoming), event::Given{"n2", {4, 1}, {8}, false});
  CHECK(s.next.phase == Phase::claim);
  CHECK_FALSE(find<action::LetRun>(s));
}

TEST_CASE("handoff post-copy: it is acknowledged when it executes, and whether it still fetches is said each time") {
  Context runs = at(Here::running);
  runs.fetching = true;
  const Step s = step(pair(), let_run(), runs, event::HereChanged{});
  CHECK(s.next.due == Due::nothing);
  REQUIRE(find<action::SendAcknowledged>(s));
  CHECK(find<action::SendAcknowledged>(s)->fetching);
  REQUIRE(find<action::AnswerStart>(s));
  CHECK(find<action::AnswerStart>(s)->ok);
  const event::Given again{"n2", {4, 1}, {8}, true};
  CHECK(find<action::SendAcknowledged>(step(pair(), s.next, runs, again))->fetching);
  CHECK(find<action::SendAcknowledged>(step(pair(), s.next, at(Here::unknown), again))->fetching);
  CHECK_FALSE(find<action::SendAcknowledged>(step(pair(), s.next, at(Here::running), again))->fetching);
}

TEST_CASE("handoff post-copy: a copy that came paused all the same is resumed when it is complete") {
  const Step s = step(pair(), let_run(), at(Here::paused), event::HereChanged{});
  CHECK(s.next.phase == Phase::held);
  CHECK(find<action::Resume>(s));
}

TEST_CASE("handoff post-copy: what dies before its memory is here is not booted before its source's half has ended") {
  const Step died = step(pair(), let_run(), at(Here::absent), event::HereChanged{});
  CHECK_FALSE(find<action::Boot>(died));
  CHECK(died.next.phase == Phase::claim);  // the start still waits
  REQUIRE(find<action::SendAcknowledged>(died));
  CHECK_FALSE(find<action::SendAcknowledged>(died)->fetching);
  CHECK(find<action::SendClaim>(died));
  const Step late = step(pair(), claim({"n2"}), at(Here::absent), event::Given{"n2", {4, 1}, {8}, true});
  CHECK_FALSE(find<action::Boot>(late));
  CHECK(late.next.phase == Phase::claim);
  CHECK(late.next.own == Attempt{4, 2});
  State pushed = let_run();
  pushed.start = 0;
  CHECK(step(pair(), pushed, at(Here::absent), event::HereChanged{}).next.phase == Phase::gone);
}

TEST_CASE("handoff post-copy: somebody else's is nobody's to judge here") {
  for (const State& before : {held(), offered(), gone()}) {
    CAPTURE(to_string(before.phase));
    if (before.phase != Phase::offered) CHECK(monitor(before, Here::remains) == Monitor::unknown);
    const Step s = step(pair(), before, at(Here::remains), event::Claim{"n2", {2, 1}, true, "", {7}});
    CHECK_FALSE(find<action::DropCopy>(s));
    CHECK_FALSE(find<action::SendGone>(s));
    CHECK_FALSE(find<action::StartJob>(s));
  }
}

}  // namespace migrationd::handoff
