// SPDX-License-Identifier: GPL-2.0-or-later
// What the engine gives to the queue of migrations: the resource's priority, the places that a destination has, the time that a
// migration will take; and which migration is refused before it begins because its time can't suffice.
#include <doctest/doctest.h>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;
const DomainUuid other = *DomainUuid::parse("1b7e4c1a-90ab-4cde-8f01-23456789abcd");

Record held(std::map<std::string, std::string> parameters = {}) {
  Record record{uuid, "vm1", "r1", std::move(parameters), "<domain/>", {}};
  record.state.phase = Phase::held;
  return record;
}

/// vm1 runs here and n2 says that it is ready for it.
std::optional<WouldTake> asked(EngineStage& stage, std::map<std::string, std::string> parameters = {}) {
  stage.shows("vm1", handoff::Here::running);
  stage.begin({held(std::move(parameters))});
  stage.sent.clear();
  auto said = std::make_shared<std::optional<WouldTake>>();
  stage.engine->ask_whether_ready(uuid, "n2", [said](const WouldTake& answer) { *said = answer; });
  for (const auto& [to, message] : std::vector(stage.sent))
    if (const auto* question = std::get_if<wire::AskReady>(&message)) stage.hears(wire::Ready{question->question, true, ""});
  return *said;
}

/// The last claim that went to `node`.
std::optional<wire::Claim> last_claim(const EngineStage& stage, const NodeName& node) {
  std::optional<wire::Claim> last;
  for (const auto& [to, message] : stage.sent)
    if (const auto* claim = std::get_if<wire::Claim>(&message); claim && to == node) last = *claim;
  return last;
}

}  // namespace

TEST_CASE("engine queue: the time is predicted from what the domain has touched and the rate that was measured, or is not known") {
  EngineStage stage;
  stage.resident_kib = 1024 * 1024;
  SUBCASE("no migration was measured") {
    const auto said = asked(stage);
    REQUIRE(said);
    CHECK(said->ready.ok());
    CHECK_FALSE(said->takes);
  }
  SUBCASE("one was") {
    stage.speed = {64 * mib, Milliseconds{3'600'000}};
    CHECK(asked(stage)->takes == Milliseconds{16'000});
  }
  SUBCASE("the resource has a limit below it") {
    stage.speed = {64 * mib, Milliseconds{0}};
    CHECK(asked(stage, {{"migration_speed", "32"}})->takes == Milliseconds{32'000});
  }
}

TEST_CASE("engine queue: a migration is refused when its time can't suffice, by a measured rate and by far") {
  EngineStage stage;
  stage.resident_kib = 1024 * 1024;  // an offer stands for 120 s
  SUBCASE("by far") {
    stage.speed = {4 * mib, Milliseconds{5'000}};
    const auto said = asked(stage);
    REQUIRE(said);
    REQUIRE_FALSE(said->ready.ok());
    CHECK(said->ready.error() == "at the 4 MiB/s that were measured to n2 lately its 1024 MiB take 256 s, and the migration has 120 s: raise the time of the action");
  }
  SUBCASE("but not when it is close") {
    stage.speed = {5 * mib, Milliseconds{5'000}};
    CHECK(asked(stage)->ready.ok());
  }
  SUBCASE("nor by a rate of long ago: a migration that is refused is never measured again") {
    stage.speed = {4 * mib, Milliseconds{601'000}};
    CHECK(asked(stage)->ready.ok());
  }
  SUBCASE("nor when nothing was measured") { CHECK(asked(stage)->ready.ok()); }
}

TEST_CASE("engine queue: who leaves first is the cluster manager's word, or that of the resource's file where it has none") {
  EngineStage stage;
  stage.priorities["r1"] = 7;
  SUBCASE("the cluster manager's") { CHECK(asked(stage)->priority == 7); }
  SUBCASE("the file's") { CHECK(asked(stage, {{"priority", "3"}})->priority == 3); }
  SUBCASE("the migration is ordered with it") {
    REQUIRE(asked(stage));
    stage.hears(wire::Claim{uuid, {1, 1}, {}});
    Order order = EngineStage::order(Order::Kind::migrate_to, "r1");
    order.target = "n2";
    stage.give(order);
    for (const auto& [to, message] : std::vector(stage.sent))
      if (const auto* question = std::get_if<wire::AskReady>(&message)) stage.hears(wire::Ready{question->question, true, ""});
    stage.hears(wire::Claim{uuid, {1, 2}, {}});
    REQUIRE(stage.migration);
    CHECK(stage.ordered.priority == 7);
  }
}

TEST_CASE("engine queue: a claim tells its receiver how many may come from there at once") {
  EngineStage stage;
  stage.known.others = {"n2", "n3"};
  stage.at_once = 1;
  stage.begin();
  SUBCASE("as many as arrive here, when nobody else sends") {
    stage.hears(wire::Note{uuid, "vm1", {1}});
    stage.give(EngineStage::order(Order::Kind::start, "r1"));
    const auto claim = last_claim(stage, "n2");
    REQUIRE(claim);
    CHECK(claim->places == 1);
    CHECK_FALSE(claim->full);
  }
  SUBCASE("none, while the one place is another's; it is that of who was served longest ago") {
    bool n2_was_served = false;
    SUBCASE("nobody was") {}
    SUBCASE("n2 was") { n2_was_served = true; }
    if (n2_was_served) stage.hears(wire::Given{DomainUuid{}, {1, 1}, {}});
    stage.hears(wire::Note{uuid, "vm1", {1}});
    stage.peer_listener->received("n3", "installation-3", wire::Note{other, "vm2", {1}});
    stage.give(EngineStage::order(Order::Kind::start, "r1"));
    Order second = EngineStage::order(Order::Kind::start, "r2");
    second.definition->uuid = other;
    stage.give(second);
    const auto served = last_claim(stage, n2_was_served ? "n3" : "n2"), waits = last_claim(stage, n2_was_served ? "n2" : "n3");
    REQUIRE(served);
    CHECK(served->places == 1);
    CHECK_FALSE(served->full);
    REQUIRE(waits);
    CHECK(waits->places == 0);
    CHECK(waits->full);
  }
  SUBCASE("nothing, where the hypervisor does not limit them") {
    stage.at_once = 0;
    stage.give(EngineStage::order(Order::Kind::start, "r1"));
    const auto claim = last_claim(stage, "n2");
    REQUIRE(claim);
    CHECK(claim->places == 0);
    CHECK_FALSE(claim->full);
  }
}

TEST_CASE("engine queue: what a claim says of its sender's places reaches the queue; an older daemon says nothing") {
  EngineStage stage;
  stage.begin();
  wire::Claim claim{uuid, {1, 1}, {}};
  claim.places = 3;
  stage.hears(claim);
  CHECK(stage.places["n2"] == 3);
  claim.places = 0;
  claim.full = true;
  stage.hears(claim);
  CHECK(stage.places["n2"] == 0);
  claim.full = false;
  stage.hears(claim);
  CHECK_FALSE(stage.places["n2"]);
}
