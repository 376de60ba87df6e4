// SPDX-License-Identifier: GPL-2.0-or-later
// The JSON of status, watch and explain is an interface: migrationctl(8) names every field that is printed, and no other.
#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "migrationd/io/alarm-json.h"
#include "migrationd/io/status-json.h"
#include "tests/unit/scratch.h"
#include "tests/unit/stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using tests::Stage;
using tests::uuid;

namespace {

using Fields = std::set<std::string>;

/// "domains[].job.elapsed_ms" and the like, below `path`.
void collect(const nlohmann::json& json, const std::string& path, Fields& fields) {
  if (json.is_array()) {
    for (const auto& one : json) collect(one, path + "[]", fields);
  } else if (json.is_object()) {
    for (const auto& [name, value] : json.items()) {
      const std::string field = path.empty() ? name : path + "." + name;
      fields.insert(field);
      collect(value, field, fields);
    }
  }
}

/// The first column of the manual's tables.
Fields documented() {
  const auto page = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / "man/migrationctl.8";
  REQUIRE_MESSAGE(std::filesystem::exists(page), page.string());
  std::istringstream lines(tests::file_content(page.string()));
  Fields fields;
  for (std::string line; std::getline(lines, line);)
    if (line.ends_with("\tT{")) fields.insert(line.substr(0, line.find('\t')));
  return fields;
}

/// n1, which hands vm1 over to n2.
struct Node : Stage {
  std::unique_ptr<Engine> engine;
  Node() {
    here = handoff::Here::running;
    Record record{uuid, "vm1", "r1", {}, "<domain/>", {}};
    record.state.phase = handoff::Phase::held;
    engine = std::make_unique<Engine>(
        world, known, [](const auto&) { return Policy{}; }, std::vector<Record>{record}, std::set<NodeName>{});
    engine->begin();
    peer_listener->received("n2", "installation-2", wire::Claim{uuid, {2, 1}, {}});
  }
};

}  // namespace

TEST_CASE("status json: the manual names every field, and none that there isn't") {
  Node node;
  Fields printed;
  collect(nlohmann::json::parse(io::status_json(*node.engine, {"n1", true, {}, {{uuid, {}}}})), "", printed);
  const auto domain = io::domain_named(*node.engine, "r1");
  REQUIRE(domain);
  Fields explained;
  collect(nlohmann::json::parse(io::explain_json(*domain, node.now())), "domain", explained);
  CHECK(explained.contains("domain.history[].text"));
  for (const std::string& field : explained)  // the rest is as in the status
    if (!printed.contains("domains[]" + field.substr(6))) printed.insert(field);
  printed.insert({"intent", "to", "reason", "domain"});  // what migrationctl adds; see tests/ctl/test-ctl.py
  alarms::AlarmBook book;
  book.raise(AlarmKind::other, Subject::daemon(), "x", {});
  collect(nlohmann::json::parse(io::alarms_json("n1", book.all(), false)), "", printed);
  const nlohmann::json event = io::event_json({});  // whose subject is as an alarm's
  for (const auto& [name, value] : event.items()) printed.insert(name);
  const Fields named = documented();
  for (const std::string& field : printed) CHECK_MESSAGE(named.contains(field), field << " is not in migrationctl(8)");
  for (const std::string& field : named) CHECK_MESSAGE(printed.contains(field), field << " of migrationctl(8) is never printed");
  CHECK(named.size() > 30);
}

TEST_CASE("status json: what forget says is what it forgets") {
  Stage stage;
  Record record{uuid, "vm1", "r1", {}, "<domain/>", {}};
  record.state.phase = handoff::Phase::gone;
  record.state.noted = {"n2", "installation-2", {4}};
  Engine engine(stage.world, stage.known, [](const auto&) { return Policy{}; }, {record}, {});
  engine.begin();
  CHECK(io::held_last_by(engine, "n3").empty());
  CHECK(io::held_last_by(engine, "n2") == std::vector<std::string>{"vm1"});
  CHECK(io::forgotten_json({"vm1"}) == R"({"domains":["vm1"]})");
  REQUIRE(engine.forget("n2").ok());
  CHECK(io::held_last_by(engine, "n2").empty());
}
