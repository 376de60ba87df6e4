// SPDX-License-Identifier: GPL-2.0-or-later
// What the engine raises of itself, and when it says that it is over.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <utility>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;

namespace {

struct Node : EngineStage {
  std::multiset<std::string> standing, ended;
  std::vector<EventKind> happenings;
  std::map<NodeName, Callback<Outcome>> fencings;
  Outcome disk = Done{};

  using EngineStage::write;
  void raise(AlarmKind kind, const Subject& subject, const std::string& text, bool) override {
    CHECK_FALSE(text.empty());
    if (standing.count(word(kind, subject)) == 0) standing.insert(word(kind, subject));
  }
  void clear(AlarmKind kind, const Subject& subject, const std::string& why) override {
    CHECK_FALSE(why.empty());
    if (standing.erase(word(kind, subject)) > 0) ended.insert(word(kind, subject));
  }
  void happened(EventKind kind, const Subject&, Level, const std::string&) override { happenings.push_back(kind); }
  void write(const Record&, Callback<Outcome> done) override { done(disk); }
  void request_fencing(const NodeName& node, const std::string&, Callback<Outcome> done) override { fencings[node] = std::move(done); }

  static std::string word(AlarmKind kind, const Subject& subject) {
    return std::string(to_string(kind)) + " " + (subject.name.empty() ? to_string(subject.what) : subject.name);
  }
  bool stands(const std::string& what) const { return standing.contains(what); }
  void look() { hypervisor_listener->domain_changed(uuid); }
  void tick() {
    auto due = std::exchange(timers, {});
    time = time + Milliseconds{1000};
    for (auto& [id, call] : due) call();
  }
  bool said(EventKind kind) const { return std::count(happenings.begin(), happenings.end(), kind) > 0; }
};

Record vm1(Phase phase, std::map<std::string, std::string> parameters = {}) {
  Record record{uuid, "vm1", "r1", std::move(parameters), "<domain/>", {}};
  record.state.phase = phase;
  record.state.epoch = Epoch{3};
  return record;
}

}  // namespace

TEST_CASE("engine alarms: a domain that stands still, until it runs") {
  Node node;
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  CHECK(node.standing.empty());
  node.healthy = false;
  node.detail = "paused (I/O error)";
  node.look();
  CHECK(node.stands("domain-unhealthy vm1"));
  SUBCASE("it runs again") {
    node.healthy = true;
    node.look();
  }
  SUBCASE("it is gone, which is another alarm") {
    node.shows("vm1", Here::absent);
    node.look();
    CHECK(node.stands("domain-gone vm1"));
  }
  CHECK_FALSE(node.stands("domain-unhealthy vm1"));
  CHECK(node.ended.count("domain-unhealthy vm1") == 1);
}

TEST_CASE("engine alarms: a guest that just shuts down or is being saved is not unhealthy") {
  Node node;
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  node.healthy = false;
  node.ends = true;
  node.detail = "shutting down";
  node.look();
  CHECK(node.standing.empty());
}

TEST_CASE("engine alarms: a domain that is ended by order is not missed") {
  Node node;
  node.standing = {"domain-unhealthy vm1", "not-ended vm1", "definition-not-saved vm1", "definition-not-shared vm1"};
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::stopping)});
  node.shows("vm1", Here::absent);
  node.look();
  CHECK(node.engine->domains().front().state.phase == Phase::gone);
  CHECK(node.standing.empty());
}

TEST_CASE("engine alarms: a domain that ended without an order, until it runs elsewhere") {
  Node node;
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  node.shows("vm1", Here::absent);
  node.look();
  REQUIRE(node.stands("domain-gone vm1"));
  SUBCASE("elsewhere") {
    node.hears(wire::Note{uuid, "vm1", Epoch{4}});
    CHECK_FALSE(node.stands("domain-gone vm1"));
    CHECK(node.ended.count("domain-gone vm1") == 1);
  }
  SUBCASE("nowhere yet") {
    node.tick();
    CHECK(node.stands("domain-gone vm1"));
  }
}

TEST_CASE("engine alarms: what was gone runs here") {
  Node node;
  node.standing = {"domain-gone vm1", "lost-in-post-copy vm1", "two-instances vm1"};
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  node.look();
  CHECK_FALSE(node.stands("domain-gone vm1"));
  CHECK_FALSE(node.stands("lost-in-post-copy vm1"));
  CHECK(node.stands("two-instances vm1"));  // a person says when that is over
}

TEST_CASE("engine alarms: what is gone when the daemon begins may have gone with the node, and is not missed") {
  Node node;
  node.shows("vm1", Here::absent);
  node.begin({vm1(Phase::held)});
  node.look();
  CHECK(node.engine->domains().front().state.phase == Phase::gone);
  CHECK(node.standing.empty());
}

TEST_CASE("engine alarms: one of a daemon before this one ends, too") {
  Node node;
  node.standing = {"domain-unhealthy vm1", "resume-failed vm1", "hypervisor-away daemon", "unfenced-membership vm1"};
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  node.look();
  CHECK_MESSAGE(node.standing.empty(), *node.standing.begin());
}

TEST_CASE("engine alarms: a hypervisor that stays away, not one that is restarted") {
  Node node;
  node.begin({});
  node.hypervisor_listener->hypervisor_changed(false);
  for (int i = 0; i < 29; ++i) node.tick();
  CHECK(node.standing.empty());
  node.tick();
  CHECK(node.stands("hypervisor-away daemon"));
  node.hypervisor_listener->hypervisor_changed(true);
  CHECK(node.standing.empty());
  CHECK(node.said(EventKind::hypervisor_away));
  CHECK(node.said(EventKind::hypervisor_back));
}

TEST_CASE("engine alarms: a journal that can't be written, until it can") {
  Node node;
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held)});
  node.disk = Error{"the disk is full"};
  CHECK(node.give(EngineStage::order(Order::Kind::reload, "r1"))->code == wire::OcfCode::success);
  CHECK(node.stands("journal-not-written r1"));
  node.disk = Done{};
  node.give(EngineStage::order(Order::Kind::reload, "r1"));
  CHECK(node.standing.empty());
}

TEST_CASE("engine alarms: unfenced=membership, until the resource wants it no more") {
  Node node;
  node.shows("vm1", Here::running);
  node.begin({vm1(Phase::held, {{"unfenced", "membership"}})});
  CHECK(node.stands("unfenced-membership vm1"));
  node.give(EngineStage::order(Order::Kind::reload, "vm1"));
  CHECK(node.standing.empty());
}

TEST_CASE("engine alarms: unfenced=membership of the configuration is the daemon's alarm, not each domain's") {
  Node node;
  node.shows("vm1", Here::running);
  Record record = vm1(Phase::held);
  node.engine = std::make_unique<Engine>(node.world, node.known, io::policy_reader({{"unfenced", "membership"}}), std::vector<Record>{record},
                                         std::set<NodeName>{});
  node.engine->begin();
  CHECK(node.engine->domains().front().unfenced_membership);
  CHECK(node.standing.empty());
}

TEST_CASE("engine alarms: a node whose daemon begins anew waits for no fencing") {
  Node node;
  node.standing = {"fencing-failed n1", "fencing-failed n2"};
  node.begin({});
  CHECK(node.standing == std::multiset<std::string>{"fencing-failed n2"});
}

TEST_CASE("engine alarms: links and orders are events") {
  Node node;
  node.standing = {"fencing-failed n2", "absent-without-proof n2"};
  node.begin({});
  node.peer_listener->link_changed("n2", true);
  CHECK(node.standing.empty());
  node.peer_listener->link_changed("n2", false);
  node.give(EngineStage::order(Order::Kind::start, "r1"));
  for (const EventKind kind : {EventKind::link_up, EventKind::link_down, EventKind::action_begun}) CHECK(node.said(kind));
}
