// SPDX-License-Identifier: GPL-2.0-or-later
// A domain whose record on disk can't be read, such as one of a newer version: nothing is decided about it, and the record is
// left as it is, whatever a peer says and whatever is ordered.
#include <doctest/doctest.h>

#include <utility>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using tests::EngineStage;
using tests::uuid;

namespace {

struct Node : EngineStage {
  Node() {
    shows("vm1", Here::running);
    begin({}, true, {{uuid, "it is of version 9"}});
    sent.clear();
  }
};

}  // namespace

TEST_CASE("engine unreadable: a peer's word neither changes nor replaces the record, and each question is answered") {
  Node node;
  node.hears(wire::Note{uuid, "vm1", {9}});
  CHECK(node.sent.empty());
  node.hears(wire::Claim{uuid, {2, 1}, {9}});
  node.hears(wire::Withdraw{uuid, {2, 1}});
  node.hears(wire::Invite{uuid, "vm1", "", "r1", {}});
  wire::AskReady question;
  question.question = 5;
  question.domain = uuid;
  node.hears(question);
  REQUIRE(node.sent.size() == 4);
  const std::string why = "its record here can't be read: it is of version 9";
  CHECK(std::get<wire::Wait>(node.sent[0].second).why == why);
  CHECK(std::get<wire::Released>(node.sent[1].second).why == why);
  CHECK(std::get<wire::Refusal>(node.sent[2].second).why == why);
  CHECK_FALSE(std::get<wire::Ready>(node.sent[3].second).ready);
  CHECK(node.written.empty());
}

TEST_CASE("engine unreadable: a stop ends the domain all the same, and the record is left as it is") {
  Node node;
  Order order;
  order.kind = Order::Kind::stop;
  order.resource = "r1";
  order.definition = Definition{uuid, "vm1", "<domain/>", 0};
  order.parameters = {{"force_stop", "true"}, {"handoff", "off"}};
  order.timeout = Milliseconds{60'000};
  bool stopped = false;
  node.engine->order(std::move(order), [&](OrderReply reply) { stopped = reply.code == wire::OcfCode::success; });
  for (int i = 0; i < 20 && node.destroys.empty(); ++i) {
    auto timers = std::exchange(node.timers, {});
    for (auto& [id, call] : timers) call();
  }
  REQUIRE(node.destroys.size() == 1);
  node.here = Here::absent;
  node.destroys[0](Done{});
  CHECK(stopped);
  CHECK(node.written.empty());
}

TEST_CASE("engine unreadable: its node says no farewell") {
  Node node;
  node.here = Here::absent;
  node.engine->say_farewell();
  CHECK(node.sent.empty());
}
