// SPDX-License-Identifier: GPL-2.0-or-later
// The source's table of the hand-off protocol (design, section 6), a test for each row: the source alone
// decides, and says `given` only when it can't run the domain any more.
#include "tests/unit/handoff-room.h"

namespace migrationd::handoff {
using namespace test;

TEST_CASE("handoff source: a stop that means an offer is on disk before it succeeds, and the dead-man is armed") {
  const Step s = step(pair(), held(), at(Here::running), event::Stop{5, StopMeaning::offer, two_minutes});
  CHECK(s.next.phase == Phase::offered);
  CHECK(s.journal == Journal::required);
  REQUIRE(find<action::ArmOffer>(s));
  CHECK(find<action::ArmOffer>(s)->ends.since_boot == Milliseconds{121000});
  REQUIRE(find<action::AnswerStop>(s));
  CHECK(find<action::AnswerStop>(s)->ok);
  CHECK_FALSE(find<action::ShutDown>(s));
}

TEST_CASE("handoff source: an offer goes to a newer claim, journalled before the job starts") {
  const Step s = step(pair(), offered(), at(Here::running), event::Claim{"n2", {2, 1}, true, "", {7}});
  CHECK(s.next.phase == Phase::moving);
  CHECK(s.next.last.at("n2") == Attempt{2, 1});
  CHECK(s.next.serving == Attempt{2, 1});
  CHECK(s.journal == Journal::required);
  REQUIRE(find<action::StartJob>(s));
  CHECK(find<action::StartJob>(s)->to == "n2");
  CHECK(find<action::DisarmOffer>(s));
}

TEST_CASE("handoff source: a claim with a smaller attempt than the last is no claim") {
  State before = offered();
  before.last["n2"] = {2, 5};
  const Step s = step(pair(), before, at(Here::running), event::Claim{"n2", {2, 4}, true, "", {7}});
  CHECK(s.next == before);
  CHECK(s.actions.empty());
}

TEST_CASE("handoff source: a claim of a daemon's former incarnation is no claim") {
  State before = offered();
  before.last["n2"] = {3, 1};
  const Step s = step(pair(), before, at(Here::running), event::Claim{"n2", {2, 9}, true, "", {7}});
  CHECK(s.next == before);
  CHECK(s.actions.empty());
}

TEST_CASE("handoff source: a claim from before the last change of owner is not served, but told of it") {
  for (const State& before : {offered(), held()}) {
    CAPTURE(to_string(before.phase));
    const Step s = step(pair(), before, at(Here::running), event::Claim{"n2", {2, 1}, true, "", {6}});
    CHECK(s.next == before);
    CHECK_FALSE(find<action::StartJob>(s));
    REQUIRE(find<action::SendNote>(s));
    CHECK(find<action::SendNote>(s)->epoch == Epoch{7});
  }
}

TEST_CASE("handoff source: a repeated claim does not move an offered domain twice") {
  State before = offered();
  before.last["n2"] = {2, 1};
  const Step s = step(pair(), before, at(Here::running), event::Claim{"n2", {2, 1}, true, "", {7}});
  CHECK(s.next.phase == Phase::offered);
  CHECK(find<action::SendReleased>(s));
}

TEST_CASE("handoff source: our own start takes the offer back") {
  const Step s = step(pair(), offered(), at(Here::running), event::Start{6});
  CHECK(s.next.phase == Phase::held);
  CHECK(s.next.epoch == Epoch{8});
  CHECK(s.journal == Journal::required);
  CHECK(find<action::DisarmOffer>(s));
  REQUIRE(find<action::AnswerStart>(s));
  CHECK(find<action::AnswerStart>(s)->ok);
}

TEST_CASE("handoff source: at its deadline an offer is really stopped") {
  const Step s = step(pair(), offered(), at(Here::running), event::Deadline{});
  CHECK(s.next.phase == Phase::stopping);
  REQUIRE(find<action::ShutDown>(s));
  CHECK(find<action::DisarmOffer>(s));
}

TEST_CASE("handoff source: an offer judged anew stands, is stopped, or is taken back") {
  CHECK(step(pair(), offered(), at(Here::running), event::Judged{Judgement::stands, ""}).next == offered());
  const Step stop = step(pair(), offered(), at(Here::running), event::Judged{Judgement::real_stop, "disabled"});
  CHECK(stop.next.phase == Phase::stopping);
  CHECK(find<action::ShutDown>(stop));
  const Step back = step(pair(), offered(), at(Here::running), event::Judged{Judgement::take_back, "unmanaged"});
  CHECK(back.next.phase == Phase::held);
  CHECK(back.next.epoch == Epoch{8});
}

TEST_CASE("handoff source: taken back in mid-job, the job is aborted and the domain held at its end") {
  const Step s = step(pair(), moving(), at(Here::running), event::Judged{Judgement::take_back, "n2 was fenced"});
  CHECK(s.next.phase == Phase::moving);
  CHECK(find<action::AbortJob>(s));
  CHECK_FALSE(find<action::AbortJob>(step(pair(), s.next, at(Here::running), event::Judged{Judgement::take_back, "again"})));
  CHECK(step(pair(), s.next, at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here}).next.phase == Phase::held);
  const Step paused = step(pair(), s.next, at(Here::paused), event::JobEnded{{2, 1}, JobEnd::paused_here});
  CHECK(paused.next.phase == Phase::held);
  CHECK(find<action::Resume>(paused));
  // It was too late for that: what is given is given.
  CHECK(step(pair(), s.next, at(Here::absent), event::JobEnded{{2, 1}, JobEnd::migrated}).next.phase == Phase::given);
  for (const Judgement other : {Judgement::stands, Judgement::real_stop})
    CHECK(step(pair(), moving(), at(Here::running), event::Judged{other, ""}).next == moving());
}

TEST_CASE("handoff source: a withdrawal is remembered on disk and released, in every phase that serves nobody") {
  for (const State& before : {gone(), held(), offered(), stopping(), claim(), withdrawn()}) {
    CAPTURE(to_string(before.phase));
    const Here here = before.phase == Phase::held || before.phase == Phase::offered ? Here::running : Here::absent;
    const Step s = step(cluster(), before, at(here), event::Withdraw{"n2", {2, 3}});
    CHECK(s.next.last.at("n2") == Attempt{2, 3});
    // With nothing here a full disk must not hold it up.
    CHECK(s.journal == (before.phase == Phase::gone ? Journal::best_effort : Journal::required));
    REQUIRE(find<action::SendReleased>(s));
    CHECK(find<action::SendReleased>(s)->attempt == Attempt{2, 3});
  }
}

TEST_CASE("handoff source: withdrawn in mid-job, the job is aborted and its end awaited") {
  for (const Attempt attempt : {Attempt{2, 1}, Attempt{2, 2}}) {  // a newer one means the served one, too
    const Step s = step(pair(), moving(), at(Here::running), event::Withdraw{"n2", attempt});
    CHECK(s.next.phase == Phase::moving);
    CHECK(find<action::AbortJob>(s));
    CHECK_FALSE(find<action::SendReleased>(s));
  }
}

TEST_CASE("handoff source: our own start in mid-job aborts it, and waits for its end") {
  const Step s = step(pair(), moving(), at(Here::running), event::Start{6});
  CHECK(s.next.phase == Phase::moving);
  CHECK(find<action::AbortJob>(s));
  CHECK_FALSE(find<action::AnswerStart>(s));
  const Step end = step(pair(), s.next, at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here});
  CHECK(end.next.phase == Phase::held);
  REQUIRE(find<action::AnswerStart>(end));
  CHECK(find<action::AnswerStart>(end)->ok);
  CHECK(find<action::SendReleased>(end));
  CHECK_FALSE(find<action::SendGiven>(end));
}

TEST_CASE("handoff source: the job ended and it runs here: offered again with the time that was left, released") {
  const Step s = step(pair(), moving(), at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here});
  CHECK(s.next.phase == Phase::offered);
  CHECK(s.next.offer_ends.since_boot == Milliseconds{121000});
  CHECK(find<action::SendReleased>(s));
  CHECK(find<action::ArmOffer>(s));
  CHECK_FALSE(find<action::SendGiven>(s));
  CHECK_FALSE(find<action::Resume>(s));
}

TEST_CASE("handoff source: the job ended and it is paused here: resumed, and offered again") {
  const Step s = step(pair(), moving(), at(Here::paused), event::JobEnded{{2, 1}, JobEnd::paused_here});
  CHECK(s.next.phase == Phase::offered);
  CHECK(find<action::Resume>(s));
  CHECK(find<action::SendReleased>(s));
}

TEST_CASE("handoff source: a failed push leaves it held, paused or not") {
  const Step runs = step(pair(), moving(true), at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here});
  CHECK(runs.next.phase == Phase::held);
  CHECK(runs.next.due == Due::nothing);
  const Step paused = step(pair(), moving(true), at(Here::paused), event::JobEnded{{2, 1}, JobEnd::paused_here});
  CHECK(paused.next.phase == Phase::held);
  CHECK(paused.next.due == Due::resume);
  CHECK(find<action::Resume>(paused));
}

TEST_CASE("handoff source: an offer made while a push failed is on disk before the stop succeeds") {
  const Step stop = step(pair(), moving(true), at(Here::running), event::Stop{5, StopMeaning::offer, two_minutes});
  CHECK_FALSE(find<action::AnswerStop>(stop));
  const Step end = step(pair(), stop.next, at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here});
  CHECK(end.next.phase == Phase::offered);
  CHECK(end.journal == Journal::required);
  CHECK(find<action::AnswerStop>(end));
}

TEST_CASE("handoff source: migrated away and seen: given with a new epoch, repeated until acknowledged") {
  const Step s = step(pair(), moving(), at(Here::absent), event::JobEnded{{2, 1}, JobEnd::migrated});
  CHECK(s.next.phase == Phase::given);
  CHECK(s.next.epoch == Epoch{8});
  REQUIRE(find<action::SendGiven>(s));
  CHECK(find<action::SendGiven>(s)->epoch == Epoch{8});
  CHECK(find<action::SendGiven>(step(pair(), s.next, at(Here::absent), event::Resend{})));
  CHECK(find<action::SendGiven>(step(pair(), s.next, at(Here::absent), event::Recovered{})));
  CHECK(step(pair(), s.next, at(Here::absent), event::Acknowledged{"n2", {2, 1}}).next.phase == Phase::gone);
  CHECK(step(pair(), s.next, at(Here::absent), event::Acknowledged{"n2", {2, 0}}).next.phase == Phase::given);
}

TEST_CASE("handoff source: the end of another attempt's job is not the end of this one") {
  const Step s = step(pair(), moving(), at(Here::running), event::JobEnded{{2, 0}, JobEnd::migrated});
  CHECK(s.next == moving());
  CHECK(s.actions.empty());
}

TEST_CASE("handoff source: gone in mid-job for an unknown cause: nothing is given") {
  const Step s = step(pair(), moving(), at(Here::absent), event::JobEnded{{2, 1}, JobEnd::vanished});
  CHECK(s.next.phase == Phase::gone);
  CHECK(find<action::SendGone>(s));
  CHECK_FALSE(find<action::SendGiven>(s));
}

TEST_CASE("handoff source: a stop is done when the death is verified, and claims are answered then") {
  State before = stopping();
  before.stop = 5;
  const Step waits = step(pair(), before, at(Here::running), event::Claim{"n2", {2, 1}, true, "", {7}});
  CHECK(find<action::SendWait>(waits));
  CHECK_FALSE(find<action::SendGone>(waits));
  CHECK(step(pair(), before, at(Here::unknown), event::HereChanged{}).next.phase == Phase::stopping);
  const Step dead = step(pair(), before, at(Here::absent), event::HereChanged{});
  CHECK(dead.next.phase == Phase::gone);
  REQUIRE(find<action::AnswerStop>(dead));
  CHECK(find<action::AnswerStop>(dead)->ok);
  CHECK(find<action::SendGone>(step(pair(), dead.next, at(Here::absent), event::Claim{"n2", {2, 1}, true, "", {7}})));
}

TEST_CASE("handoff source: what can't be destroyed fails the stop and asks for the fencing of this node") {
  State before = stopping();
  before.stop = 5;
  const Step s = step(pair(), before, at(Here::running), event::DestroyFailed{"it hangs"});
  CHECK(s.next.phase == Phase::stopping);
  REQUIRE(find<action::RequestFencing>(s));
  CHECK(find<action::RequestFencing>(s)->node == "n1");
  REQUIRE(find<action::AnswerStop>(s));
  CHECK_FALSE(find<action::AnswerStop>(s)->ok);
}

TEST_CASE("handoff source: gone is also said when the disk is full, and remembered if it can be") {
  for (const State& before : {gone(), given()}) {
    CAPTURE(to_string(before.phase));
    const Step s = step(cluster(), before, at(Here::absent), event::Claim{"n3", {3, 1}, true, "", {7}});
    REQUIRE(find<action::SendGone>(s));
    CHECK(s.next.last.at("n3") == Attempt{3, 1});
    CHECK(s.journal == Journal::best_effort);
  }
}

TEST_CASE("handoff source: a larger epoch of a claimer is ours, too, on disk before gone is said") {
  for (const State& before : {gone(), given()}) {
    const Step s = step(cluster(), before, at(Here::absent), event::Claim{"n3", {3, 1}, true, "", {12}});
    REQUIRE(find<action::SendGone>(s));
    CHECK(s.next.epoch == Epoch{12});
    CHECK(s.journal == Journal::required);
  }
  // Who is given it next has a larger epoch than the one who asked first: it is news to that one.
  Step s = step(cluster(), held(), at(Here::running), event::Claim{"n3", {3, 1}, true, "", {12}});
  CHECK(s.next.phase == Phase::moving);
  s = step(cluster(), s.next, at(Here::absent), event::JobEnded{{3, 1}, JobEnd::migrated});
  REQUIRE(find<action::SendGiven>(s));
  CHECK(find<action::SendGiven>(s)->epoch == Epoch{13});
}

TEST_CASE("handoff source: no note before the copy executes: the giver would take it for thanks") {
  const Step s = step(cluster(), held(Due::resume), at(Here::paused), event::Claim{"n3", {3, 1}, true, "", {2}});
  CHECK_FALSE(find<action::SendNote>(s));
  CHECK(find<action::SendWait>(s));
}

TEST_CASE("handoff source: a stop in mid-job after our own start: offered for its whole time, not for none") {
  Step s = step(pair(), moving(), at(Here::running), event::Start{11});
  s = step(pair(), s.next, at(Here::running), event::Stop{5, StopMeaning::offer, two_minutes});
  REQUIRE(find<action::AnswerStart>(s));
  CHECK_FALSE(find<action::AnswerStart>(s)->ok);
  s = step(pair(), s.next, at(Here::running), event::JobEnded{{2, 1}, JobEnd::runs_here});
  CHECK(s.next.phase == Phase::offered);
  CHECK(s.next.offer_ends == Instant{Milliseconds{1000}} + two_minutes);
}

TEST_CASE("handoff source: what is offered and left paused, or gone, is looked at again") {
  CHECK(find<action::Resume>(step(pair(), offered(), at(Here::paused), event::Resend{})));
  const Step died = step(pair(), offered(), at(Here::absent), event::Resend{});
  CHECK(died.next.phase == Phase::gone);
  CHECK(find<action::DisarmOffer>(died));
  CHECK(step(pair(), held(), at(Here::absent), event::Resend{}).next.phase == Phase::gone);
}

TEST_CASE("handoff source: gone is never said while the hypervisor is silent") {
  for (const State& before : {gone(), given()}) {
    const Step s = step(cluster(), before, at(Here::unknown), event::Claim{"n3", {3, 1}, true, "", {7}});
    CHECK_FALSE(find<action::SendGone>(s));
    CHECK(find<action::SendWait>(s));
  }
}

TEST_CASE("handoff source: who was given it and claims anew is told of the gift first") {
  const Step s = step(pair(), given(), at(Here::absent), event::Claim{"n2", {2, 2}, true, "", {7}});
  CHECK_FALSE(find<action::SendGone>(s));
  REQUIRE(find<action::SendGiven>(s));
  CHECK(find<action::SendGiven>(s)->attempt == Attempt{2, 1});
}

TEST_CASE("handoff source: after a promise our own start boots only as a claimer") {
  State promised = gone();
  promised.last["n2"] = {2, 1};
  const Step s = step(pair(), promised, at(Here::absent), event::Start{6});
  CHECK(s.next.phase == Phase::claim);
  CHECK(find<action::SendClaim>(s));
  CHECK_FALSE(find<action::Boot>(s));
}

TEST_CASE("handoff source: a held domain is claimed only where no other live cluster manager stands behind it") {
  const Step no = step(pair(), held(), at(Here::running), event::Claim{"n2", {2, 1}, false, "held by another", {7}});
  CHECK(no.next.phase == Phase::held);
  CHECK(find<action::SendReleased>(no));
  const Step yes = step(pair(), held(), at(Here::running), event::Claim{"n2", {2, 1}, true, "", {7}});
  CHECK(yes.next.phase == Phase::moving);
  CHECK(yes.next.from_held);
}

TEST_CASE("handoff source: a restarted daemon watches the job of before") {
  const Step s = step(pair(), moving(), at(Here::running), event::Recovered{});
  CHECK(s.next.phase == Phase::moving);
  CHECK(find<action::WatchJob>(s));
  CHECK_FALSE(find<action::StartJob>(s));
}

TEST_CASE("handoff source: a node of another cluster, or we ourselves, can't claim") {
  for (const char* from : {"n1", "n9"}) {
    const Step s = step(pair(), offered(), at(Here::running), event::Claim{from, {2, 1}, true, "", {7}});
    CHECK(s.next == offered());
    CHECK(s.actions.empty());
  }
}

}  // namespace migrationd::handoff
