// SPDX-License-Identifier: GPL-2.0-or-later
// The destination's table of the hand-off protocol (design, section 6), a test for each row: what arrived
// without being given is thrown away, and nothing is booted without every node's absence.
#include "tests/unit/handoff-room.h"

namespace migrationd::handoff {
using namespace test;

TEST_CASE("handoff destination: a start claims with a new attempt, on disk before it is sent") {
  State before = gone();
  before.own = {4, 1};
  const Step s = step(cluster(), before, at(Here::absent), event::Start{11});
  CHECK(s.next.phase == Phase::claim);
  CHECK(s.next.own == Attempt{4, 2});
  CHECK(s.journal == Journal::required);
  CHECK(count<action::SendClaim>(s) == 2);
  CHECK_FALSE(find<action::Boot>(s));
}

TEST_CASE("handoff destination: a restarted daemon's attempts are newer than all before") {
  State before = gone();
  before.own = {3, 7};
  const Step s = step(cluster(), before, at(Here::absent), event::Start{11});
  CHECK(s.next.own == Attempt{4, 1});
}

TEST_CASE("handoff destination: monitor says not running while a copy is coming in") {
  CHECK(monitor(claim(), Here::incoming) == Monitor::not_running);
  CHECK(monitor(claim(), Here::paused) == Monitor::not_running);
  CHECK(monitor(withdrawn(), Here::paused) == Monitor::not_running);
}

TEST_CASE("handoff destination: given, the copy is resumed; thanks and success when it executes") {
  const Step s = step(pair(), claim({"n2"}), at(Here::paused), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.epoch == Epoch{8});
  CHECK(find<action::Resume>(s));
  CHECK_FALSE(find<action::SendAcknowledged>(s));
  CHECK_FALSE(find<action::AnswerStart>(s));
  const Step runs = step(pair(), s.next, at(Here::running), event::Executes{Due::resume});
  CHECK(runs.next.due == Due::nothing);
  REQUIRE(find<action::SendAcknowledged>(runs));
  CHECK(find<action::SendAcknowledged>(runs)->to == "n2");
  REQUIRE(find<action::AnswerStart>(runs));
  CHECK(find<action::AnswerStart>(runs)->ok);
}

TEST_CASE("handoff destination: without given a complete copy is never resumed") {
  for (const Event& e : {Event{event::HereChanged{}}, Event{event::Resend{}}, Event{event::Recovered{}},
                         Event{event::Released{"n2", {4, 1}, ""}}, Event{event::Gone{"n2", {4, 1}, {7}, "i2", {}}},
                         Event{event::Proven{"n2", Proof::fenced}}, Event{event::StartEnded{11, "late"}}}) {
    CAPTURE(to_string(e));
    CHECK_FALSE(find<action::Resume>(step(pair(), claim({"n2"}), at(Here::paused), e)));
    CHECK_FALSE(find<action::Resume>(step(pair(), withdrawn(), at(Here::paused), e)));
  }
}

TEST_CASE("handoff destination: given before the copy is seen whole waits for it") {
  const Step s = step(pair(), claim({"n2"}), at(Here::incoming), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Boot>(s));
  const Step whole = step(pair(), s.next, at(Here::paused), event::HereChanged{});
  CHECK(whole.next.phase == Phase::held);
  CHECK(find<action::Resume>(whole));
}

TEST_CASE("handoff destination: given while the hypervisor is silent boots nothing") {
  const Step s = step(pair(), claim({"n2"}), at(Here::unknown), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Boot>(s));
  CHECK_FALSE(find<action::SendAcknowledged>(s));
}

TEST_CASE("handoff destination: given, but the copy is gone: it died after it was given, so it is booted") {
  const Step s = step(pair(), claim({"n2"}), at(Here::absent), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.due == Due::boot);
  CHECK(find<action::Boot>(s));
}

TEST_CASE("handoff destination: a given of an attempt settled long ago gives nothing, and is thanked for") {
  State before = claim({"n2"});
  before.own = before.open = {4, 3};
  const Step s = step(pair(), before, at(Here::paused), event::Given{"n2", {4, 2}, {9}});
  CHECK(s.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Resume>(s));
  CHECK(find<action::SendAcknowledged>(s));
}

TEST_CASE("handoff destination: an older attempt that was never answered can still be given") {
  State before = claim({"n2"});
  before.own = {4, 2};
  const Step s = step(pair(), before, at(Here::paused), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::held);
  CHECK(find<action::Resume>(s));
}

TEST_CASE("handoff destination: our epoch stays the larger one when we were fenced in between") {
  State before = claim({"n2"});
  before.epoch = {12};
  const Step s = step(pair(), before, at(Here::paused), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.epoch == Epoch{13});
}

TEST_CASE("handoff destination: released: the copy is dropped, and the start is tried again") {
  const Step s = step(pair(), claim({"n2"}), at(Here::paused), event::Released{"n2", {4, 1}, "the job failed"});
  CHECK(find<action::DropCopy>(s));
  CHECK(find<action::RetryStart>(s));
  const Step dropped = step(pair(), s.next, at(Here::absent), event::HereChanged{});
  CHECK(dropped.next.phase == Phase::gone);
}

TEST_CASE("handoff destination: a copy whose end was ordered is not accepted any more") {
  const Step drop = step(pair(), claim({"n2"}), at(Here::paused), event::Proven{"n2", Proof::fenced});
  REQUIRE(find<action::DropCopy>(drop));
  State open = drop.next;
  open.answers.clear();
  const Step given = step(pair(), open, at(Here::paused), event::Given{"n2", {4, 1}, {8}});
  CHECK(given.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Resume>(given));
}

TEST_CASE("handoff destination: gone from all boots with the next epoch of all, on disk before") {
  Step s = step(cluster(), claim(), at(Here::absent), event::Gone{"n2", {4, 1}, {9}, "i2", {}});
  CHECK(s.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Boot>(s));
  s = step(cluster(), s.next, at(Here::absent), event::Gone{"n3", {4, 1}, {3}, "i3", {}});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.epoch == Epoch{10});
  CHECK(s.journal == Journal::required);
  CHECK(find<action::Boot>(s));
}

TEST_CASE("handoff destination: fencing and farewell prove absence, silence and time never do") {
  const Step one = step(cluster(), claim(), at(Here::absent), event::Gone{"n2", {4, 1}, {7}, "i2", {}});
  for (const Proof proof : {Proof::fenced, Proof::farewell, Proof::not_member}) {
    // n3 may have given it to n2 before it went down, so n2 is asked again.
    const Step proven = step(cluster(), one.next, at(Here::absent), event::Proven{"n3", proof});
    CHECK_FALSE(find<action::Boot>(proven));
    CHECK(proven.next.own == Attempt{4, 2});
    const Step old = step(cluster(), proven.next, at(Here::absent), event::Gone{"n2", {4, 1}, {7}, "i2", {}});
    CHECK_FALSE(find<action::Boot>(old));
    CHECK(find<action::Boot>(step(cluster(), proven.next, at(Here::absent), event::Gone{"n2", {4, 2}, {7}, "i2", {}})));
    CHECK(find<action::Boot>(step(pair(), claim({"n2"}), at(Here::absent), event::Proven{"n2", proof})));
  }
  for (const Event& e : {Event{event::Resend{}}, Event{event::HereChanged{}}, Event{event::Deadline{}},
                         Event{event::TimeShort{}}, Event{event::StartEnded{11, "its time is up"}}}) {
    CAPTURE(to_string(e));
    CHECK_FALSE(find<action::Boot>(step(cluster(), one.next, at(Here::absent, Milliseconds{999999999}), e)));
  }
  const Step late = step(cluster(), one.next, at(Here::absent), event::StartEnded{11, "its time is up"});
  REQUIRE(find<action::AnswerStart>(late));
  CHECK_FALSE(find<action::AnswerStart>(late)->ok);
  CHECK(find<action::AnswerStart>(late)->why.find("n3") != std::string::npos);
}

TEST_CASE("handoff destination: who boots without a node's word has a larger epoch than that node can have") {
  const Step s = step(pair(), claim({"n2"}), at(Here::absent), event::Proven{"n2", Proof::fenced});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.epoch > Epoch{7 + 1000});  // it may have gone on alone before it was fenced
}

TEST_CASE("handoff destination: a node that speaks again is no longer proven absent") {
  const Step proven = step(cluster(), claim(), at(Here::absent), event::Proven{"n3", Proof::fenced});
  const Step back = step(cluster(), proven.next, at(Here::absent), event::Unproven{"n3"});
  const Step gone2 = step(cluster(), back.next, at(Here::absent), event::Gone{"n2", {4, 1}, {7}, "i2", {}});
  CHECK_FALSE(find<action::Boot>(gone2));
}

TEST_CASE("handoff destination: a fencing from before the node's last holding proves nothing") {
  const Step proven = step(cluster(), claim(), at(Here::absent), event::Proven{"n3", Proof::fenced});
  const Step told = step(cluster(), proven.next, at(Here::absent), event::Gone{"n2", {4, 1}, {9}, "i2", {"n3", "", {9}}});
  CHECK(told.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Boot>(told));
}

TEST_CASE("handoff destination: a farewell is looked at anew after a fencing: who was fenced may have given it to who was back") {
  const Step left = step(cluster(), claim(), at(Here::absent), event::Proven{"n3", Proof::farewell});
  const Step fenced = step(cluster(), left.next, at(Here::absent), event::Proven{"n2", Proof::fenced});
  CHECK(fenced.next.phase == Phase::claim);
  CHECK_FALSE(find<action::Boot>(fenced));
  SUBCASE("it counts still") {
    const Step again = step(cluster(), fenced.next, at(Here::absent), event::Proven{"n3", Proof::farewell});
    CHECK(find<action::Boot>(again));
  }
  SUBCASE("told once more of the fencing") {
    CHECK_FALSE(find<action::Boot>(step(cluster(), fenced.next, at(Here::absent), event::Proven{"n2", Proof::fenced})));
  }
}

TEST_CASE("handoff destination: one farewell does not undo another") {
  const Step one = step(cluster(), claim(), at(Here::absent), event::Proven{"n3", Proof::farewell});
  CHECK(find<action::Boot>(step(cluster(), one.next, at(Here::absent), event::Proven{"n2", Proof::farewell})));
}

TEST_CASE("handoff destination: gone of a node that was given it meanwhile does not count") {
  const Step from_3 = step(cluster(), claim(), at(Here::absent), event::Gone{"n3", {4, 1}, {7}, "i3", {}});
  const event::Gone given_away{"n2", {4, 1}, {9}, "i2", {"n3", "", {9}}};  // n2 gave it to n3 after n3 said gone
  const Step s = step(cluster(), from_3.next, at(Here::absent), given_away);
  CHECK_FALSE(find<action::Boot>(s));
  CHECK(s.next.own == Attempt{4, 2});
  const Step old = step(cluster(), s.next, at(Here::absent), event::Gone{"n3", {4, 1}, {7}, "i3", {}});
  CHECK(old.next.answers.empty());
  const Step noted = step(cluster(), from_3.next, at(Here::absent), event::Note{{"n3", "i3", {9}}});
  CHECK(noted.next.own == Attempt{4, 2});
  CHECK(noted.next.answers.empty());
}

TEST_CASE("handoff destination: absence here must be seen, too, before a boot") {
  const Step silent = step(pair(), claim({"n2"}), at(Here::unknown), event::Gone{"n2", {4, 1}, {7}, "i2", {}});
  CHECK_FALSE(find<action::Boot>(silent));
  CHECK(silent.next.doubt.find("hypervisor") != std::string::npos);
  const Step copy = step(pair(), claim({"n2"}), at(Here::paused), event::Gone{"n2", {4, 1}, {7}, "i2", {}});
  CHECK(find<action::DropCopy>(copy));
  CHECK_FALSE(find<action::Boot>(copy));
}

TEST_CASE("handoff destination: an answer to another attempt proves nothing") {
  const Step s = step(pair(), claim({"n2"}), at(Here::absent), event::Gone{"n2", {4, 0}, {7}, "i2", {}});
  CHECK(s.next.answers.empty());
  CHECK_FALSE(find<action::Boot>(s));
  CHECK_FALSE(find<action::Boot>(step(pair(), claim({"n2"}), at(Here::absent), event::Gone{"n2", {3, 1}, {7}, "i2", {}})));
}

TEST_CASE("handoff destination: stop, lost agent and restart withdraw the claim") {
  for (const Event& e : {Event{event::Stop{5, StopMeaning::real, {}}}, Event{event::StartEnded{11, "the agent is gone"}},
                         Event{event::Recovered{}}}) {
    CAPTURE(to_string(e));
    const Step s = step(pair(), claim({"n2"}), at(Here::absent), e);
    CHECK(s.next.phase == Phase::withdrawn);
    CHECK(s.journal == Journal::required);
    CHECK(find<action::SendWithdraw>(s));
  }
}

TEST_CASE("handoff destination: given after the withdrawal: it is ours, resumed, and the stop is judged anew") {
  State before = withdrawn();
  before.stop = 5;
  const Step s = step(pair(), before, at(Here::paused), event::Given{"n2", {4, 1}, {8}});
  CHECK(s.next.phase == Phase::held);
  CHECK(find<action::Resume>(s));
  REQUIRE(find<action::RejudgeStop>(s));
  CHECK(find<action::RejudgeStop>(s)->token == 5);
  const Step again = step(pair(), s.next, at(Here::paused), event::Stop{5, StopMeaning::offer, two_minutes});
  CHECK_FALSE(find<action::ShutDown>(again));
  CHECK_FALSE(find<action::AnswerStop>(again));
  const Step runs = step(pair(), again.next, at(Here::running), event::Executes{Due::resume});
  CHECK(runs.next.phase == Phase::offered);
  CHECK(runs.next.offer_ends.since_boot == Milliseconds{121000});
  CHECK(runs.journal == Journal::required);
  CHECK(find<action::AnswerStop>(runs));
}

TEST_CASE("handoff destination: a withdrawal ends with released, gone or fencing, and the copy is dropped") {
  for (const Event& e : {Event{event::Released{"n2", {4, 1}, ""}}, Event{event::Gone{"n2", {4, 1}, {7}, "i2", {}}},
                         Event{event::Proven{"n2", Proof::fenced}}}) {
    CAPTURE(to_string(e));
    State before = withdrawn();
    before.stop = 5;
    const Step drop = step(pair(), before, at(Here::paused), e);
    CHECK(find<action::DropCopy>(drop));
    CHECK(drop.next.phase == Phase::withdrawn);
    const Step done = step(pair(), before, at(Here::absent), e);
    CHECK(done.next.phase == Phase::gone);
    REQUIRE(find<action::AnswerStop>(done));
    CHECK(find<action::AnswerStop>(done)->ok);
  }
}

TEST_CASE("handoff destination: in the last third of the stop's time the copy is dropped, and people are told") {
  State before = withdrawn();
  before.stop = 5;
  const Step s = step(pair(), before, at(Here::paused), event::TimeShort{});
  CHECK(s.next.phase == Phase::stopping);
  CHECK(find<action::ShutDown>(s));
  CHECK(alarms(s));
  const Step done = step(pair(), s.next, at(Here::absent), event::HereChanged{});
  REQUIRE(find<action::AnswerStop>(done));
  CHECK(done.next.phase == Phase::withdrawn);  // who serves the claim late is still told
  CHECK(find<action::SendWithdraw>(done));
}

TEST_CASE("handoff destination: an invitation is answered by a claim of the inviter alone, and never boots") {
  const Step s = step(cluster(), gone(), at(Here::absent), event::Invite{"n2"});
  CHECK(s.next.phase == Phase::claim);
  CHECK(s.next.invited);
  CHECK(count<action::SendClaim>(s) == 1);
  const Step none = step(cluster(), s.next, at(Here::absent), event::Gone{"n2", s.next.own, {7}, "i2", {}});
  CHECK_FALSE(find<action::Boot>(none));
  const Step down = step(cluster(), s.next, at(Here::absent), event::Proven{"n2", Proof::fenced});
  CHECK_FALSE(find<action::Boot>(down));
}

TEST_CASE("handoff destination: a start during an invited claim asks everybody") {
  const Step invited = step(cluster(), gone(), at(Here::absent), event::Invite{"n2"});
  const Step s = step(cluster(), invited.next, at(Here::absent), event::Start{11});
  CHECK_FALSE(s.next.invited);
  CHECK(s.next.asked.size() == 2);
  CHECK(find<action::SendClaim>(s));
}

TEST_CASE("handoff destination: a copy may come from who was asked, for an open claim, and not any more once that is over") {
  State s = claim({"n2", "n3"});
  s.open = {4, 2};
  s.own = {4, 3};
  CHECK(awaits_copy(s, "n2", {4, 2}).ok());
  CHECK(awaits_copy(s, "n3", {4, 3}).ok());
  CHECK(awaits_copy(s, "n4", {4, 3}).error() == "this node has not asked n4 for it");
  CHECK(awaits_copy(s, "n2", {4, 1}).error().find("no open claim") != std::string::npos);
  CHECK(awaits_copy(s, "n2", {4, 4}).error().find("no open claim") != std::string::npos);
  CHECK(awaits_copy(s, "n2", {}).error().find("no open claim") != std::string::npos);
  s.answers["n2"] = {Answer::Kind::released, ""};
  CHECK(awaits_copy(s, "n2", {4, 3}).ok());
  for (const Answer::Kind kind : {Answer::Kind::gone, Answer::Kind::left, Answer::Kind::proven}) {
    s.answers["n2"] = {kind, ""};
    CHECK(awaits_copy(s, "n2", {4, 3}).error() == "n2 has said, or was proven, to have nothing of it");
  }
  s.answers.clear();
  s.dropping = true;
  CHECK(!awaits_copy(s, "n2", {4, 3}).ok());
  for (const State& other : {gone(), withdrawn(), held(), offered(), moving(), given(), stopping()}) CHECK(!awaits_copy(other, "n2", {4, 1}).ok());
}

}  // namespace migrationd::handoff
