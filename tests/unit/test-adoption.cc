// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl adopt: what it reads in a CIB and changes of it, and what it takes for a reason to change nothing.
#include <doctest/doctest.h>

#include <algorithm>

#include "migrationctl/adoption-check.h"
#include "migrationctl/adoption-cib.h"

using namespace migrationctl;
namespace intent = migrationd::intent;

namespace {

const std::string cib = R"(<cib><configuration><crm_config/><nodes/><resources>
  <template id="domain" class="ocf" provider="heartbeat" type="VirtualDomain">
    <instance_attributes id="d"><nvpair id="d-h" name="hypervisor" value="qemu:///system"/><nvpair id="d-o" name="handoff" value="off"/></instance_attributes>
  </template>
  <primitive id="vm1" class="ocf" provider="heartbeat" type="VirtualDomain">
    <instance_attributes id="i"><nvpair id="i-c" name="config" value="/vm1.xml"/></instance_attributes>
    <meta_attributes id="m"><nvpair id="m-m" name="is-managed" value="true"/></meta_attributes>
  </primitive>
  <group id="all">
    <primitive id="vm2" template="domain"><instance_attributes id="j"><nvpair id="j-c" name="config" value="/vm2.xml"/></instance_attributes></primitive>
    <primitive id="disk" class="ocf" provider="heartbeat" type="Filesystem"/>
  </group>
  <primitive id="vm3" template="domain"/>
  <clone id="many"><primitive id="vm4" class="ocf" provider="migrationd" type="VirtualDomain"/></clone>
</resources><constraints>
  <rsc_location id="l1" rsc="vm1" node="n3" score="-INFINITY"/><rsc_location id="l2" rsc="all" node="n4" score="-INFINITY"/>
  <rsc_location id="l3" rsc="vm1" node="n1" score="100"/>
</constraints></configuration><status>
  <node_state id="1" uname="n1"><lrm id="1"><lrm_resources>
    <lrm_resource id="vm1" class="ocf" provider="heartbeat" type="VirtualDomain">
      <lrm_rsc_op id="a" operation="start" op-status="0" rc-code="0"/><lrm_rsc_op id="b" operation="monitor" interval="10000" op-status="0" rc-code="0"/></lrm_resource>
    <lrm_resource id="vm2"><lrm_rsc_op id="c" operation="monitor" interval="10000" op-status="0" rc-code="7" exit-reason="it is away"/></lrm_resource>
    <lrm_resource id="vm3"><lrm_rsc_op id="d" operation="migrate_to" op-status="-1" rc-code="193"/></lrm_resource></lrm_resources></lrm></node_state>
  <node_state id="2" uname="n2"><lrm id="2"><lrm_resources>
    <lrm_resource id="vm1"><lrm_rsc_op id="e" operation="monitor" interval="0" op-status="0" rc-code="7"/></lrm_resource></lrm_resources></lrm></node_state>
</status></cib>)";

std::vector<DomainResource> resources_of(const std::string& text) {
  auto read = read_domain_resources(text);
  REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error()));
  return read.value();
}

DomainResource one(const std::string& text, const std::string& id) {
  for (const auto& resource : resources_of(text))
    if (resource.id == id) return resource;
  FAIL("no resource " << id);
  return {};
}

Status status_of(const std::string& domain, bool linked = true) {
  auto status = read_status(R"({"node": "n1", "domains": [)" + domain + R"(], "peers": [{"node": "n2", "linked": )" + (linked ? "true" : "false") + "}]}");
  REQUIRE(status.ok());
  return status.value();
}

const char* const well = R"({"name": "guest1", "phase": "held", "here": "running", "healthy": true})";

/// vm1 runs well on n1, and everything is settled.
BeforeAdoption settled() {
  BeforeAdoption before{one(cib, "vm1"), "guest1", {}, "", ""};
  before.facts.nodes = {{"n1", {}}, {"n2", {}}, {"n3", {}}};
  before.facts.resources["vm1"].active = {{"n1", intent::Role::started}};
  return before;
}

/// The only obstacle.
std::string obstacle(const BeforeAdoption& before, const Status& status, const intent::Plan& plan = {}, bool undo = false) {
  const auto found = obstacles(before, plan, status, undo);
  REQUIRE(found.size() == 1);
  return found.front();
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

intent::Plan planned(const std::string& operation, const std::string& resource, const char* node) {
  intent::Plan plan;
  plan.actions[1] = {1, intent::ActionKind::resource, operation, resource, node, {}};
  return plan;
}

}  // namespace

TEST_CASE("adopt: the domains of a CIB, with what their templates, groups, clones and constraints say") {
  const auto all = resources_of(cib);
  REQUIRE(all.size() == 4);
  const auto vm1 = one(cib, "vm1"), vm2 = one(cib, "vm2");
  CHECK(vm1.provider == "heartbeat");
  CHECK(vm1.banned == std::set<std::string>{"n3"});
  CHECK(vm2.group == "all");
  CHECK(vm2.from == "domain");
  CHECK(vm2.banned == std::set<std::string>{"n4"});
  CHECK(vm2.parameters == std::map<std::string, std::string>{{"config", "/vm2.xml"}, {"hypervisor", "qemu:///system"}, {"handoff", "off"}});
  CHECK(one(cib, "vm4").clone == "many");
  CHECK(left_behind(all, {"vm1", "vm2"}) == std::set<std::string>{"vm3"});
  CHECK(left_behind(all, {"vm1", "vm2", "vm3"}).empty());
  CHECK_FALSE(read_domain_resources("<cib").ok());
}

TEST_CASE("adopt: our mark comes and goes, and nothing else is touched") {
  const auto marked = with_mark(cib, {"vm1", "vm2"});
  REQUIRE(marked.ok());
  CHECK(one(marked.value(), "vm1").under_way);
  CHECK_FALSE(one(marked.value(), "vm3").under_way);
  CHECK(has(marked.value(), R"(<nvpair id="m-m" name="is-managed" value="true"/>)"));
  CHECK(with_mark(marked.value(), {"vm1"}).value() == marked.value());
  CHECK(without_mark(marked.value(), {"vm1", "vm2"}).value() == without_mark(cib, {"vm1", "vm2"}).value());
  CHECK_FALSE(with_mark(cib, {"vm9"}).ok());
}

TEST_CASE("adopt: the provider is changed where it stands, and parameters leave with it") {
  const auto over = with_provider(cib, {"vm1"}, "migrationd", {});
  CHECK(one(over.value(), "vm1").provider == "migrationd");
  CHECK(one(over.value(), "vm2").provider == "heartbeat");
  const auto both = with_provider(cib, {"vm2", "vm3"}, "migrationd", {"handoff"});
  CHECK(one(both.value(), "vm3").provider == "migrationd");
  CHECK_FALSE(one(both.value(), "vm2").parameters.contains("handoff"));
  CHECK(one(both.value(), "vm1").provider == "heartbeat");
  const auto one_value = with_provider(cib, {"vm1", "vm2", "vm3"}, "migrationd", {"config=/vm2.xml"});
  CHECK(one(one_value.value(), "vm1").parameters.contains("config"));
  CHECK_FALSE(one(one_value.value(), "vm2").parameters.contains("config"));
}

TEST_CASE("adopt: a cluster that probes nothing can't be asked") {
  CHECK(probes(cib));
  std::string silent = cib;
  silent.replace(silent.find("<crm_config/>"), 13, R"(<crm_config><cluster_property_set id="o"><nvpair id="p" name="enable-startup-probes" value="false"/></cluster_property_set></crm_config>)");
  CHECK_FALSE(probes(silent));
}

TEST_CASE("adopt: operations that failed or are under way") {
  CHECK(failed_operation(cib, "vm1").empty());
  CHECK(failed_operation(cib, "vm2") == "the monitor of vm2 on n1 ended with code 7: it is away");
  CHECK(failed_operation(cib, "vm3").empty());
  CHECK(pending_operation(cib, "vm3") == "the migrate_to of vm3 on n1");
  CHECK(pending_operation(cib, "vm1").empty());
  CHECK(is_pending(cib, "vm3", "migrate_to", "n1"));
  CHECK_FALSE(is_pending(cib, "vm3", "migrate_to", "n2"));
  CHECK_FALSE(is_pending(cib, "vm3", "stop", "n1"));
}

TEST_CASE("adopt: nothing is in the way of a domain that runs well in a settled cluster") {
  CHECK(obstacles(settled(), {}, status_of(well), false).empty());
  CHECK(obstacles(settled(), planned("monitor", "vm1", "n1"), status_of(well), false).empty());
  CHECK(obstacles(settled(), planned("stop", "vm2", "n1"), status_of(well), false).empty());
}

TEST_CASE("adopt: each reason to change nothing") {
  auto before = settled();
  CHECK(has(obstacle(before, status_of(well, false)), "migrationd can't be asked on n2,"));
  CHECK(obstacles(before, {}, status_of(well, false), true).empty());  // the old agent needs no daemon
  CHECK(has(obstacle(before, status_of("")), "guest1 is not known to libvirt"));
  CHECK(has(obstacle(before, status_of(R"({"name": "guest1", "phase": "gone", "here": "absent"})")), "guest1 is absent"));
  CHECK(has(obstacle(before, status_of(R"json({"name": "guest1", "phase": "held", "here": "running", "detail": "paused (I/O error)"})json")), "I/O error"));
  CHECK(has(obstacle(before, status_of(R"({"name": "guest1", "phase": "offered", "here": "running", "healthy": true})"), {}, true), "hand-off"));
  CHECK(has(obstacle(before, status_of(well), planned("stop", "vm1", "n1")), "about to stop it on n1"));
  before.failed = "the monitor of vm1";
  CHECK(has(obstacle(before, status_of(well)), "--cleanup"));
  before = settled();
  before.pending = "the start of vm1 on n1";
  CHECK(has(obstacle(before, status_of(well)), "under way"));
  before = settled();
  before.facts.resources["vm1"].active["n2"] = intent::Role::started;
  CHECK(has(obstacle(before, status_of(well)), "n1 and n2"));
  before = settled();
  before.facts.resources["vm1"].active.clear();
  CHECK(has(obstacle(before, status_of(well)), "does not count it as active"));
  before.resource.clone = "many";
  CHECK(has(obstacle(before, status_of(well)), "is in many"));
}

TEST_CASE("adopt: what a plan takes away") {
  CHECK(disturbances(planned("stop", "other", "n1"), {"vm1"}) == std::set<std::string>{"stop of other on n1"});
  CHECK(disturbances(planned("start", "other", "n1"), {"vm1"}).empty());
  CHECK(disturbances(planned("start", "vm1", "n1"), {"vm1"}) == std::set<std::string>{"start of vm1 on n1"});
  CHECK(disturbances(planned("monitor", "vm1", "n1"), {"vm1"}).empty());
  intent::Plan fencing;
  fencing.actions[1] = {1, intent::ActionKind::cluster, "stonith", "", "n2", {}};
  CHECK(disturbances(fencing, {}) == std::set<std::string>{"fencing of n2"});
}

TEST_CASE("adopt: on the way back what a plan takes from others does not count") {
  CHECK(disturbances(planned("stop", "other", "n1"), {"vm1"}, Whose::of_these).empty());
  CHECK(disturbances(planned("stop", "vm1", "n1"), {"vm1"}, Whose::of_these) == std::set<std::string>{"stop of vm1 on n1"});
  intent::Plan fencing;
  fencing.actions[1] = {1, intent::ActionKind::cluster, "stonith", "", "n2", {}};
  CHECK(disturbances(fencing, {"vm1"}, Whose::of_these).empty());
}

TEST_CASE("adopt: the parameters that an agent knows") {
  const auto names = parameter_names(R"(<?xml version="1.0"?><!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
    <resource-agent name="X"><parameters><parameter name="config"/><parameter name="hypervisor"/></parameters></resource-agent>)");
  REQUIRE(names.ok());
  CHECK(names.value() == std::set<std::string>{"config", "hypervisor"});
  CHECK_FALSE(parameter_names("nothing").ok());
}
