// SPDX-License-Identifier: GPL-2.0-or-later
// A monitor of a domain whose definition can't be read, and parameters that change while it runs.
#include <doctest/doctest.h>

#include <utility>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;
using wire::OcfCode;

namespace {

struct Node : EngineStage {
  /// The hypervisor shows the domain so, by this name, if it answers at all.
  explicit Node(const std::string& called = "", Here where = Here::absent) { shows(called, where); }
  OrderReply ask(Order order) {
    const auto answer = give(std::move(order));
    REQUIRE(answer);
    return *answer;
  }
  /// A monitor of resource r1 without a readable definition.
  OcfCode monitor(std::map<std::string, std::string> parameters = {}, bool misnamed = false) {
    Order order;
    order.misnamed = misnamed;
    order.resource = "r1";
    order.parameters = std::move(parameters);
    order.no_definition = {OcfCode::not_installed, "the domain's definition can't be read"};
    return ask(order).code;
  }
};

Record vm1(Phase phase, const std::string& name = "vm1") {
  Record record{uuid, name, "r1", {}, "<domain/>", {}};
  record.state.phase = phase;
  return record;
}

}  // namespace

TEST_CASE("engine monitor: without a definition the parameter name tells which domain it is") {
  Node node;
  node.begin();
  CHECK(node.monitor() == OcfCode::not_installed);
  CHECK(node.monitor({{"name", "vm1"}}) == OcfCode::not_running);
  node.shows("vm1", Here::running);
  CHECK(node.monitor({{"name", "vm1"}}) == OcfCode::success);
  CHECK(node.monitor({{"name", "vm2"}}) == OcfCode::not_running);
  node.healthy = false;
  CHECK(node.monitor({{"name", "vm1"}}) == OcfCode::error);
  node.shows("vm1", Here::unknown);
  CHECK(node.monitor({{"name", "vm1"}}) == OcfCode::error);
}

TEST_CASE("engine monitor: a name that the definition contradicts tells nothing; the record of that name does") {
  Node node("vm1", Here::running);
  node.begin();
  CHECK(node.monitor({{"name", "vm1"}}, true) == OcfCode::not_installed);
  node.here = Here::absent;
  CHECK(node.monitor({{"name", "vm1"}}, true) == OcfCode::not_installed);
  Node known("vm1", Here::running);
  known.begin({vm1(Phase::held)});
  CHECK(known.monitor({{"name", "vm1"}}, true) == OcfCode::success);
  CHECK(known.monitor({{"name", "vm2"}}, true) == OcfCode::not_installed);
}

TEST_CASE("engine start: the record's definition is not used for a resource that was given another domain since") {
  Node node;
  node.begin({vm1(Phase::gone, "old")});
  Order order;
  order.kind = Order::Kind::start;
  order.resource = "r1";
  order.parameters = {{"name", "vm1"}};
  order.no_definition = {OcfCode::not_installed, "it can't be read"};
  const OrderReply answer = node.ask(order);
  CHECK(answer.code == OcfCode::not_installed);
  CHECK(answer.reason == "it can't be read");
}

TEST_CASE("engine monitor: by name it never says not running when it can't tell") {
  Node silent;
  silent.begin({}, false);
  CHECK(silent.monitor({{"name", "vm1"}}) == OcfCode::error);
  struct Nameless : Node {
    std::map<DomainUuid, DomainView> all() const override { return {{uuid, look(uuid)}}; }
  } nameless;
  nameless.begin();
  nameless.shows("", Here::unknown);
  CHECK(nameless.monitor({{"name", "vm1"}}) == OcfCode::error);
  nameless.shows("", Here::absent);
  CHECK(nameless.monitor({{"name", "vm1"}}) == OcfCode::not_running);
}

TEST_CASE("engine monitor: the daemon's record of the resource tells, unless the resource means another domain now") {
  Node node("vm1", Here::running);
  node.begin({vm1(Phase::offered)});
  CHECK(node.monitor() == OcfCode::not_running);  // it is offered
  CHECK(node.monitor({{"name", "vm1"}}) == OcfCode::not_running);
  Node other("vm1", Here::running);
  other.begin({vm1(Phase::gone, "old")});
  CHECK(other.monitor({{"name", "vm1"}}) == OcfCode::success);
}

TEST_CASE("engine reload: changed parameters count from then on, in memory and on disk") {
  Node node("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  CHECK(node.engine->domains()[0].real_stop.empty());
  Order order;
  order.kind = Order::Kind::reload;
  order.resource = "r1";
  order.definition = Definition{uuid, "vm1", "<domain/>", 0};
  order.parameters = {{"handoff", "off"}, {"unfenced", "membership"}};
  node.written.clear();
  CHECK(node.ask(order).code == OcfCode::success);
  CHECK(node.engine->domains()[0].real_stop == "handoff=off");
  CHECK(node.engine->domains()[0].unfenced_membership);
  REQUIRE(node.written.size() == 1);
  CHECK(node.written[0].parameters == order.parameters);
  CHECK(node.written[0].state.phase == Phase::held);
  SUBCASE("the definition can't be read now: the domain runs, so it is said and not failed") {
    order.definition.reset();
    order.no_definition = {OcfCode::not_installed, "it can't be read"};
    order.parameters = {};
    CHECK(node.ask(order).code == OcfCode::success);
    CHECK(node.engine->domains()[0].real_stop.empty());
    CHECK(node.alarms.back().find("it can't be read") != std::string::npos);
  }
}

TEST_CASE("engine reload: while a step is on its way to the disk its record is not overtaken by an older state") {
  struct Slow : Node {
    std::vector<Callback<Outcome>> waiting;
    using Node::Node;
    using Stage::write;
    void write(const Record& record, Callback<Outcome> done) override {
      written.push_back(record);
      waiting.push_back(std::move(done));
    }
  } node("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  while (!node.waiting.empty()) std::exchange(node.waiting, {}).front()(Done{});
  node.written.clear();
  node.waiting.clear();
  node.peer_listener->received("n2", "installation-2", wire::Claim{uuid, {2, 1}, {}});  // its job begins once it is on disk
  REQUIRE(node.waiting.size() == 1);
  REQUIRE(node.written.back().state.phase == Phase::moving);
  Order order;
  order.kind = Order::Kind::reload;
  order.resource = "r1";
  order.definition = Definition{uuid, "vm1", "<domain/>", 0};
  order.parameters = {{"handoff", "off"}};
  CHECK(node.ask(order).code == OcfCode::success);
  CHECK(node.written.size() == 1);
  node.waiting[0](Done{});
  REQUIRE(node.written.size() == 2);
  CHECK(node.written.back().state.phase == Phase::moving);
  CHECK(node.written.back().parameters == order.parameters);
}

TEST_CASE("engine reload: of a domain that isn't here nothing is to be changed") {
  Node node;
  node.begin();
  Order order;
  order.kind = Order::Kind::reload;
  order.resource = "r1";
  order.definition = Definition{uuid, "vm1", "<domain/>", 0};
  CHECK(node.ask(order).code == OcfCode::success);
  CHECK(node.engine->domains().empty());
  node.shows("vm1", Here::running);  // started by hand, or by the agent that had it before
  order.parameters = {{"handoff", "off"}};
  CHECK(node.ask(order).code == OcfCode::success);
  CHECK(node.engine->domains().at(0).real_stop == "handoff=off");
}

TEST_CASE("engine claim: a domain that was started by hand leaves by the parameters of the resource that claims it") {
  Node node("vm1", Here::running);
  node.begin();
  node.hears(wire::Claim{uuid, {2, 1}, {}, "r1", {{"migration_transport", "tcp"}}});
  REQUIRE(!node.written.empty());
  CHECK(node.written.back().state.phase == Phase::moving);
  CHECK(node.written.back().resource == "r1");
  CHECK(node.written.back().parameters.at("migration_transport") == "tcp");

  Node ours("vm1", Here::running);  // it has parameters of its own
  Record known = vm1(Phase::held);
  known.parameters = {{"migration_transport", "ssh"}};
  ours.begin({known});
  ours.hears(wire::Claim{uuid, {2, 1}, {}, "r1", {{"migration_transport", "tcp"}}});
  CHECK(ours.written.back().parameters.at("migration_transport") == "ssh");
}
