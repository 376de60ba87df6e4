// SPDX-License-Identifier: GPL-2.0-or-later
// What the engine says of a stop before there is one: what would make it a real one, and what the destination answers.
#include <doctest/doctest.h>

#include <memory>
#include <optional>

#include "migrationd/engine/engine.h"
#include "tests/unit/stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using tests::Stage;
using tests::uuid;

namespace {

Result<Policy> policy_of(const std::map<std::string, std::string>& parameters) {
  Policy policy;
  const auto handoff = parameters.find("handoff");
  if (handoff != parameters.end() && handoff->second == "off") policy.handoff = Policy::Handoff::off;
  return policy;
}

/// An engine whose journal held vm1 in `phase`, with these parameters.
std::unique_ptr<Engine> engine_with(Stage& stage, Phase phase, std::map<std::string, std::string> parameters = {}) {
  Record record{uuid, "vm1", "r1", std::move(parameters), "<domain/>", {}};
  record.state.phase = phase;
  auto engine = std::make_unique<Engine>(stage.world, stage.known, policy_of, std::vector<Record>{record}, std::set<NodeName>{});
  engine->begin();
  return engine;
}

std::string real_stop(const Engine& engine) { return engine.domains().at(0).real_stop; }

}  // namespace

TEST_CASE("engine explain: what makes a stop a real one, whatever is planned") {
  Stage stage;
  stage.here = Here::running;
  stage.healthy = true;
  CHECK(real_stop(*engine_with(stage, Phase::held)).empty());
  CHECK(real_stop(*engine_with(stage, Phase::held, {{"handoff", "off"}})) == "handoff=off");
  stage.healthy = false;
  stage.detail = "paused (I/O error)";
  CHECK(real_stop(*engine_with(stage, Phase::held)) == "it is paused (I/O error)");
  stage.here = Here::absent;
  CHECK(real_stop(*engine_with(stage, Phase::gone)).find("not this node's to hand over (gone, absent here)") != std::string::npos);
}

TEST_CASE("engine explain: a domain that was started by hand is as a stop would take it") {
  Stage stage;
  stage.name = "vm2";
  stage.here = Here::running;
  stage.healthy = true;
  Engine engine(stage.world, stage.known, policy_of, {}, {});
  CHECK(real_stop(engine).empty());
}

TEST_CASE("engine explain: the destination is asked what a stop would ask it, and its word is handed on") {
  Stage stage;
  stage.here = Here::running;
  stage.healthy = true;
  auto engine = engine_with(stage, Phase::held);
  stage.sent.clear();
  std::optional<Outcome> said;
  engine->ask_whether_ready(uuid, "n2", [&](const WouldTake& answer) { said = answer.ready; });
  REQUIRE(stage.sent.size() == 1);
  CHECK(stage.sent[0].first == "n2");
  const auto question = std::get<wire::AskReady>(stage.sent[0].second);
  CHECK(question.definition == "<domain/>");
  CHECK(question.only_asked);
  REQUIRE_FALSE(said);
  SUBCASE("ready") {
    stage.peer_listener->received("n2", "installation-2", wire::Ready{question.question, true, ""});
    REQUIRE(said);
    CHECK(said->ok());
  }
  SUBCASE("not ready, in time for whoever waits") {
    stage.peer_listener->received("n2", "installation-2", wire::Ready{question.question, false, "no memory"});
    stage.time.since_boot += Milliseconds{3000};
    stage.all_timers();
    REQUIRE(said);
    CHECK(said->error() == "n2 can't take it: no memory");
  }
}

TEST_CASE("engine ready: an answer that comes before its question counts for nothing") {
  Stage stage;
  stage.here = Here::running;
  stage.healthy = true;
  auto engine = engine_with(stage, Phase::held);
  stage.sent.clear();
  stage.hold_departures = true;
  std::optional<Outcome> said;
  engine->ask_whether_ready(uuid, "n2", [&](const WouldTake& answer) { said = answer.ready; });
  REQUIRE(stage.departures.size() == 1);
  for (std::uint64_t number = 0; number < 10; ++number) {
    stage.peer_listener->received("n2", "installation-2", wire::Ready{number, true, ""});
  }
  CHECK_FALSE(said);
  stage.departures[0](Departure{"<domain/>", {}});
  CHECK_FALSE(said);
  REQUIRE(stage.sent.size() == 1);
  CHECK(std::holds_alternative<wire::AskReady>(stage.sent[0].second));
}

TEST_CASE("engine explain: who is no other node of the cluster is not asked") {
  Stage stage;
  auto engine = engine_with(stage, Phase::held);
  std::optional<Outcome> said;
  engine->ask_whether_ready(uuid, "n1", [&](const WouldTake& answer) { said = answer.ready; });
  REQUIRE(said);
  CHECK(said->error() == "'n1' is not another node of this cluster");
}

// "A domain that runs twice is never offered": whoever has it, too, is not ready for it, so the stop is a real one.
TEST_CASE("engine ready: a node that has the domain already, in whatever way, is not ready for it") {
  const auto answer = [](Stage& stage) {
    stage.hypervisor_listener->hypervisor_changed(true);
    stage.sent.clear();
    stage.peer_listener->received("n2", "installation-2", wire::AskReady{7, uuid, "vm1", 0, ""});
    REQUIRE(stage.sent.size() == 1);
    return std::get<wire::Ready>(stage.sent[0].second);
  };
  for (const Phase phase : {Phase::held, Phase::offered, Phase::stopping}) {
    for (const Here here : {Here::running, Here::paused}) {
      CAPTURE(handoff::to_string(phase));
      Stage stage;
      stage.here = here;
      const auto engine = engine_with(stage, phase);
      const wire::Ready said = answer(stage);
      CHECK_FALSE(said.ready);
      CHECK(said.why.find(here == Here::running ? "it runs there, too" : "it has the domain as") != std::string::npos);
    }
  }
  Stage by_hand;
  by_hand.here = Here::running;
  by_hand.name = "vm1";
  Engine engine(by_hand.world, by_hand.known, policy_of, {}, {});
  engine.begin();
  const wire::Ready said = answer(by_hand);
  CHECK_FALSE(said.ready);
  CHECK(said.why == "it runs there, too");
  by_hand.here = Here::absent;
  CHECK(answer(by_hand).ready);
}
