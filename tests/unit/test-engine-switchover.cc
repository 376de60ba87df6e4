// SPDX-License-Identifier: GPL-2.0-or-later
// "The guest stands still for its switchover": believed only of the node that this one has claimed the domain from, or any node
// could draw a guest's traffic to where the guest is not.
#include <doctest/doctest.h>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;

TEST_CASE("engine switchover: the network hears of it here only while the claim that it answers is open") {
  EngineStage stage;
  stage.begin();
  stage.hears(wire::SwitchingOver{uuid, {4, 1}});
  CHECK(stage.announced == 0);  // nobody claims it
  stage.give(EngineStage::order(Order::Kind::start, "vm1"));
  const handoff::State claiming = stage.engine->domains().at(0).state;
  REQUIRE(claiming.phase == Phase::claim);
  stage.hears(wire::SwitchingOver{uuid, {claiming.own.incarnation, claiming.own.number + 1}});
  CHECK(stage.announced == 0);
  stage.hears(wire::SwitchingOver{uuid, claiming.own});
  CHECK(stage.announced == 1);
  stage.hears(wire::Gone{uuid, claiming.own, {1}, "", "", {}});
  stage.hears(wire::SwitchingOver{uuid, claiming.own});
  CHECK(stage.announced == 1);  // late
}

TEST_CASE("engine switchover: a node whose QEMU can't take post-copy says so in its claim, and tells once why") {
  for (const std::string why : {"", "no userfaultfd"}) {
    CAPTURE(why);
    EngineStage stage;
    stage.without_post_copy = why;
    stage.begin();
    Order start = EngineStage::order(Order::Kind::start, "vm1");
    start.parameters = {{"config", "/x"}, {"postcopy", "yes"}};
    stage.give(std::move(start));
    stage.peer_listener->link_changed("n2", true);  // it is said again
    int claims = 0, told = 0;
    for (const auto& [to, message] : stage.sent) {
      const auto* claim = std::get_if<wire::Claim>(&message);
      if (claim == nullptr) continue;
      ++claims;
      CHECK(claim->post_copy == why.empty());
    }
    CHECK(claims > 1);
    const DomainStatus status = stage.engine->domains().at(0);
    for (const Remark& remark : status.remarks) told += remark.text.find("no userfaultfd") != std::string::npos;
    CHECK(told == (why.empty() ? 0 : 1));
  }
}
