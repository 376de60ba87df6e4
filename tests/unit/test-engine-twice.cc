// SPDX-License-Identifier: GPL-2.0-or-later
// unfenced=membership: a node was taken for dead and is heard again. Whether the domain ran twice, and what that means for its
// next stop.
#include <doctest/doctest.h>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;

namespace {

/// No fencing; n2 is cut off, so the domain is started here as if n2 were dead.
struct Node : EngineStage {
  bool together = true;
  int asked = 0;  ///< what a stop means

  bool linked(const NodeName&) const override { return together; }
  bool member(const NodeName&) const override { return together; }
  std::string boot_id(const NodeName&) const override { return "the same boot"; }
  void fenced_since(const NodeName&, Instant, Callback<bool> done) override { done(false); }
  using Stage::request_fencing;
  void request_fencing(const NodeName&, const std::string&, Callback<Outcome> done) override { done(Error{"no device"}); }
  void fencing_configured(Callback<bool> done) override { done(false); }
  void intent_of_stop(const StopQuestion&, Callback<StopIntent>) override { ++asked; }

  Node() {
    begin();
    together = false;
    Order start = order(Order::Kind::start, "vm1");
    start.parameters = {{"unfenced", "membership"}};
    give(std::move(start));
    for (int i = 0; i < 5 && boots == 0; ++i) all_timers();
    REQUIRE(boots == 1);
    shows("vm1", Here::running);
    together = true;
    peer_listener->link_changed("n2", true);
    REQUIRE(alarms.back().find("alive all the while") != std::string::npos);
  }
  Epoch epoch() const { return engine->domains().at(0).state.epoch; }
  void stop() { give(order(Order::Kind::stop, "vm1")); }
  std::string why_real() const { return engine->domains().at(0).real_stop; }
  Phase phase() const { return engine->domains().at(0).state.phase; }
};

}  // namespace

TEST_CASE("engine twice: what ran on two nodes at once is not handed over, it is booted anew") {
  Node node;
  CHECK(node.why_real().empty());
  node.hears(wire::Note{uuid, "vm1", {1}});
  CHECK(node.why_real().find("two nodes at once") != std::string::npos);
  node.stop();
  CHECK(node.asked == 0);
  CHECK(node.phase() == Phase::stopping);
}

TEST_CASE("engine twice: alive but without the domain, or with what it fetched since, the other node did no harm") {
  Node node;
  SUBCASE("it does not hold it") {}
  SUBCASE("it holds what is newer than ours, which is dealt with elsewhere") {
    node.hears(wire::Note{uuid, "vm1", node.epoch().next()});
    CHECK(node.why_real().find("two nodes") == std::string::npos);
    return;
  }
  SUBCASE("it is another domain") {
    node.hears(wire::Note{*DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-000000000002"), "vm2", {1}});
  }
  node.stop();
  CHECK(node.asked == 1);
  CHECK(node.phase() == Phase::held);
}
