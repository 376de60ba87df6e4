// SPDX-License-Identifier: GPL-2.0-or-later
// A runner's hands: no hypervisor call is made that could hit what an earlier one was not meant for, and what
// hangs is looked at again.
#include <doctest/doctest.h>

#include "migrationd/engine/domain-runner.h"
#include "tests/unit/stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using tests::Stage;
using handoff::Here;
using handoff::Phase;
namespace event = handoff::event;

namespace {

handoff::State in(Phase phase) {
  handoff::State s;
  s.phase = phase;
  s.epoch = {7};
  return s;
}

/// n1 drops a copy; it is gone already while the call has not returned; then n1 claims and n2 says gone.
void boot_ordered_during_a_drop(Stage& stage, DomainRunner& runner) {
  stage.here = Here::paused;
  runner.feed(event::Recovered{});
  REQUIRE(stage.destroys.size() == 1);
  stage.here = Here::absent;
  runner.feed(event::Start{11});
  runner.feed(event::Gone{"n2", {4, 1}, {7}, "installation-2", {}});
  REQUIRE(runner.state().phase == Phase::held);
}

}  // namespace

TEST_CASE("engine runner: nothing is booted before the end of a destroy that could hit it") {
  Stage stage;
  DomainRunner runner = stage.runner(in(Phase::gone));
  boot_ordered_during_a_drop(stage, runner);
  CHECK(stage.boots == 0);
  stage.destroys[0](Done{});
  CHECK(stage.boots == 1);
}

TEST_CASE("engine runner: a stop while a boot waits for the end of a destroy ends without a boot") {
  Stage stage;
  DomainRunner runner = stage.runner(in(Phase::gone));
  boot_ordered_during_a_drop(stage, runner);
  runner.feed(event::Stop{12, handoff::StopMeaning::real, {}});
  CHECK(runner.state().phase == Phase::stopping);
  stage.destroys[0](Done{});
  CHECK(stage.boots == 0);
  CHECK(runner.state().phase == Phase::gone);
  CHECK(stage.answers.back() == "ok");
}

TEST_CASE("engine runner: what can't be ended at once is tried again before fencing is asked for, unless its time is over") {
  for (const bool in_time : {true, false}) {
    CAPTURE(in_time);
    Stage stage;
    stage.here = Here::unknown;
    DomainRunner runner = stage.runner(in(Phase::stopping));
    runner.feed(event::Recovered{});
    REQUIRE(stage.destroys.size() == 1);
    if (!in_time) stage.time = stage.time + Milliseconds{20'000};
    stage.destroys[0](Error{"libvirt is away"});
    CHECK(stage.fenced.size() == (in_time ? 0 : 1));
    if (!in_time) continue;
    REQUIRE_FALSE(stage.timers.empty());
    const auto [id, again] = *stage.timers.rbegin();
    stage.timers.erase(id);
    again();
    REQUIRE(stage.destroys.size() == 2);
    stage.here = Here::absent;
    stage.destroys[1](Error{"libvirt is away"});  // it ended by itself meanwhile
    CHECK(stage.fenced.empty());
    CHECK(runner.state().phase == Phase::gone);
  }
}

TEST_CASE("engine runner: what is held but absent, or offered but paused, is looked at again") {
  struct { Phase phase; Here here; bool again; } const cases[] = {
      {Phase::held, Here::running, false}, {Phase::held, Here::absent, true},     {Phase::offered, Here::paused, true},
      {Phase::offered, Here::absent, true}, {Phase::offered, Here::running, false}};
  for (const auto& one : cases) {
    Stage stage;
    stage.here = one.here;
    DomainRunner runner = stage.runner(in(one.phase));
    runner.feed(event::Note{{"n1", "installation-1", {1}}});  // says nothing; the view was lost
    if (one.phase == Phase::held && one.here == Here::absent) {
      CHECK(runner.state().phase == Phase::gone);  // at once
    } else {
      CHECK(stage.timers.size() == (one.again ? 1 : 0));
    }
  }
}

TEST_CASE("engine runner: who took a domain of ours was seen at work then") {
  Stage stage;
  stage.here = Here::running;
  DomainRunner runner = stage.runner(in(Phase::held));
  runner.feed(event::Claim{"n2", {2, 1}, true, "", {7}});
  REQUIRE(stage.migration);
  CHECK(stage.at_work.empty());
  stage.here = Here::absent;
  stage.migration({handoff::JobEnd::migrated, ""});
  CHECK(stage.at_work == std::vector<NodeName>{"n2"});
  CHECK(runner.state().phase == Phase::given);
}

TEST_CASE("engine runner: who got it live is known until it is asked for here again") {
  Stage stage;
  stage.here = Here::running;
  DomainRunner runner = stage.runner(in(Phase::held));
  CHECK(runner.moved_to().empty());
  runner.feed(event::Claim{"n2", {2, 1}, true, "", {7}});
  REQUIRE(stage.migration);
  stage.here = Here::absent;
  stage.migration({handoff::JobEnd::migrated, ""});
  CHECK(runner.moved_to() == "n2");
  runner.feed(event::Acknowledged{"n2", {2, 1}});
  CHECK(runner.state().phase == Phase::gone);
  CHECK(runner.moved_to() == "n2");
  runner.feed(event::Start{1});
  CHECK(runner.state().phase == Phase::claim);
  CHECK(runner.moved_to().empty());
}

TEST_CASE("engine runner: a stop moves nothing") {
  Stage stage;
  stage.here = Here::running;
  DomainRunner runner = stage.runner(in(Phase::held));
  runner.feed(event::Stop{1, handoff::StopMeaning::real, {}});
  stage.here = Here::absent;
  runner.feed(event::HereChanged{});
  CHECK(runner.state().phase == Phase::gone);
  CHECK(runner.moved_to().empty());
}

TEST_CASE("engine runner: the destination hears of the switchover, and where the job then fails the network is told that the guest is here") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    Stage stage;
    stage.here = Here::running;
    DomainRunner runner = stage.runner(in(Phase::held));
    runner.switching_over();  // of a migration that is not ours
    CHECK(stage.sent.empty());
    runner.feed(event::Claim{"n2", {2, 1}, true, "", {7}});
    REQUIRE(stage.migration);
    runner.switching_over();
    REQUIRE_FALSE(stage.sent.empty());
    CHECK(stage.sent.back().first == "n2");
    const auto* told = std::get_if<wire::SwitchingOver>(&stage.sent.back().second);
    REQUIRE(told != nullptr);
    CHECK(told->attempt == Attempt{2, 1});
    CHECK(stage.announced == 0);
    if (!fails) stage.here = Here::absent;
    stage.migration({fails ? handoff::JobEnd::runs_here : handoff::JobEnd::migrated, ""});
    CHECK(stage.announced == (fails ? 1 : 0));
  }
}
