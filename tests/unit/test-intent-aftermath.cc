// SPDX-License-Identifier: GPL-2.0-or-later
// A stop after which it is to be started on the same node: because a migration failed, or because the cluster counts it as active
// on several nodes after a partition.
#include <doctest/doctest.h>

#include "tests/unit/intent-cluster.h"

using namespace migrationd;
using namespace migrationd::intent;

TEST_CASE("intent: rule 5, started here again only because a migration failed") {
  Cluster c;
  c.start("n1");
  SUBCASE("migrate_to failed here") { c.facts.history = {done("start", "n1", 5), migration("migrate_to", "n1", 6, 1, true)}; }
  SUBCASE("migrate_to was cut off") {
    c.facts.history = {migration("migrate_to", "n1", -1, 193, false)};
    c.facts.history.back().pending = true;
  }
  SUBCASE("migrate_from failed on the other node") {
    c.facts.history = {migration("migrate_to", "n1", 6, 0, false), migration("migrate_from", "n2", 3, 1, true)};
  }
  SUBCASE("migrate_from failed, and the stop there is done already") {
    c.facts.history = {migration("migrate_to", "n1", 6, 0, false), migration("migrate_from", "n2", 3, 1, true), done("stop", "n2", 4)};
  }
  const Decision d = c.decide();
  CHECK(d.intent == Intent::keep);
  CHECK(d.to == "n1");
  CHECK(says(d.reason, "migrat"));
}

TEST_CASE("intent: FAILED on both nodes: the side where it isn't started offers to the other") {
  Cluster c;
  c.act(ActionKind::resource, "stop", "vm", "n2");
  c.start("n1");
  c.facts.history = {migration("migrate_to", "n1", 6, 1, true)};
  CHECK(c.decide("n1").intent == Intent::keep);
  CHECK(c.decide("n2").intent == Intent::offer);
  CHECK(c.decide("n2").to == "n1");
}

TEST_CASE("intent: counted as active on two nodes and stopped on both, it is kept where it runs") {
  Cluster c;
  SUBCASE("both stops are planned") {
    c.act(ActionKind::resource, "stop", "vm", "n2");
    c.start("n1");
    CHECK(c.decide().intent == Intent::keep);
    CHECK(c.decide().to == "n1");
    CHECK(says(c.decide().reason, "n2"));
  }
  SUBCASE("it is to be started where it does not run") {
    c.act(ActionKind::resource, "stop", "vm", "n2");
    c.start("n2");
    CHECK(c.decide().intent == Intent::offer);
  }
  SUBCASE("no start, a definition that changed, something beneath that goes, a shutdown, a failed monitor: the real stop") {
    c.act(ActionKind::resource, "stop", "vm", "n2");
    SUBCASE("no start") {}
    SUBCASE("definition") { c.start("n1"), c.facts.redefined = "other parameters"; }
    SUBCASE("beneath") { c.start("n1"), c.resource("fs", "", {"n1"}), c.stops_after("fs", "n1"); }
    SUBCASE("shutdown") { c.start("n1"), c.facts.nodes["n1"].shutting_down = true; }
    SUBCASE("monitor") { c.start("n1"), c.facts.history = {done("start", "n1", 3), done("monitor", "n1", 4, true)}; }
    CHECK(c.decide().intent == Intent::stop);
  }
  SUBCASE("the other node has stopped it already, in the transition of this stop, which the plan lacks") {
    c.plan.actions.clear();
    c.facts.stopping_in = "9:uuid";
    c.facts.history = {done("stop", "n2", 5)};
    c.facts.history.front().transition = "9:uuid";
    CHECK(c.decide().intent == Intent::keep);
    SUBCASE("in another transition") { c.facts.history.front().transition = "8:uuid"; }
    SUBCASE("no stop is recorded as being under way here") { c.facts.stopping_in.clear(); }
    SUBCASE("it was started there since") { c.facts.history.push_back(done("start", "n2", 6)); }
    SUBCASE("something is active beneath it") { c.resource("fs", "", {"n1"}), c.facts.orders.emplace("fs", "vm"); }
    SUBCASE("disabled") { c.facts.resources["vm"].target_role = "Stopped"; }
    SUBCASE("a clone") { c.facts.resources["vm"].clone = "vm-clone"; }
    SUBCASE("shutdown") { c.facts.nodes["n1"].shutting_down = true; }
    SUBCASE("a failed monitor") { c.facts.history.push_back(done("monitor", "n1", 4, true)); }
    CHECK(c.decide().intent == Intent::stop);
  }
}
