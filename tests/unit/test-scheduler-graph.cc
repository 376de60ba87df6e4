// SPDX-License-Identifier: GPL-2.0-or-later
// The scheduler's XML read into plain values, and the whole way from a saved CIB to the answer through the real
// crm_simulate where it is installed.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/crm-simulate.h"
#include "migrationd/io/process.h"
#include "migrationd/io/scheduler-graph.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using intent::Intent;
using intent::Judgement;

namespace {

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string data(const std::string& name) {
  const std::filesystem::path here = std::filesystem::path(__FILE__).parent_path();
  const std::string path = (here / "data/intent" / name).string();
  REQUIRE_MESSAGE(std::filesystem::exists(path), path);
  return path;
}

std::string text_of(const std::string& name) { return tests::file_content(data(name)); }

intent::Decision decide(const std::string& name, const std::string& node) {
  const auto plan = read_graph(text_of(name + ".graph"));
  REQUIRE(plan.ok());
  const auto facts = read_facts(text_of(name + ".xml"), text_of(name + ".summary"), "vm", node);
  REQUIRE(facts.ok());
  return intent::decide(plan.value(), facts.value(), "vm", node);
}

bool installed() {
  static const bool found = std::system("command -v crm_simulate >/dev/null && command -v crm_resource >/dev/null") == 0;
  // The test command reads this line: a skip is no pass.
  if (!found) std::puts("SKIP scheduler-graph: crm_simulate is not installed (Debian package pacemaker-cli-utils)");
  return found;
}

std::size_t entries(const std::string& directory) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

}  // namespace

TEST_CASE("scheduler-graph: a move, a push and a failed migration out of saved files") {
  CHECK(decide("move", "n1").intent == Intent::offer);
  CHECK(decide("move", "n1").to == "n2");
  CHECK(decide("storage-clone", "n1").intent == Intent::push);
  CHECK(decide("migrate-to-failed", "n1").intent == Intent::keep);
  CHECK(decide("migrate-to-failed", "n2").intent == Intent::offer);
}

TEST_CASE("scheduler-graph: clone instances, pseudo stops and fencing are recognised") {
  const auto plan = read_graph(R"(<transition_graph><synapse><action_set>
      <rsc_op id="1" operation="stop" operation_key="fs:1_stop_0" on_node="n1"><primitive id="fs:1" class="ocf" type="x"/></rsc_op>
    </action_set><inputs><trigger><pseudo_event id="2" operation="stop" operation_key="my_vm_stop_0"/></trigger></inputs></synapse>
    <synapse><action_set><pseudo_event id="2" operation="stop" operation_key="my_vm_stop_0"/></action_set>
    <inputs><trigger><crm_event id="3" operation="stonith" operation_key="stonith-n1-off" on_node="n1"/></trigger></inputs></synapse>
    <synapse><action_set><crm_event id="3" operation="stonith" operation_key="stonith-n1-off" on_node="n1"/></action_set><inputs/></synapse>
    </transition_graph>)");
  REQUIRE(plan.ok());
  const auto& actions = plan.value().actions;
  CHECK(actions.at(1).resource == "fs");
  CHECK(actions.at(1).waits_for == std::set<int>{2});
  CHECK(actions.at(2).resource == "my_vm");
  CHECK(actions.at(2).kind == intent::ActionKind::pseudo);
  CHECK(actions.at(3).kind == intent::ActionKind::cluster);
}

TEST_CASE("scheduler-graph: what can't be read is an error, never a guess") {
  const std::string graph = text_of("storage-clone.graph");
  for (const std::string& bad : {std::string{}, std::string("garbage"), std::string("<cib/>"), graph.substr(0, graph.size() / 2),
                                 std::string("<transition_graph><synapse><action_set><rsc_op operation='stop'/></action_set></synapse></transition_graph>"),
                                 std::string("<transition_graph><synapse><action_set><rsc_op id='1'/></action_set></synapse></transition_graph>"),
                                 std::string("<transition_graph><synapse><action_set><rsc_op id='99999999999' operation='stop'/></action_set></synapse></transition_graph>"),
                                 std::string(scheduler_text_limit + 1, ' ')}) {
    const auto plan = read_graph(bad);
    CHECK_FALSE(plan.ok());
    if (!plan.ok()) CHECK(says(plan.error(), "transition graph"));
  }
  const auto incomplete = read_graph("<transition_graph><synapse><action_set><rsc_op id='1' operation='stop'/></action_set><inputs>"
                                     "<trigger><rsc_op id='7' operation='stop'/></trigger></inputs></synapse></transition_graph>");
  CHECK_FALSE(incomplete.ok());
  CHECK(read_graph("<transition_graph/>").ok());

  const std::string cib = text_of("move.xml"), summary = text_of("move.summary");
  CHECK_FALSE(read_facts("", summary, "vm", "n1").ok());
  CHECK_FALSE(read_facts(cib, "", "vm", "n1").ok());
  CHECK_FALSE(read_facts(cib, "<pacemaker-result/>", "vm", "n1").ok());
  CHECK_FALSE(read_facts("<cib/>", summary, "vm", "n1").ok());
  CHECK_FALSE(before_pending_stop("<cib", "vm", "n1").ok());
}

TEST_CASE("scheduler-graph: deep nesting does not overflow the stack") {
  std::string deep = "<cib><configuration><resources>";
  for (int i = 0; i < 200000; ++i) deep += "<group id='g'>";
  for (int i = 0; i < 200000; ++i) deep += "</group>";
  deep += "</resources></configuration></cib>";
  CHECK(read_facts(deep, text_of("move.summary"), "vm", "n1").ok());
}

TEST_CASE("scheduler-graph: a stop under way is undone in the CIB, and nothing else is touched") {
  const std::string cib = text_of("migrate-to-failed-stopping.xml");
  const auto before = before_pending_stop(cib, "vm", "n1");
  REQUIRE(before.ok());
  CHECK_FALSE(says(before.value().cib, "op-status=\"-1\""));
  CHECK(before.value().transition == "1:c0ffee00-0000-4000-8000-000000000000");
  CHECK(says(before.value().cib, "operation=\"start\" call-id=\"11\" rc-code=\"0\""));  // older than the failed migrate_to, call 12
  CHECK(says(before.value().cib, "operation=\"migrate_to\""));
  const auto elsewhere = before_pending_stop(cib, "vm", "n2");
  REQUIRE(elsewhere.ok());
  CHECK(elsewhere.value().cib == cib);
  CHECK(elsewhere.value().transition.empty());
}

TEST_CASE("scheduler-graph: a changed definition is seen by its digest, a reloaded one is not a change") {
  const std::string cib = text_of("move.xml");
  const auto answer = [](const std::string& all, const std::string& nonreloadable) {
    return "<pacemaker-result><digests><digest type='all' hash='" + all + "'/><digest type='nonreloadable' hash='" + nonreloadable + "'/></digests></pacemaker-result>";
  };
  const auto same = compare_digests(cib, answer("346ff72a0afdab7f19dcf22d58aa4358", ""), "vm", "n1");
  REQUIRE(same.ok());
  CHECK(same.value().empty());
  const auto other = compare_digests(cib, answer("00000000000000000000000000000000", ""), "vm", "n1");
  REQUIRE(other.ok());
  CHECK_FALSE(other.value().empty());
  std::string reloadable = cib;
  const std::string digest = "op-digest=\"346ff72a0afdab7f19dcf22d58aa4358\"";
  reloadable.replace(reloadable.find(digest), digest.size(), digest + " op-restart-digest=\"r\"");
  const auto reloaded = compare_digests(reloadable, answer("00000000000000000000000000000000", "r"), "vm", "n1");
  REQUIRE(reloaded.ok());
  CHECK(reloaded.value().empty());
  CHECK_FALSE(compare_digests(cib, "<pacemaker-result/>", "vm", "n1").ok());
}

TEST_CASE("crm-simulate: each rule through the real scheduler") {
  if (!installed()) return;
  struct Row { const char* cib; const char* node; Intent intent; const char* to; bool is_short; const char* word; };
  const Row rows[] = {
      {"move", "n1", Intent::offer, "n2", false, "started on n2"},
      {"pending-stop", "n1", Intent::offer, "n2", false, "started on n2"},
      {"disabled", "n1", Intent::stop, "", false, "target-role"},
      {"group-disabled", "n1", Intent::stop, "", false, "target-role"},
      {"deleted", "n1", Intent::stop, "", false, "deleted"},
      {"redefined", "n1", Intent::stop, "", false, "definition"},
      {"nowhere", "n1", Intent::stop, "", false, "no start"},
      {"quiet", "n1", Intent::stop, "", false, "no stop"},
      {"move", "n2", Intent::stop, "", false, "active"},
      {"storage-group", "n1", Intent::stop, "", false, "fs"},
      {"storage-clone", "n1", Intent::push, "n2", false, "fs-clone"},
      {"storage-clone-missing", "n1", Intent::stop, "", false, "not active on n2"},
      {"storage-stays", "n1", Intent::offer, "n2", true, "fs"},
      {"shutdown", "n1", Intent::push, "n2", false, "shutting down"},
      {"migrate-to-failed", "n1", Intent::keep, "n1", false, "migrate_to"},
      {"migrate-to-failed", "n2", Intent::offer, "n1", false, "n1"},
      {"migrate-to-failed-stopping", "n1", Intent::keep, "n1", false, "migrate_to"},
      {"migrate-to-failed-away", "n1", Intent::offer, "n2", false, "n2"},
      {"migrate-from-failed", "n1", Intent::keep, "n1", false, "migrate_from"},
      {"migrate-from-failed", "n2", Intent::offer, "n1", false, "n1"},
      {"restart", "n1", Intent::stop, "", false, "restarted"},
      {"both-active", "n1", Intent::keep, "n1", false, "active on n2, too"},
      {"both-active", "n2", Intent::offer, "n1", false, "n1"},
      {"both-stopping", "n1", Intent::keep, "n1", false, "active on n2, too"},
      {"both-stopping", "n2", Intent::offer, "n1", false, "n1"},
      {"both-half-stopped", "n2", Intent::keep, "n2", false, "active on n1, too"},
      {"both-stopped-before", "n2", Intent::keep, "n2", false, "out of date"},
  };
  tests::Scratch scratch;
  for (const Row& row : rows) {
    CAPTURE(row.cib);
    CAPTURE(row.node);
    const auto decision = explain_stop_now({"vm", row.node, data(std::string(row.cib) + ".xml"), scratch.path(), Milliseconds{60000}, 0});
    REQUIRE_MESSAGE(decision.ok(), (decision.ok() ? "" : decision.error()));
    CHECK(std::string(to_string(decision.value().intent)) == to_string(row.intent));
    CHECK(decision.value().to == row.to);
    CHECK(decision.value().short_offer == row.is_short);
    CHECK_MESSAGE(says(decision.value().reason, row.word), decision.value().reason);
  }
  CHECK(entries(scratch.path()) == 0);
}

TEST_CASE("crm-simulate: standing offers through the real scheduler") {
  if (!installed()) return;
  struct Row { const char* cib; Judgement judgement; };
  const Row rows[] = {{"offered", Judgement::stands},           {"offered-starting", Judgement::stands},
                      {"offered-disabled", Judgement::real_stop}, {"unmanaged", Judgement::take_back},
                      {"maintenance", Judgement::take_back},      {"pending-stop", Judgement::stands},
                      {"deleted", Judgement::real_stop}};
  tests::Scratch scratch;
  for (const Row& row : rows) {
    CAPTURE(row.cib);
    boost::asio::io_context loop;
    std::string answer;
    judge_offer(loop.get_executor(), {"vm", "n1", data(std::string(row.cib) + ".xml"), scratch.path(), Milliseconds{60000}, 0},
                [&](Result<intent::Judged> judged) { answer = judged ? to_string(judged.value().judgement) : judged.error(); });
    loop.run();
    CHECK(answer == to_string(row.judgement));
  }
}

TEST_CASE("crm-simulate: bad input names what is wrong with it") {
  tests::Scratch scratch;
  const auto failure = [&](const std::string& cib, const std::string& resource, const std::string& node) {
    const auto decision = explain_stop_now({resource, node, cib, scratch.path(), Milliseconds{60000}, 0});
    return decision ? std::string("accepted") : decision.error();
  };
  CHECK(says(failure(scratch / "missing", "vm", "n1"), "missing"));
  CHECK(says(failure(scratch.path(), "vm", "n1"), "directory"));
  CHECK(says(failure("/dev/zero", "vm", "n1"), "larger"));
  CHECK(says(failure(data("move.xml"), "nothing", "n1"), "it has: vm"));
  CHECK(says(failure(data("move.xml"), "vm", "n9"), "it has: n1, n2"));
  CHECK(says(failure(data("move.graph"), "vm", "n1"), "no <cib>"));
}
