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
    SUBCASE("no stop is recorded as being under way here") { c.facts.stopping_in.clear(); }
    SUBCASE("it was started there since") {
      c.facts.history.push_back(done("start", "n2", 6));
      c.facts.resources["vm"].active["n2"] = Role::started;
    }
    SUBCASE("something is active beneath it") { c.resource("fs", "", {"n1"}), c.facts.orders.emplace("fs", "vm"); }
    SUBCASE("disabled") { c.facts.resources["vm"].target_role = "Stopped"; }
    SUBCASE("a clone") { c.facts.resources["vm"].clone = "vm-clone"; }
    SUBCASE("shutdown") { c.facts.nodes["n1"].shutting_down = true; }
    SUBCASE("a failed monitor") { c.facts.history.push_back(done("monitor", "n1", 4, true)); }
    CHECK(c.decide().intent == Intent::stop);
  }
}

TEST_CASE("intent: a stop whose plan was overtaken, such as by a standby that was taken back, keeps the domain") {
  Cluster c;
  c.plan = {};
  c.facts.stopping_in = "9:uuid";
  const Decision kept = c.decide();
  CHECK(kept.intent == Intent::keep);
  CHECK(kept.to == "n1");
  CHECK(kept.also_on.empty());
  CHECK(says(kept.reason, "out of date: the cluster wants vm on n1 by now"));

  SUBCASE("not when nothing records that the cluster stops it: somebody does by hand, or the CIB lags") {
    c.facts.stopping_in.clear();
    CHECK(c.decide().plan_lacks_stop);
  }
  SUBCASE("not with anything active beneath it: that may be stopping already") {
    c.resource("fs", "", {"n1"});
    c.facts.orders.emplace("fs", "vm");
    CHECK(c.decide().plan_lacks_stop);
  }
  SUBCASE("something beneath it that is not active here does not count") {
    c.resource("fs", "", {"n2"});
    c.facts.orders.emplace("fs", "vm");
    CHECK(c.decide().intent == Intent::keep);
    return;
  }
  SUBCASE("a stop of it on the other node, in an older transition, is no reason to stop it") {
    c.facts.history = {done("stop", "n2", 5)};
    c.facts.history.front().transition = "8:uuid";
    CHECK(c.decide().intent == Intent::keep);
    return;
  }
  SUBCASE("not when it counts as active on another node, too") { c.facts.resources["vm"].active["n2"] = Role::started; }
  SUBCASE("not when it is unmanaged") { c.facts.resources["vm"].managed = false; }
  SUBCASE("not when the node goes") { c.facts.nodes["n1"].shutting_down = true; }
  SUBCASE("not when the node is to be fenced") { c.act(ActionKind::cluster, "stonith", "", "n1"); }
  SUBCASE("not when it is meant to be stopped") { c.facts.resources["vm"].target_role = "Stopped"; }
  SUBCASE("not when it was changed") { c.facts.redefined = "other parameters"; }
  SUBCASE("not when its monitor failed") { c.facts.history = {done("start", "n1", 1), done("monitor", "n1", 2, true)}; }
  SUBCASE("not when the cluster counts it as gone") { c.facts.resources["vm"].active.clear(); }
  SUBCASE("not an instance of a clone") { c.facts.resources["vm"].clone = "vms"; }
  if (!c.facts.resources["vm"].managed || c.facts.resources["vm"].active.size() > 1 || c.facts.stopping_in.empty() || c.facts.resources.contains("fs") || c.facts.nodes["n1"].shutting_down || !c.plan.actions.empty() ||
      !c.facts.resources["vm"].target_role.empty() || !c.facts.redefined.empty() || !c.facts.history.empty() ||
      c.facts.resources["vm"].active.empty() || !c.facts.resources["vm"].clone.empty())
    CHECK(c.decide().intent == Intent::stop);
}
