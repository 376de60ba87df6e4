// SPDX-License-Identifier: GPL-2.0-or-later
// What the agent says before the engine hears of it: a resource of another hypervisor than the daemon's is refused,
// because its domain would otherwise look as if it did not run.
#include <doctest/doctest.h>

#include <variant>

#include "migrationd/io/order-intake.h"
#include "migrationd/resource/migration-uri.h"
#include "tests/unit/scratch.h"

using namespace migrationd;

namespace {

wire::LocalRequest request(const std::string& operation, const std::string& hypervisor) {
  wire::LocalRequest one;
  one.operation = operation;
  one.face = "ocf";
  one.resource = "r1";
  one.parameters = {{"config", "/nonexistent/vm1.xml"}, {"hypervisor", hypervisor}};
  return one;
}

}  // namespace

TEST_CASE("order-intake: a monitor of another hypervisor's domain is refused, and says why") {
  io::OrderIntake intake("qemu:///system");
  const auto answer = intake.order(request("monitor", "xen:///system"));
  REQUIRE(std::holds_alternative<io::Refused>(answer));
  CHECK(std::get<io::Refused>(answer).code == wire::OcfCode::not_installed);
  CHECK(std::get<io::Refused>(answer).reason.find("serves qemu:///system") != std::string::npos);
}

TEST_CASE("order-intake: a stop is not refused for it, and the daemon's own hypervisor may be written otherwise") {
  io::OrderIntake intake("qemu:///system");
  CHECK(std::holds_alternative<engine::Order>(intake.order(request("stop", "xen:///system"))));
  for (const char* hypervisor : {"", "qemu:///system", "qemu+unix:///system", "qemu+tcp://localhost/system?x=1"})
    CHECK(std::holds_alternative<engine::Order>(intake.order(request("monitor", hypervisor))));
}

TEST_CASE("order-intake: a file that is there and can't be used is not one that is missing") {
  const tests::Scratch scratch;
  const std::string config = scratch / "vm1.xml";
  io::OrderIntake intake("qemu:///system");
  auto asked = request("start", "");
  asked.parameters["config"] = config;
  const auto no_file = [&] {
    const auto answer = intake.order(asked);
    REQUIRE(std::holds_alternative<engine::Order>(answer));
    CHECK_FALSE(std::get<engine::Order>(answer).definition);
    return std::get<engine::Order>(answer).no_file;
  };
  CHECK(no_file());
  tests::write_file(config, "<domain>");
  CHECK_FALSE(no_file());
  std::filesystem::remove(config);
  std::filesystem::create_symlink(scratch / "unmounted", config);
  CHECK_FALSE(no_file());
  std::filesystem::remove(config);
  std::filesystem::create_directory(config);
  CHECK_FALSE(no_file());
}

TEST_CASE("order-intake: the same hypervisor") {
  CHECK(resource::same_hypervisor("xen:///", "xen:///system"));
  CHECK(!resource::same_hypervisor("qemu:///session", "qemu:///system"));
  CHECK(!resource::same_hypervisor("qemu:///system", "xen:///system"));
}

TEST_CASE("order-intake: a stop is carried out by the parameters that are good") {
  const tests::Scratch scratch;
  const std::string config = scratch / "vm1.xml";
  tests::write_file(config, "<domain type='qemu'><name>vm1</name><memory>65536</memory></domain>");
  struct { const char* name; const char* value; } const refused[] = {
      {"confg", "x"}, {"shutdown_mode", "knock"}, {"hypervisor", "xen:///system"}, {"handoff_timeout", "0"}};
  for (const auto& one : refused) {
    CAPTURE(one.name);
    io::OrderIntake intake("qemu:///system");
    auto asked = request("stop", "");
    asked.parameters = {{"config", config}, {"force_stop", "true"}, {"CRM_meta_timeout", "20000"}, {one.name, one.value}};
    const auto answer = intake.order(asked);
    REQUIRE(std::holds_alternative<engine::Order>(answer));
    const auto& order = std::get<engine::Order>(answer);
    REQUIRE(order.definition);
    CHECK(order.definition->name == "vm1");
    CHECK(order.complaint.find(one.name) != std::string::npos);
    CHECK(order.parameters.at("force_stop") == "true");  // and so that the policy can be read
    CHECK(io::policy_reader({{"hypervisor", "qemu:///system"}})(order.parameters).ok());
    CHECK(order.parameters.count("hypervisor") == 0);
    asked.operation = "start";
    CHECK(std::holds_alternative<io::Refused>(intake.order(asked)));
  }
}

TEST_CASE("order-intake: a stop whose config is refused says why it has no definition") {
  io::OrderIntake intake("qemu:///system");
  auto asked = request("stop", "");
  asked.parameters = {{"config", "relative.xml"}, {"name", "vm1"}};
  const auto answer = intake.order(asked);
  REQUIRE(std::holds_alternative<engine::Order>(answer));
  CHECK_FALSE(std::get<engine::Order>(answer).definition);
  CHECK(std::get<engine::Order>(answer).no_definition.reason.find("config") != std::string::npos);
  CHECK(std::get<engine::Order>(answer).parameters.at("name") == "vm1");
}

TEST_CASE("order-intake: unusable migrate_options refuse what begins, and nothing else") {
  const tests::Scratch scratch;
  tests::write_file(scratch / "vm1.xml", "<domain type='qemu'><name>vm1</name><memory>65536</memory></domain>");
  io::OrderIntake intake("qemu:///system");
  for (const char* operation : {"start", "migrate_to", "migrate_from", "monitor", "stop"}) {
    CAPTURE(operation);
    auto asked = request(operation, "");
    asked.parameters = {{"config", scratch / "vm1.xml"}, {"migrate_options", "--persistent"}};
    const bool begins = asked.operation == "start" || asked.operation == "migrate_to";
    CHECK(std::holds_alternative<io::Refused>(intake.order(asked)) == begins);
  }
}

TEST_CASE("order-intake: a definition is read anew when its file changes, and its name is held against each resource's own") {
  const tests::Scratch scratch;
  const std::string config = scratch / "vm1.xml";
  io::OrderIntake intake("qemu:///system");
  const auto ask = [&](const std::string& name) {
    auto asked = request("monitor", "");
    asked.parameters = {{"config", config}, {"name", name}};
    return std::get<engine::Order>(intake.order(asked));
  };
  CHECK_FALSE(ask("vm1").definition);
  CHECK_FALSE(ask("vm1").misnamed);
  tests::write_file(config, "<domain type='qemu'><name>vm1</name><memory>65536</memory></domain>");
  for (int i = 0; i < 2; ++i) {  // from the file, and from memory
    REQUIRE(ask("vm1").definition);
    CHECK(ask("").definition->name == "vm1");
    const engine::Order other = ask("vm2");
    CHECK_FALSE(other.definition);
    CHECK(other.misnamed);
    CHECK(other.no_definition.reason.find("says 'vm2'") != std::string::npos);
  }
  tests::write_file(config, "<domain type='qemu'><name>other</name><memory>65536</memory></domain>");
  CHECK(ask("vm1").misnamed);
  REQUIRE(ask("other").definition);
  CHECK(ask("other").definition->name == "other");
}
