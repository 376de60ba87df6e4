// SPDX-License-Identifier: GPL-2.0-or-later
// The meta-data is what every tool of the cluster stack sees of us. Its structure is held against OCF 1.1,
// section "Resource Agent Meta-Data", by a parser of XML; tests/agent validates it with xmllint, too.
#include <doctest/doctest.h>

#include <algorithm>

#include <pugixml.hpp>

#include <set>
#include <string>

#include "migrationd/resource/duration.h"
#include "migrationd/resource/meta-data.h"
#include "migrationd/resource/table.h"

using namespace migrationd::resource;
using namespace std::chrono_literals;

namespace {

pugi::xml_document parsed() {
  pugi::xml_document document;
  const auto result = document.load_string(meta_data("1.2<3").c_str());
  REQUIRE_MESSAGE(result, result.description());
  return document;
}

}  // namespace

TEST_CASE("meta-data: names the agent, its version and the version of the specification") {
  const auto document = parsed();
  const auto agent = document.child("resource-agent");
  CHECK(std::string(agent.attribute("name").value()) == "VirtualDomain");
  CHECK(std::string(agent.attribute("version").value()) == "1.2<3");
  CHECK(std::string(agent.child("version").text().get()) == "1.1");
  CHECK(std::string(agent.child("longdesc").attribute("lang").value()) == "en");
}

TEST_CASE("meta-data: has every parameter of the table once, with both descriptions and a known type") {
  const auto document = parsed();
  std::set<std::string> seen;
  for (const auto parameter : document.child("resource-agent").child("parameters").children("parameter")) {
    const std::string name = parameter.attribute("name").value();
    CAPTURE(name);
    CHECK(seen.insert(name).second);
    REQUIRE(find_row(name));
    CHECK(std::string(parameter.child("longdesc").text().get()).size() > 20);
    CHECK(std::string(parameter.child("shortdesc").text().get()).size() > 5);
    const std::string type = parameter.child("content").attribute("type").value();
    CHECK(std::set<std::string>{"string", "integer", "boolean", "select"}.contains(type));
    CHECK((type == "select") == !parameter.child("content").child("option").empty());
    for (const char* flag : {"required", "reloadable", "unique"}) {
      const std::string value = parameter.attribute(flag).value();
      CHECK((value == "0" || value == "1"));
    }
  }
  CHECK(seen.size() == static_cast<std::size_t>(std::count_if(table().begin(), table().end(), [](const Row& row) { return !row.only_in_file; })));
  CHECK_FALSE(seen.contains("priority"));  // Pacemaker's own
}

TEST_CASE("meta-data: what isn't implemented says so") {
  const auto document = parsed();
  for (const auto parameter : document.child("resource-agent").child("parameters").children("parameter")) {
    const bool says = std::string(parameter.child("longdesc").text().get()).find("Not implemented yet") != std::string::npos;
    CAPTURE(parameter.attribute("name").value());
    CHECK(says == !find_row(parameter.attribute("name").value())->comes_with.empty());
  }
}

TEST_CASE("meta-data: advertises the mandatory actions and the moves, with VirtualDomain's times") {
  const auto document = parsed();
  const auto actions = document.child("resource-agent").child("actions");
  for (const auto& [name, timeout] : {std::pair{"start", 90s}, {"stop", 90s}, {"monitor", 30s}, {"migrate_to", 120s},
                                      {"migrate_from", 60s}, {"reload-agent", 20s}, {"meta-data", 5s}, {"validate-all", 5s}}) {
    CAPTURE(name);
    const auto action = actions.find_child_by_attribute("action", "name", name);
    REQUIRE(action);
    CHECK(parse_duration(action.attribute("timeout").value()).value() == timeout);
    CHECK(advertised_timeout(name) == timeout);
  }
  CHECK(parse_duration(actions.find_child_by_attribute("action", "name", "monitor").attribute("interval").value()).value() == 10s);
  CHECK(advertised_timeout("promote") == 0s);
}
