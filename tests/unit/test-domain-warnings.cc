// SPDX-License-Identifier: GPL-2.0-or-later
// What is warned of: only of domains that the cluster manages here, once in the log, and as long as it stands.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "migrationd/io/domain-warnings.h"
#include "migrationd/io/status-json.h"
#include "tests/unit/stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using tests::Stage;
using tests::uuid;

namespace {

Result<Policy> policy_of(const std::map<std::string, std::string>& parameters) {
  Policy policy;
  const auto unfenced = parameters.find("unfenced");
  policy.unfenced_membership = unfenced != parameters.end() && unfenced->second == "membership";
  return policy;
}

struct Node : Stage {
  std::vector<std::string> logged;
  std::set<DomainUuid> asked;
  Callback<Result<std::vector<std::string>>> answer;
  Engine engine;
  io::DomainWarnings warnings{world, engine, [this](const std::set<DomainUuid>& domains, auto done) {
                                asked = domains;
                                answer = std::move(done);
                              }};

  explicit Node(std::vector<Record> records) : engine(world, known, policy_of, std::move(records), {}) {
    engine.begin();
    hypervisor_listener->hypervisor_changed(true);
  }
  void write(Level level, const std::string&, const std::string& text) override {
    if (level == Level::warning || level == Level::alarm) logged.push_back(text);
  }
  using Stage::write;
};

Record vm1(const std::string& resource, std::map<std::string, std::string> parameters = {}) {
  return {uuid, "vm1", resource, std::move(parameters), "<domain/>", {}};
}

std::vector<std::string> in_status(const Node& node, bool unfenced_membership = false) {
  const std::string text = io::status_json(node.engine, {"n1", unfenced_membership, node.warnings.known(), {}});
  return nlohmann::json::parse(text)["warnings"].get<std::vector<std::string>>();
}

}  // namespace

TEST_CASE("domain warnings: logged once, shown as long as they stand") {
  Node node({vm1("r1")});
  int done = 0;
  const auto look = [&](std::vector<std::string> found) {
    node.warnings.look([&] { ++done; });
    CHECK(node.asked == std::set<DomainUuid>{uuid});
    node.answer(std::move(found));
  };
  look({"autostart is set"});
  CHECK(in_status(node) == std::vector<std::string>{"autostart is set"});
  look({"autostart is set"});
  CHECK(node.logged == std::vector<std::string>{"autostart is set"});
  look({});
  CHECK(in_status(node).empty());
  look({"autostart is set"});
  CHECK(node.logged.size() == 2);
  SUBCASE("a hypervisor that does not say it changes nothing, and holds up nobody") {
    node.warnings.look([&] { ++done; });
    node.answer(Error{"libvirt is away"});
    CHECK(in_status(node).size() == 1);
    node.hypervisor_listener->hypervisor_changed(false);
    node.answer = nullptr;
    node.warnings.look([&] { ++done; });
    CHECK_FALSE(node.answer);
    CHECK(done == 6);
  }
}

TEST_CASE("domain warnings: what is no resource here is nobody's business") {
  Node node({vm1("")});
  bool done = false;
  node.warnings.look([&] { done = true; });
  CHECK(done);
  CHECK(node.asked.empty());
}

TEST_CASE("domain warnings: unfenced=membership of a resource is said in the status and in the log") {
  Node node({vm1("r1", {{"unfenced", "membership"}})});
  REQUIRE(in_status(node).size() == 1);
  CHECK(in_status(node)[0].starts_with("resource r1 has unfenced=membership: "));
  REQUIRE(node.logged.size() == 1);
  CHECK(node.logged[0].starts_with("unfenced=membership: "));
  SUBCASE("once, when the configuration says it for all") {
    REQUIRE(in_status(node, true).size() == 1);
    CHECK(in_status(node, true)[0].starts_with("unfenced=membership: "));
  }
}
