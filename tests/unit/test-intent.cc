// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop means, rule by rule, on plans written here as plain values.
#include <doctest/doctest.h>

#include <string>

#include "tests/unit/intent-cluster.h"

using namespace migrationd;
using namespace migrationd::intent;

TEST_CASE("intent: a plain move is an offer to where it is started") {
  Cluster c;
  c.start("n2");
  const Decision d = c.decide();
  CHECK(d.intent == Intent::offer);
  CHECK(d.to == "n2");
  CHECK_FALSE(d.short_offer);
  CHECK(says(d.reason, "n2"));
}

TEST_CASE("intent: the offer is short when something is active beneath it here") {
  Cluster c;
  c.start("n2");
  c.resource("fs", "fs-clone", {"n1", "n2"});
  c.resource("disk", {}, {});
  SUBCASE("directly") { c.facts.orders.emplace("fs", "vm"); }
  SUBCASE("through what isn't active itself") { c.facts.orders = {{"fs", "disk"}, {"disk", "vm"}}; }
  const Decision d = c.decide();
  CHECK(d.intent == Intent::offer);
  CHECK(d.short_offer);
  CHECK(says(d.reason, "fs"));
}

TEST_CASE("intent: what is above it, or active elsewhere only, does not shorten the offer") {
  Cluster c;
  c.start("n2");
  c.resource("web", {}, {"n1"});
  c.resource("fs", "fs-clone", {"n2"});
  c.facts.orders = {{"vm", "web"}, {"fs", "vm"}};
  CHECK_FALSE(c.decide().short_offer);
}

TEST_CASE("intent: rule 1, it is meant to be stopped") {
  Cluster c;
  c.start("n2");
  std::string word;
  SUBCASE("target-role") { c.facts.resources["vm"].target_role = "Stopped", word = "target-role"; }
  SUBCASE("target-role, other case") { c.facts.resources["vm"].target_role = "stopped", word = "target-role"; }
  SUBCASE("deleted, still in the status section") { c.facts.resources["vm"].configured = false, word = "deleted"; }
  SUBCASE("deleted, nothing known") { c.facts.resources.erase("vm"), word = "deleted"; }
  SUBCASE("definition changed") { c.facts.redefined = "other parameters", word = "other parameters"; }
  SUBCASE("its history is removed") { c.act(ActionKind::resource, "delete", "vm", "n1", {c.stop}), word = "definition"; }
  const Decision d = c.decide();
  CHECK(d.intent == Intent::stop);
  CHECK(d.to.empty());
  CHECK(says(d.reason, word));
}

TEST_CASE("intent: rule 1, no start is planned anywhere") {
  Cluster c;
  CHECK(c.decide().intent == Intent::stop);
  CHECK(says(c.decide().reason, "no start"));
  c.facts.quorum = false;
  CHECK(says(c.decide().reason, "quorum"));
}

TEST_CASE("intent: rule 1, a fencing waits for the stop, directly or behind its group") {
  Cluster c;
  c.start("n2");
  int awaited = c.stop;
  SUBCASE("directly") {}
  SUBCASE("behind a pseudo event") { awaited = c.act(ActionKind::pseudo, "stopped", "group", {}, {c.stop}); }
  c.act(ActionKind::cluster, "stonith", {}, "n2", {awaited});
  CHECK(c.decide().intent == Intent::stop);
  CHECK(says(c.decide().reason, "fencing"));
}

TEST_CASE("intent: a guest node's fencing is a pseudo event, and needs the stop no less") {
  Cluster c;
  c.start("n2");
  c.act(ActionKind::pseudo, "stonith", {}, "guest", {c.stop});
  CHECK(c.decide().intent == Intent::stop);
}

TEST_CASE("intent: nothing is handed over from a node that is to be fenced") {
  Cluster c;
  const int fencing = c.act(ActionKind::cluster, "stonith", {}, "n1");
  c.plan.actions[c.stop] = {c.stop, ActionKind::pseudo, "stop", "vm", {}, {fencing}};
  c.start("n2");
  CHECK(c.decide().intent == Intent::stop);
  CHECK(says(c.decide().reason, "fenced"));
}

TEST_CASE("intent: rule 2, what is beneath goes") {
  Cluster c;
  c.start("n2");
  SUBCASE("no clone: a real stop") {
    c.resource("disk", {}, {"n1"});
    c.stops_after("disk", "n1");
    CHECK(c.decide().intent == Intent::stop);
    CHECK(says(c.decide().reason, "disk"));
  }
  SUBCASE("on another node: a real stop, too") {
    c.resource("target", {}, {"n3"});
    c.stops_after("target", "n3");
    CHECK(c.decide().intent == Intent::stop);
  }
  SUBCASE("a clone, active on the destination: a push") {
    c.resource("fs", "fs-clone", {"n1", "n2"});
    c.stops_after("fs", "n1");
    CHECK(c.decide().intent == Intent::push);
    CHECK(c.decide().to == "n2");
    CHECK(says(c.decide().reason, "fs-clone"));
  }
  SUBCASE("a clone behind its own pseudo stop, as Pacemaker orders it") {
    c.resource("fs", "fs-clone", {"n1", "n2"});
    const int all = c.act(ActionKind::pseudo, "stop", "fs-clone", {}, {c.stop});
    c.act(ActionKind::resource, "stop", "fs", "n1", {all});
    CHECK(c.decide().intent == Intent::push);
  }
  SUBCASE("a clone that isn't on the destination yet") {
    c.resource("fs", "fs-clone", {"n1"});
    c.stops_after("fs", "n1");
    CHECK(c.decide().intent == Intent::stop);
    CHECK(says(c.decide().reason, "not active on n2"));
  }
  SUBCASE("a clone that goes on the destination as well") {
    c.resource("fs", "fs-clone", {"n1", "n2"});
    c.stops_after("fs", "n1");
    c.act(ActionKind::resource, "stop", "fs", "n2");
    CHECK(c.decide().intent == Intent::stop);
  }
  SUBCASE("one clone stays usable, another thing does not") {
    c.resource("fs", "fs-clone", {"n1", "n2"});
    c.resource("disk", {}, {"n1"});
    c.stops_after("fs", "n1");
    c.stops_after("disk", "n1");
    CHECK(c.decide().intent == Intent::stop);
  }
  SUBCASE("demoted: a push only where it is promoted") {
    c.resource("drbd", "drbd-clone", {"n1", "n2"});
    c.act(ActionKind::resource, "demote", "drbd", "n1", {c.stop});
    CHECK(c.decide().intent == Intent::stop);
    c.facts.resources["drbd"].active["n2"] = Role::promoted;
    CHECK(c.decide().intent == Intent::push);
  }
}

TEST_CASE("intent: what merely starts after the stop is not beneath") {
  Cluster c;
  c.start("n2");
  const int load = c.act(ActionKind::pseudo, "load_stopped_n1", {}, {}, {c.stop});
  c.resource("other", {}, {"n2"});
  c.act(ActionKind::resource, "start", "other", "n1", {load});
  const int group = c.act(ActionKind::pseudo, "start", "group", {}, {c.stop});
  c.act(ActionKind::resource, "stop", "other", "n2", {group});
  CHECK(c.decide().intent == Intent::offer);
}

TEST_CASE("intent: rule 3, the node is shutting down") {
  Cluster c;
  SUBCASE("by its attribute") { c.facts.nodes["n1"].shutting_down = true; }
  SUBCASE("by the plan") { c.act(ActionKind::cluster, "do_shutdown", {}, "n1", {c.stop}); }
  SUBCASE("a Pacemaker Remote node, whose connection waits") {
    c.resource("n1", {}, {"n2"});
    c.facts.resources["n1"].agent = "ocf:pacemaker:remote";
    c.stops_after("n1", "n2");
  }
  CHECK(c.decide().intent == Intent::stop);
  c.start("n2");
  CHECK(c.decide().intent == Intent::push);
  CHECK(c.decide().to == "n2");
  CHECK(says(c.decide().reason, "shutting down"));
  c.facts.nodes["n2"].shutting_down = true;
  CHECK(c.decide().intent == Intent::stop);
}

TEST_CASE("intent: rule 4 wants a live destination") {
  Cluster c;
  c.start("n2");
  SUBCASE("offline") { c.facts.nodes["n2"].online = false; }
  SUBCASE("unknown") { c.facts.nodes.erase("n2"); }
  SUBCASE("to be fenced") { c.act(ActionKind::cluster, "stonith", {}, "n2"); }
  SUBCASE("leaving") { c.facts.nodes["n2"].shutting_down = true; }
  CHECK(c.decide().intent == Intent::stop);
  CHECK(says(c.decide().reason, "n2"));
}

TEST_CASE("intent: a migration in the plan is a move, too") {
  Cluster c;
  const int to = c.act(ActionKind::resource, "migrate_to", "vm", "n1");
  const int from = c.act(ActionKind::resource, "migrate_from", "vm", "n2", {to});
  c.plan.actions[c.stop].waits_for = {from};
  c.act(ActionKind::pseudo, "start", "vm", {}, {c.stop, from});
  CHECK(c.decide().intent == Intent::offer);
  CHECK(c.decide().to == "n2");
}

TEST_CASE("intent: rule 6, a restart that no failed migration explains") {
  Cluster c;
  c.start("n1");
  SUBCASE("no history") {}
  SUBCASE("the failed migration is over: started since") {
    c.facts.history = {migration("migrate_to", "n1", 6, 1, true), done("start", "n1", 8)};
  }
  SUBCASE("it arrived by a migration that succeeded") {
    c.facts.history = {migration("migrate_from", "n1", 6, 0, false)};
  }
  SUBCASE("its monitor failed since") {
    c.facts.history = {migration("migrate_to", "n1", 6, 1, true), done("monitor", "n1", 7, true)};
  }
  SUBCASE("the failed migration was between other nodes") {
    c.facts.history = {migration("migrate_to", "n3", 6, 1, true)};
    c.facts.history.back().target = "n2";
  }
  CHECK(c.decide().intent == Intent::stop);
}

TEST_CASE("intent: a failed migration does not save it from what goes beneath") {
  Cluster c;
  c.start("n1");
  c.facts.history = {migration("migrate_to", "n1", 6, 1, true)};
  c.resource("fs", "fs-clone", {"n1", "n2"});
  c.stops_after("fs", "n1");
  CHECK(c.decide().intent == Intent::stop);
}

TEST_CASE("intent: a stop that isn't in the plan is a real one, and says that the plan may be another's") {
  Cluster c;
  c.plan.actions.clear();
  CHECK(c.decide().intent == Intent::stop);
  CHECK(c.decide().plan_lacks_stop);
  CHECK(says(c.decide().reason, "no stop"));
  c.start("n2");
  c.facts.resources["vm"].active.clear();
  CHECK(c.decide().intent == Intent::stop);
  CHECK(says(c.decide().reason, "active"));
}

TEST_CASE("intent: clones of a domain are not handed over, nor a start in two places") {
  Cluster c;
  c.start("n2");
  SUBCASE("clone") { c.facts.resources["vm"].clone = "vm-clone"; }
  SUBCASE("two starts") { c.start("n3"); }
  CHECK(c.decide().intent == Intent::stop);
}

TEST_CASE("intent: a destination that is not ready turns push and offer into a stop, keep stays") {
  const Decision offer{Intent::offer, "n2", "a move"};
  CHECK(with_destination(offer, true, "").intent == Intent::offer);
  const Decision refused = with_destination(offer, false, "no memory");
  CHECK(refused.intent == Intent::stop);
  CHECK(refused.to.empty());
  CHECK(says(refused.reason, "no memory"));
  CHECK(with_destination({Intent::push, "n2", "a move"}, false, "").intent == Intent::stop);
  CHECK(with_destination({Intent::keep, "n1", "failed"}, false, "").intent == Intent::keep);
  CHECK(unsure("no CIB").intent == Intent::stop);
}

TEST_CASE("intent: an offer judged again") {
  Cluster c;
  c.plan.actions.clear();
  c.facts.resources["vm"].active.clear();
  SUBCASE("to be started elsewhere, or here: stands") {
    c.start("n2");
    CHECK(c.judge().judgement == Judgement::stands);
  }
  SUBCASE("being started elsewhere: stands") {
    c.facts.resources["vm"].active["n2"] = Role::started;
    CHECK(c.judge().judgement == Judgement::stands);
  }
  SUBCASE("its stop is not recorded yet: stands") {
    c.facts.resources["vm"].active["n1"] = Role::started;
    CHECK(c.judge().judgement == Judgement::stands);
  }
  SUBCASE("nowhere to be started: the real stop") { CHECK(c.judge().judgement == Judgement::real_stop); }
  SUBCASE("disabled, deleted: the real stop, whatever is planned") {
    c.start("n2");
    c.facts.resources["vm"].target_role = "Stopped";
    CHECK(c.judge().judgement == Judgement::real_stop);
    c.facts.resources["vm"].configured = false;
    c.facts.resources["vm"].target_role.clear();
    CHECK(c.judge().judgement == Judgement::real_stop);
  }
  SUBCASE("unmanaged or in maintenance: taken back") {
    SUBCASE("resource") { c.facts.resources["vm"].managed = false; }
    SUBCASE("cluster") { c.facts.maintenance_mode = true; }
    SUBCASE("node") { c.facts.nodes["n1"].maintenance = true; }
    CHECK(c.judge().judgement == Judgement::take_back);
    c.facts.resources["vm"].target_role = "Stopped";
    CHECK(c.judge().judgement == Judgement::take_back);
  }
  SUBCASE("another node in maintenance: stands") {
    c.start("n2");
    c.facts.nodes["n2"].maintenance = true;
    CHECK(c.judge().judgement == Judgement::stands);
  }
  SUBCASE("what is beneath is to be stopped here: the real stop") {
    c.start("n2");
    c.resource("fs", "fs-clone", {"n1", "n2"});
    c.facts.orders.emplace("fs", "vm");
    c.act(ActionKind::resource, "stop", "fs", "n1");
    CHECK(c.judge().judgement == Judgement::real_stop);
  }
}
