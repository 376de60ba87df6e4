// SPDX-License-Identifier: GPL-2.0-or-later
// The OCF code of each thing that can be wrong with a resource's configuration: the same from validate-all, from the daemon
// and from --direct, because a code that is too hard stops the resource where it runs well.
#include <doctest/doctest.h>

#include <variant>

#include "migrationd/io/configuration-check.h"
#include "migrationd/io/direct.h"
#include "migrationd/io/order-intake.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using wire::OcfCode;

namespace {

constexpr const char* served = "qemu:///system";
using Parameters = std::map<std::string, std::string>;

/// What a start or monitor of a resource that the daemon does not know yet is refused with.
OcfCode daemons_code(const std::string& operation, const Parameters& parameters) {
  io::OrderIntake intake(served);
  wire::LocalRequest request;
  request.operation = operation;
  request.face = "ocf";
  request.resource = "r1";
  request.parameters = parameters;
  const auto answer = intake.order(request);
  if (const auto* refused = std::get_if<io::Refused>(&answer)) return refused->code;
  const auto& order = std::get<engine::Order>(answer);
  return order.definition ? OcfCode::success : order.no_definition.code;
}

struct Files : tests::Scratch {
  std::string file(const std::string& name, const std::string& text) const {
    tests::write_file(*this / name, text);
    return *this / name;
  }
  std::string domain(const std::string& name, const std::string& more = "") const {
    return file(name + ".xml", "<domain type='qemu'><name>" + name + "</name><memory>65536</memory>" + more + "</domain>");
  }
};

struct Bad {
  const char* what;
  Parameters parameters;
  OcfCode code;
};

}  // namespace

TEST_CASE("configuration: each fault has one code, whoever is asked") {
  const Files files;
  const std::string good = files.domain("vm1");
  const Bad all[] = {
      {"no config", {}, OcfCode::not_configured},
      {"an unknown parameter", {{"config", good}, {"confg", "x"}}, OcfCode::not_configured},
      {"a refused value", {{"config", good}, {"shutdown_mode", "knock"}}, OcfCode::not_configured},
      {"a relative path", {{"config", "vm1.xml"}}, OcfCode::not_configured},
      {"a missing file", {{"config", files / "none.xml"}}, OcfCode::not_installed},
      {"a directory", {{"config", files.path()}}, OcfCode::not_installed},
      {"broken XML", {{"config", files.file("broken.xml", "<domain")}}, OcfCode::not_installed},
      {"no domain", {{"config", files.file("net.xml", "<network/>")}}, OcfCode::not_installed},
      {"no name", {{"config", files.file("nameless.xml", "<domain><memory>1</memory></domain>")}}, OcfCode::not_installed},
      {"another name", {{"config", good}, {"name", "vm2"}}, OcfCode::not_installed},
  };
  io::DirectPlaces places;
  places.state_dir = files / "state";
  places.libvirt_uri = served;
  for (const Bad& bad : all) {
    CAPTURE(bad.what);
    const io::Refused validated = io::validate(bad.parameters, served);
    CHECK(validated.code == bad.code);
    CHECK_FALSE(validated.reason.empty());
    for (const char* operation : {"start", "monitor", "migrate_to"}) CHECK(daemons_code(operation, bad.parameters) == bad.code);
    const io::DirectAnswer monitored = io::direct("monitor", "r1", "ocf", bad.parameters, Milliseconds{2000}, places);
    CHECK(monitored.code == bad.code);
    CHECK(monitored.reason == validated.reason);
  }
}

TEST_CASE("configuration: a hypervisor that is served elsewhere closes this node only") {
  const Files files;
  const Parameters given{{"config", files.domain("vm1")}, {"hypervisor", "xen:///system"}};
  CHECK(io::validate(given, served).code == OcfCode::not_installed);
  CHECK(io::validate(given, served).reason.find("serves qemu:///system") != std::string::npos);
  CHECK(io::validate(given, "xen:///system").code == OcfCode::success);
  for (const char* operation : {"start", "monitor"}) CHECK(daemons_code(operation, given) == OcfCode::not_installed);
}

TEST_CASE("configuration: validate-all also looks at what the domain needs, and at the words of migrate_options") {
  const Files files;
  const auto code = [](const Parameters& given) { return io::validate(given, served).code; };
  CHECK(code({{"config", files.domain("vm1")}, {"name", "vm1"}}) == OcfCode::success);
  const std::string disk = "<devices><disk type='file'><source file='" + files / "disk.img" + "'/><target dev='vda'/></disk></devices>";
  const std::string with_disk = files.domain("vm2", disk);
  CHECK(code({{"config", with_disk}}) == OcfCode::not_installed);
  CHECK(io::validate({{"config", with_disk}}, served).reason.find("disk vda") != std::string::npos);
  files.file("disk.img", "");
  CHECK(code({{"config", with_disk}}) == OcfCode::success);
  CHECK(code({{"config", with_disk}, {"migrate_options", "--persistent"}}) == OcfCode::not_configured);
}
