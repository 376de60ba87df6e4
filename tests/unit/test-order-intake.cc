// SPDX-License-Identifier: GPL-2.0-or-later
// What the agent says before the engine hears of it: a resource of another hypervisor than the daemon's is refused,
// because its domain would otherwise look as if it did not run.
#include <doctest/doctest.h>

#include <variant>

#include "migrationd/io/order-intake.h"
#include "migrationd/resource/migration-uri.h"

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
  CHECK(std::get<io::Refused>(answer).code == wire::OcfCode::not_configured);
  CHECK(std::get<io::Refused>(answer).reason.find("serves qemu:///system") != std::string::npos);
  CHECK(intake.validate(request("validate-all", "xen:///system")).code == wire::OcfCode::not_configured);
}

TEST_CASE("order-intake: a stop is not refused for it, and the daemon's own hypervisor may be written otherwise") {
  io::OrderIntake intake("qemu:///system");
  CHECK(std::holds_alternative<engine::Order>(intake.order(request("stop", "xen:///system"))));
  for (const char* hypervisor : {"", "qemu:///system", "qemu+unix:///system", "qemu+tcp://localhost/system?x=1"})
    CHECK(std::holds_alternative<engine::Order>(intake.order(request("monitor", hypervisor))));
}

TEST_CASE("order-intake: the same hypervisor") {
  CHECK(resource::same_hypervisor("xen:///", "xen:///system"));
  CHECK(!resource::same_hypervisor("qemu:///session", "qemu:///system"));
  CHECK(!resource::same_hypervisor("qemu:///system", "xen:///system"));
}
