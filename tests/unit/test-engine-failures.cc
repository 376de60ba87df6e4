// SPDX-License-Identifier: GPL-2.0-or-later
// A domain that ends by itself: the cluster manager is told at once and once, and never of what it ordered itself.
#include <doctest/doctest.h>

#include <algorithm>

#include "migrationd/io/pacemaker.h"
#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using recovery::Ending;
using tests::EngineStage;
using tests::uuid;
using wire::OcfCode;

namespace {

struct Node : EngineStage {
  explicit Node(Phase phase = Phase::held, std::map<std::string, std::string> parameters = {}) {
    shows("vm1", Here::running);
    Record record{uuid, "vm1", "r1", std::move(parameters), "<domain/>", {}};
    record.state.phase = phase;
    record.state.epoch = Epoch{3};
    if (phase == Phase::offered) record.state.offer_ends = time + Milliseconds{60'000};
    begin({record});
  }
  void changed() { hypervisor_listener->domain_changed(uuid); }
  void ends(Ending how) {
    ended = how;
    shows("vm1", Here::absent);
    changed();
  }
  /// A monitor of it; the answer when it has come.
  std::shared_ptr<std::optional<OrderReply>> monitor() {
    auto answer = std::make_shared<std::optional<OrderReply>>();
    engine->order(order(Order::Kind::monitor, "r1"), [answer](OrderReply said) { *answer = std::move(said); });
    return answer;
  }
  /// The cluster manager had time to act upon what it was told.
  OcfCode monitored_later() {
    time = time + Milliseconds{2'000};
    return monitored();
  }
  OcfCode monitored() {
    const auto answer = monitor();
    REQUIRE(*answer);
    return (*answer)->code;
  }
};

std::string mon(const std::string& attributes, const std::string& nodes = "<node name=\"n1\" id=\"1\" cached=\"true\"/>",
                const std::string& agent = "ocf:migrationd:VirtualDomain") {
  return "<pacemaker-result api-version=\"2.25\"><summary/><nodes/><resources><group id=\"g1\"><resource id=\"r1\" resource_agent=\"" + agent +
         "\" " + attributes + ">" + nodes + "</resource></group></resources></pacemaker-result>";
}

const std::string well = "role=\"Started\" active=\"true\" managed=\"true\" failed=\"false\" nodes_running_on=\"1\"";

}  // namespace

TEST_CASE("failures: a held domain that ends is reported at once, and once") {
  for (const Ending how : {Ending::crashed, Ending::unknown, Ending::powered_off, Ending::saved, Ending::migrated}) {
    CAPTURE(recovery::in_words(how));
    Node node;
    node.ends(how);
    REQUIRE(node.failure_reports.size() == 1);
    node.changed();
    CHECK(node.monitor() != nullptr);
    node.failure_reports[0](Done{});
    node.changed();
    CHECK(node.monitored() == OcfCode::success);
    CHECK(node.monitored_later() == OcfCode::not_running);
    CHECK(node.failure_reports.size() == 1);
    CHECK(node.stays_off.empty());
  }
}

TEST_CASE("failures: its next life's end is reported, too") {
  Node node;
  node.ends(Ending::crashed);
  node.failure_reports[0](Done{});
  node.shows("vm1", Here::running);
  node.changed();
  CHECK(node.give(Node::order(Order::Kind::start, "r1")));
  node.ends(Ending::crashed);
  CHECK(node.failure_reports.size() == 2);
}

TEST_CASE("failures: what is not held here, or is no resource, is not reported") {
  for (const Phase phase : {Phase::offered, Phase::gone, Phase::stopping}) {
    CAPTURE(handoff::to_string(phase));
    Node node(phase);
    node.ends(Ending::powered_off);
    CHECK(node.failure_reports.empty());
  }
  Node by_hand;
  by_hand.engine.reset();
  Record record{uuid, "vm1", "", {}, "<domain/>", {}};
  record.state.phase = Phase::held;
  by_hand.shows("vm1", Here::running);
  by_hand.begin({record});
  by_hand.ends(Ending::crashed);
  CHECK(by_hand.failure_reports.empty());
}

TEST_CASE("failures: a domain that ends while an order about it is under way is that order's business") {
  for (const Order::Kind kind : {Order::Kind::stop, Order::Kind::migrate_to}) {
    Node node;
    Order order = Node::order(kind, "r1");
    order.target = "n2";
    CHECK_FALSE(node.give(order));
    node.ends(Ending::powered_off);
    CHECK(node.failure_reports.empty());
  }
}

TEST_CASE("failures: while the hypervisor is silent nothing is reported") {
  Node node;
  node.shows("vm1", Here::unknown);
  node.changed();
  CHECK(node.failure_reports.empty());
}

TEST_CASE("failures: a monitor waits for the report, and does not tell it a second time") {
  Node node;
  node.ends(Ending::crashed);
  auto waits = node.monitor();
  CHECK_FALSE(*waits);
  SUBCASE("it was made") {
    node.failure_reports[0](Done{});
    REQUIRE(*waits);
    CHECK((*waits)->code == OcfCode::success);
  }
  SUBCASE("it could not be made") {
    node.failure_reports[0](Error{"no"});
    REQUIRE(*waits);
    CHECK((*waits)->code == OcfCode::not_running);
  }
  SUBCASE("the monitor's own time is up first") {
    node.all_timers();
    REQUIRE(*waits);
    CHECK((*waits)->code == OcfCode::success);
    node.failure_reports[0](Done{});
  }
  CHECK(node.monitored_later() == OcfCode::not_running);
}

TEST_CASE("failures: after the stop that follows the report a monitor tells the truth at once") {
  Node node;
  node.ends(Ending::crashed);
  node.failure_reports[0](Done{});
  CHECK(node.monitored() == OcfCode::success);
  CHECK(node.give(Node::order(Order::Kind::stop, "r1")));
  CHECK(node.monitored() == OcfCode::not_running);
}

TEST_CASE("failures: a stop is answered after the report, never before it") {
  Node node;
  node.ends(Ending::crashed);
  auto answer = std::make_shared<std::optional<OrderReply>>();
  node.engine->order(Node::order(Order::Kind::stop, "r1"), [answer](OrderReply said) { *answer = std::move(said); });
  CHECK_FALSE(*answer);
  SUBCASE("which was made") { node.failure_reports[0](Done{}); }
  SUBCASE("which failed") { node.failure_reports[0](Error{"no"}); }
  SUBCASE("or when its time to decide is up, which calls the report off") {
    node.time = node.time + Milliseconds{20'000};
    node.all_timers();
    CHECK_FALSE(node.tell_wanted());
  }
  SUBCASE("also then, if that can't be called off any more") {
    CHECK(node.tell_wanted());
    node.time = node.time + Milliseconds{20'000};
    node.all_timers();
    CHECK_FALSE(*answer);
    node.failure_reports[0](Done{});
  }
  REQUIRE(*answer);
  CHECK((*answer)->code == OcfCode::success);
}

TEST_CASE("failures: on_poweroff=stay-off keeps a guest off that was powered off, with an alarm, and reports nothing") {
  Node node(Phase::held, {{"on_poweroff", "stay-off"}});
  node.ends(Ending::powered_off);
  REQUIRE(node.stays_off.size() == 1);
  auto waits = node.monitor();
  CHECK_FALSE(*waits);
  node.stays_off[0](Done{});
  REQUIRE(*waits);
  CHECK((*waits)->code == OcfCode::success);  // else it counts as a failure, though it was none
  CHECK(node.monitored() == OcfCode::success);
  CHECK(node.monitored_later() == OcfCode::not_running);
  CHECK(node.failure_reports.empty());
  REQUIRE_FALSE(node.alarms.empty());
  CHECK(node.alarms.back().find("stays off") != std::string::npos);
}

TEST_CASE("failures: what can't be kept off is reported as ever, with an alarm") {
  Node node(Phase::held, {{"on_poweroff", "stay-off"}});
  node.ends(Ending::powered_off);
  REQUIRE(node.stays_off.size() == 1);
  node.stays_off[0](Error{"no quorum"});
  CHECK(node.failure_reports.size() == 1);
  REQUIRE_FALSE(node.alarms.empty());
  CHECK(node.alarms.back().find("no quorum") != std::string::npos);
}

TEST_CASE("failures: on_poweroff=stay-off is not for a guest that crashed, was saved, or ended nobody knows how") {
  for (const Ending how : {Ending::crashed, Ending::unknown, Ending::saved, Ending::migrated}) {
    CAPTURE(recovery::in_words(how));
    Node node(Phase::held, {{"on_poweroff", "stay-off"}});
    node.ends(how);
    CHECK(node.stays_off.empty());
    CHECK(node.failure_reports.size() == 1);
  }
}

TEST_CASE("failures: a guest that panicked and stays here is reported, but not one that its hypervisor starts again") {
  Node node;
  node.healthy = false;
  node.crashed = true;
  node.changed();
  CHECK(node.failure_reports.empty());
  SUBCASE("it stays") {
    node.all_timers();
    CHECK(node.failure_reports.size() == 1);
    node.failure_reports[0](Done{});
    node.changed();
    node.all_timers();
    CHECK(node.failure_reports.size() == 1);
  }
  SUBCASE("it is started again") {
    node.healthy = true;
    node.crashed = false;
    node.changed();
    node.all_timers();
    CHECK(node.failure_reports.empty());
  }
}

TEST_CASE("failures: a daemon that comes up and finds what it held gone reports it") {
  Node node;
  node.engine.reset();
  node.shows("vm1", Here::unknown);
  Record record{uuid, "vm1", "r1", {{"on_poweroff", "stay-off"}}, "<domain/>", {}};
  record.state.phase = Phase::held;
  node.begin({record}, false);
  node.ended = Ending::powered_off;
  node.shows("vm1", Here::absent);
  std::size_t told = 1;
  SUBCASE("at once") { node.hypervisor_listener->hypervisor_changed(true); }
  SUBCASE("when it knows that its cluster manager is here") {
    node.active = false;
    node.hypervisor_listener->hypervisor_changed(true);
    CHECK(node.stays_off.empty());
    node.active = true;
    node.all_timers();
  }
  SUBCASE("never, when its cluster manager has not come: the node was just booted") {
    node.active = false;
    node.hypervisor_listener->hypervisor_changed(true);
    node.all_timers();
    told = 0;
  }
  CHECK(node.stays_off.size() == told);
  CHECK(node.failure_reports.empty());
}

TEST_CASE("failures: Pacemaker is told only of what it believes to run here, in good order and managed") {
  const auto told = [](const std::string& xml) { return io::running_by_monitor(xml, "r1", "n1").ok(); };
  CHECK(told(mon(well)));
  CHECK_FALSE(told("no XML"));
  CHECK_FALSE(io::running_by_monitor(mon(well), "r2", "n1").ok());
  CHECK_FALSE(io::running_by_monitor(mon(well), "r1", "n2").ok());
  CHECK_FALSE(told(mon(well, "<node name=\"n1\"/>", "ocf:heartbeat:VirtualDomain")));
  CHECK_FALSE(told(mon(well + " pending=\"Stopping\"")));
  CHECK_FALSE(told(mon(well + " target_role=\"Stopped\"")));
  const auto but = [](std::string was, const std::string& is) {
    std::string text = well;
    REQUIRE(text.find(was) != std::string::npos);
    return text.replace(text.find(was), was.size(), is);
  };
  CHECK_FALSE(told(mon(but("managed=\"true\"", "managed=\"false\""))));
  CHECK_FALSE(told(mon(but("failed=\"false\"", "failed=\"true\""))));
  CHECK_FALSE(told(mon(but("role=\"Started\"", "role=\"Stopping\""))));
  CHECK_FALSE(told(mon(but("on=\"1\"", "on=\"2\""), "<node name=\"n1\"/><node name=\"n2\"/>")));
  CHECK_FALSE(told(mon(but("on=\"1\"", "on=\"0\""), "")));
}

TEST_CASE("failures: where the monitor's on-fail is not restart, nothing is reported: it would not count") {
  const auto restarts = [](const std::string& operation, const std::string& defaults = "", const std::string& more = "") {
    return io::restarted_on_failure("<configuration><resources><group id=\"g\"><primitive id=\"r1\"" + more + "><operations>" + operation +
                                        "</operations></primitive></group><template id=\"t\"><operations><op name=\"monitor\" on-fail=\"standby\"/>" +
                                        "</operations></template></resources>" + defaults + "</configuration>",
                                    "r1")
        .ok();
  };
  CHECK(restarts("<op name=\"monitor\" interval=\"10s\"/>"));
  CHECK(restarts("<op name=\"monitor\" on-fail=\"restart\"/><op name=\"stop\" on-fail=\"fence\"/>"));
  CHECK_FALSE(restarts("<op name=\"monitor\" interval=\"10s\" on-fail=\"block\"/>"));
  CHECK_FALSE(restarts("<op name=\"monitor\"><meta_attributes><nvpair name=\"on-fail\" value=\"ignore\"/></meta_attributes></op>"));
  CHECK_FALSE(restarts("", "<op_defaults><meta_attributes><nvpair name=\"on-fail\" value=\"ignore\"/></meta_attributes></op_defaults>"));
  CHECK_FALSE(restarts("", "", " template=\"t\""));
  CHECK_FALSE(io::restarted_on_failure("<configuration/>", "r1").ok());
  CHECK_FALSE(io::restarted_on_failure("no XML", "r1").ok());
}
