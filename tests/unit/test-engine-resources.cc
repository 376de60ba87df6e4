// SPDX-License-Identifier: GPL-2.0-or-later
// start_resources: a start, and the destination of a move, have libvirt's pools and networks started first; who only
// wants to know starts nothing.
#include <doctest/doctest.h>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {

Order start(const std::string& wanted) {
  Order order = EngineStage::order(Order::Kind::start, "vm1");
  order.parameters = {{"config", "/vm1.xml"}, {"start_resources", wanted}};
  return order;
}

int claims(const EngineStage& stage) {
  int count = 0;
  for (const auto& [to, message] : stage.sent) count += std::holds_alternative<wire::Claim>(message) ? 1 : 0;
  return count;
}

const wire::Ready* answer(const EngineStage& stage) {
  for (const auto& [to, message] : stage.sent)
    if (const auto* ready = std::get_if<wire::Ready>(&message)) return ready;
  return nullptr;
}

wire::AskReady question(bool start_resources, bool only_asked) {
  wire::AskReady asked;
  asked.question = 7;
  asked.domain = uuid;
  asked.name = "vm1";
  asked.definition = "<domain/>";
  asked.only_asked = only_asked;
  asked.start_resources = start_resources;
  return asked;
}

}  // namespace

TEST_CASE("engine-resources: nobody is asked for the domain before they are started") {
  EngineStage stage;
  stage.begin();
  CHECK_FALSE(stage.give(start("true")).has_value());
  REQUIRE(stage.resource_starts.size() == 1);
  CHECK(claims(stage) == 0);
  stage.resource_starts[0].second(Done{});
  CHECK(claims(stage) == 1);
}

TEST_CASE("engine-resources: without the parameter nothing is started") {
  EngineStage stage;
  stage.begin();
  stage.give(start("false"));
  CHECK(stage.resource_starts.empty());
  CHECK(claims(stage) == 1);
}

TEST_CASE("engine-resources: one that can't be started fails the start, and says why") {
  EngineStage stage;
  stage.begin();
  std::optional<OrderReply> reply;
  stage.engine->order(start("true"), [&](OrderReply said) { reply = std::move(said); });
  REQUIRE(stage.resource_starts.size() == 1);
  stage.resource_starts[0].second(Error{"network office can't be started: no dnsmasq"});
  REQUIRE(reply.has_value());
  CHECK(reply->code == wire::OcfCode::error);
  CHECK(reply->reason == "network office can't be started: no dnsmasq");
  CHECK(claims(stage) == 0);
}

TEST_CASE("engine-resources: what runs here already needs nothing") {
  EngineStage stage;
  stage.shows("vm1", Here::running);
  stage.begin();
  stage.give(start("true"));
  CHECK(stage.resource_starts.empty());
}

TEST_CASE("engine-resources: a start whose agent was killed meanwhile asks nobody") {
  EngineStage stage;
  stage.begin();
  const OrderId id = stage.engine->order(start("true"), [](OrderReply) {});
  stage.engine->caller_gone(id);
  REQUIRE(stage.resource_starts.size() == 1);
  stage.resource_starts[0].second(Done{});
  CHECK(claims(stage) == 0);
}

TEST_CASE("engine-resources: a silent hypervisor is waited for") {
  EngineStage stage;
  stage.here = Here::unknown;
  stage.begin();
  stage.give(start("true"));
  CHECK(stage.resource_starts.empty());
  stage.here = Here::absent;
  stage.timers.rbegin()->second();  // the last one that was set: it is looked at again
  CHECK(stage.resource_starts.size() == 1);
}

TEST_CASE("engine-resources: a destination starts them before it says that it is ready") {
  EngineStage stage;
  stage.begin();
  stage.hears(question(true, false));
  REQUIRE(stage.checks.size() == 1);
  CHECK(stage.checks[0].first.may_start_resources);
  CHECK(stage.resource_starts.empty());
  stage.checks[0].second({"", false, "a doubt"});
  REQUIRE(stage.resource_starts.size() == 1);
  CHECK(answer(stage) == nullptr);
  SUBCASE("well") {
    stage.resource_starts[0].second(Done{});
    REQUIRE(answer(stage) != nullptr);
    CHECK(answer(stage)->ready);
    CHECK(answer(stage)->why == "a doubt");
  }
  SUBCASE("not well") {
    stage.resource_starts[0].second(Error{"no dnsmasq"});
    REQUIRE(answer(stage) != nullptr);
    CHECK_FALSE(answer(stage)->ready);
    CHECK(answer(stage)->why == "no dnsmasq");
  }
}

TEST_CASE("engine-resources: asked again while they are being started, nobody starts them a second time") {
  EngineStage stage;
  stage.begin();
  stage.hears(question(true, false));
  stage.hears(question(true, false));  // while the first is being checked still
  REQUIRE(stage.checks.size() == 2);
  stage.checks[0].second({});
  stage.checks[1].second({});
  REQUIRE(stage.resource_starts.size() == 1);
  stage.hears(question(true, false));
  CHECK(stage.checks.size() == 2);
  REQUIRE(answer(stage) != nullptr);
  CHECK_FALSE(answer(stage)->ready);
  CHECK(answer(stage)->why.find("are being started") != std::string::npos);
  SUBCASE("the first question is answered when they are") {
    stage.sent.clear();
    stage.resource_starts[0].second(Done{});
    REQUIRE(answer(stage) != nullptr);
    CHECK(answer(stage)->ready);
  }
  SUBCASE("a start waits for the same run, and has its own after it") {
    stage.give(start("true"));
    CHECK(stage.resource_starts.size() == 1);
    stage.resource_starts[0].second(Done{});
    stage.timers.rbegin()->second();
    CHECK(stage.resource_starts.size() == 2);
  }
}

TEST_CASE("engine-resources: a start of which no definition is known is not failed for it, as the domain may be fetched") {
  EngineStage stage;
  stage.begin();
  Order order = start("true");
  order.definition->xml.clear();
  stage.give(order);
  CHECK(stage.resource_starts.empty());
  CHECK(claims(stage) == 1);
}

TEST_CASE("engine-resources: nothing is started for who only asks, for what can't come, or unasked") {
  EngineStage stage;
  stage.begin();
  SUBCASE("only asked") {
    stage.hears(question(true, true));
    REQUIRE(stage.checks.size() == 1);
    stage.checks[0].second({});
    CHECK(answer(stage)->ready);
  }
  SUBCASE("can't come") {
    stage.hears(question(true, false));
    REQUIRE(stage.checks.size() == 1);
    stage.checks[0].second({"another CPU", true, ""});
    CHECK_FALSE(answer(stage)->ready);
    CHECK(answer(stage)->incompatible);
  }
  SUBCASE("unasked") {
    stage.hears(question(false, false));
    REQUIRE(stage.checks.size() == 1);
    CHECK_FALSE(stage.checks[0].first.may_start_resources);
    stage.checks[0].second({});
    CHECK(answer(stage)->ready);
  }
  CHECK(stage.resource_starts.empty());
}

TEST_CASE("engine-resources: a disk that a boot makes has the start's own time, less some for the boot") {
  EngineStage stage;
  stage.begin();
  Order order = start("false");
  order.parameters["backingfile"] = "/srv/golden.raw";
  stage.engine->order(order, [](OrderReply) {});
  for (const auto& [to, message] : std::exchange(stage.sent, {}))
    if (const auto* claim = std::get_if<wire::Claim>(&message)) stage.hears(wire::Gone{uuid, claim->attempt, {}, "", "", {}});
  REQUIRE(stage.boots == 1);
  REQUIRE(stage.booted.disk);
  CHECK(stage.booted.disk->time > Milliseconds{20'000});
  CHECK(stage.booted.disk->time < Milliseconds{50'000});
}
