// SPDX-License-Identifier: GPL-2.0-or-later
// How the agent understands the way it was called; from outside it is tested in tests/agent.
#include <doctest/doctest.h>

#include "agent/ancestry.h"
#include "agent/face.h"
#include "agent/resource-file.h"

using namespace migrationd;
using namespace migrationd::agent;
using wire::HeartbeatCause;

TEST_CASE("agent: the path it was called by tells the face, whatever the environment has left over") {
  const Environment ocf{{"OCF_ROOT", "/usr/lib/ocf"}, {"OCF_RESOURCE_INSTANCE", "vm1"}};
  CHECK(face_of("/usr/lib/ocf/resource.d/migrationd/VirtualDomain", {}) == Face::ocf);
  CHECK(face_of("/opt/x/resource.d/migrationd/VirtualDomain", {}) == Face::ocf);
  CHECK(face_of("agent/VirtualDomain", {}) == Face::ocf);
  CHECK(face_of("/tmp/some-copy", ocf) == Face::ocf);
  CHECK(face_of("/etc/ha.d/resource.d/migrationd", ocf) == Face::lsb);
  CHECK(face_of("/etc/ha.d/resource.d/x0", ocf) == Face::lsb);
  CHECK(face_of("/etc/init.d/x0", ocf) == Face::lsb);
  CHECK(face_of("/etc/rc0.d/K20x0", ocf) == Face::lsb);
  CHECK(face_of("x0", {}) == Face::lsb);
  CHECK(face_of("/usr/lib/migrationd/amf", ocf) == Face::amf);
  CHECK(face_of("/etc/init.d/amf", {{"SA_AMF_COMPONENT_NAME", "safComp=vm1"}}) == Face::lsb);
  CHECK(face_of("/usr/lib/ocf/resource.d/migrationd/amf", {}) == Face::ocf);
}

TEST_CASE("agent: who is meant") {
  CHECK(understand({"/usr/lib/ocf/resource.d/migrationd/VirtualDomain", "monitor"}, {{"OCF_RESOURCE_INSTANCE", "vm1"}}).value().resource == "vm1");
  CHECK(understand({"/etc/ha.d/resource.d/migrationd", "x0", "start"}, {}).value().resource == "x0");
  CHECK(understand({"/etc/init.d/x0", "start"}, {}).value().resource == "x0");
  CHECK(understand({"/etc/rc2.d/S20x0", "start"}, {}).value().resource == "x0");
  CHECK(understand({"/etc/init.d/S20x0", "start"}, {}).value().resource == "S20x0");
  CHECK_FALSE(understand({}, {}).ok());
  CHECK_FALSE(understand({"/etc/init.d/x0", "a", "start"}, {}).ok());
  CHECK_FALSE(understand({"/etc/ha.d/resource.d/migrationd", "../x0", "start"}, {}).ok());
}

TEST_CASE("agent: the component's name in its distinguished name") {
  const auto name = [](const char* component) {
    const auto found = component_name(component);
    return found ? found.value() : "refused";
  };
  CHECK(name("safComp=vm1,safSu=1,safSg=2N,safApp=vms") == "vm1");
  CHECK(name("safComp=vm1") == "vm1");
  CHECK(name("safComp=,safSu=1") == "");  // which why_no_name refuses
  CHECK(name(R"(safComp=a\,b\\c\=d\ e,safSu=1)") == "a,b\\c=d e");
  CHECK(name(R"(safComp=\2C\c3\B6,safSu=1)") == ",\xc3\xb6");
  CHECK(name(R"(safComp=\2e.\2f,safSu=1)") == "../");  // why_no_name sees what is meant
  for (const char* bad : {"", "vm1", "safSu=1,safComp=vm1", "SAFCOMP=vm1", "safComp=a\nb", R"(safComp=a\)", R"(safComp=\2)", R"(safComp=\2,safSu=1)",
                          R"(safComp=\/)", R"(safComp=\zz)"})
    CHECK(name(bad) == "refused");
  CHECK(name(("safComp=a," + std::string(2048, 'x')).c_str()) == "refused");
}

TEST_CASE("agent: the resource of a component") {
  const std::string program = "/usr/lib/migrationd/amf";
  const Environment component{{"SA_AMF_COMPONENT_NAME", "safComp=vm1,safSu=1"}};
  Environment named = component;
  named["MIGRATIOND_RESOURCE"] = "x0";
  const auto plain = understand({program, "am_stop"}, component);
  REQUIRE(plain.ok());
  CHECK(plain.value().face == Face::amf);
  CHECK(plain.value().action == "am_stop");
  CHECK(plain.value().resource == "vm1");
  CHECK(plain.value().component == "safComp=vm1,safSu=1");
  CHECK(understand({program, "am_stop"}, named).value().resource == "x0");
  CHECK(understand({program, "am_stop", "x1"}, named).value().resource == "x1");
  named["MIGRATIOND_RESOURCE"] = "";
  CHECK_FALSE(understand({program, "am_stop"}, named).ok());
  CHECK_FALSE(understand({program, "am_stop", "../x"}, component).ok());
  CHECK_FALSE(understand({program, "am_stop"}, {}).ok());
  CHECK_FALSE(understand({program}, component).ok());
  CHECK_FALSE(understand({program, "am_stop"}, {{"SA_AMF_COMPONENT_NAME", R"(safComp=\2e\2e\2fx,safSu=1)"}}).ok());
}

TEST_CASE("agent: a resource's name is safe as a file's name") {
  for (const char* good : {"x0", "vm-1.example.org", "a b", "b\xc3\xb6se", "x@1"}) CHECK(why_no_name(good).empty());
  for (const char* bad : {"", ".", "..", ".x", "-x", "a/b", "/x", "a\nb", "a\x7f"}) CHECK_FALSE(why_no_name(bad).empty());
  CHECK_FALSE(why_no_name(std::string("a\0b", 3)).empty());
  CHECK_FALSE(why_no_name(std::string(201, 'x')).empty());
}

TEST_CASE("agent: why Heartbeat calls, by the processes above") {
  const Arguments shell{"/bin/sh", "-c", "x"}, init{"/sbin/init"}, heartbeat{"heartbeat: master control process"};
  const Arguments gives{"/bin/sh", "/usr/share/heartbeat/ResourceManager", "givegroup", "migrationd::x0"};
  const Arguments takes{"/bin/sh", "/usr/share/heartbeat/ResourceManager", "takegroup", "migrationd::x0"};
  const Arguments asked{"/bin/sh", "/etc/ha.d/rc.d/ip-request", "ip-request"};
  const Arguments leaving{"heartbeat: heartbeat: hb_signal_giveup_resources"};
  CHECK(cause_of_call({}) == HeartbeatCause::by_hand);
  CHECK(cause_of_call({shell, init}) == HeartbeatCause::by_hand);
  CHECK(cause_of_call({shell, gives, heartbeat, init}) == HeartbeatCause::standby);
  CHECK(cause_of_call({gives, asked, heartbeat, init}) == HeartbeatCause::peer_request);
  CHECK(cause_of_call({takes, shell, heartbeat, init}) == HeartbeatCause::roll_back);
  CHECK(cause_of_call({gives, leaving, heartbeat, init}) == HeartbeatCause::shutdown);
  // Somebody looks at these files; that is no cause.
  CHECK(cause_of_call({{"vi", "a", "b", "c", "/usr/share/heartbeat/ResourceManager", "givegroup"}, init}) == HeartbeatCause::by_hand);
  CHECK(cause_of_call({{"/bin/sh", "/usr/share/heartbeat/ResourceManager", "status", "x"}, init}) == HeartbeatCause::by_hand);
}

TEST_CASE("agent: the node that Heartbeat takes over from is found above us") {
  CHECK(dead_node({{"/bin/sh", "/usr/share/heartbeat/ResourceManager", "takegroup", "vm1"},
                   {"/bin/sh", "/usr/share/heartbeat/mach_down", "node2"}}) == "node2");
  CHECK(dead_node({{"/bin/sh", "/usr/share/heartbeat/ResourceManager", "takegroup", "vm1"}}).empty());
  CHECK(dead_node({{"vi", "mach_down"}}).empty());
}

TEST_CASE("agent: the ancestors of this process are found") {
  const auto found = ancestors();
  REQUIRE_FALSE(found.empty());
  CHECK_FALSE(found.front().empty());
}

TEST_CASE("agent: a resource's file") {
  const auto good = parse_resource_file("# x\n\n  config = /etc/a b.xml\t\r\nname=\n handoff =on");
  CHECK(good.complaint.empty());
  CHECK(good.parameters == Parameters{{"config", "/etc/a b.xml"}, {"name", ""}, {"handoff", "on"}});
  CHECK(parse_resource_file("options = --a=b").parameters.at("options") == "--a=b");
  CHECK(parse_resource_file("").parameters.empty());
  CHECK(parse_resource_file("config\n").complaint == "line 1 isn't NAME = VALUE");
  CHECK(parse_resource_file("a=1\n\n= 2\n").complaint == "line 3 isn't NAME = VALUE");
  CHECK(parse_resource_file("a b = 1").complaint == "line 1 isn't NAME = VALUE");
  CHECK(parse_resource_file("a=1\na=1\n").complaint == "line 2 sets a once more");
}

TEST_CASE("agent: what a stop takes from a resource's file that is wrong") {
  const auto rest = parse_resource_file("config=/x\nwhat\na=1\na=2\na=3\nb=1");
  CHECK(rest.parameters == Parameters{{"config", "/x"}, {"b", "1"}});
  CHECK(rest.complaint == "line 2 isn't NAME = VALUE");
}
