// SPDX-License-Identifier: GPL-2.0-or-later
// The utilization attributes: what the parameters ask for, of which domains it is said, what of it the configuration does
// not have yet, and that nothing is asked of the cluster manager while all is as it was.
#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/utilization.h"
#include "tests/unit/engine-stage.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {

using Wanted = std::map<std::string, Utilization>;

const std::string cib = R"(<resources>
  <group id="web"><primitive id="vm1" class="ocf" provider="migrationd" type="VirtualDomain">
    <utilization id="u1"><nvpair id="a" name="cpu" value="2"/><nvpair id="b" name="host_memory" value="512"/></utilization>
  </primitive></group>
  <primitive id="vm2" class="ocf" provider="migrationd" type="VirtualDomain"/>
</resources>)";

struct Kept : Log {
  std::vector<std::string> lines;
  void write(Level, const std::string& about, const std::string& text) override { lines.push_back(about + ": " + text); }
};

/// Programs of the cluster manager that answer with `cib` and note what they were asked.
struct Commands {
  Scratch scratch;
  std::string path = ::getenv("PATH");
  Commands() {
    program("cibadmin", "cat " + (scratch / "cib"));
    program("crm_resource", ":");
    write_file(scratch / "cib", cib);
    ::setenv("PATH", (scratch.path() + ":" + path).c_str(), 1);
  }
  ~Commands() { ::setenv("PATH", path.c_str(), 1); }
  void program(const std::string& name, const std::string& does) {
    write_file(scratch / name, "#!/bin/sh\necho \"" + name + " $*\" >>" + (scratch / "asked") + "\n" + does + "\n");
    std::filesystem::permissions(scratch / name, std::filesystem::perms::owner_all);
  }
  std::vector<std::string> asked() {
    std::istringstream text(file_content(scratch / "asked"));
    std::filesystem::remove(scratch / "asked");
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
};

}  // namespace

TEST_CASE("utilization: all three are set unless the parameters say otherwise, as ocf:heartbeat:VirtualDomain does") {
  const auto of = [](const std::map<std::string, std::string>& given) {
    auto all = given;
    all["config"] = "/vm1.xml";
    DomainView view;
    view.memory_kib = 262152;
    view.vcpus = 2;
    return io::policy_reader({})(all).value().utilization(view);
  };
  CHECK(of({}) == Utilization{{"cpu", 2}, {"host_memory", 256}, {"hv_memory", 256}});
  CHECK(of({{"autoset_utilization_cpu", "false"}, {"unset_utilization_hv_memory", "true"}}) == Utilization{{"host_memory", 256}, {"hv_memory", 256}});
  CHECK(of({{"autoset_utilization_cpu", "no"}, {"unset_utilization_cpu", "yes"}, {"autoset_utilization_hv_memory", "0"}}) ==
        Utilization{{"cpu", std::nullopt}, {"host_memory", 256}});
}

TEST_CASE("utilization: what differs is found, also in a group; what is right, or of other resources, is left alone") {
  const auto changes = io::utilization_changes(cib, Wanted{{"vm1", {{"cpu", 2}, {"host_memory", 256}, {"hv_memory", 256}}},
                                                           {"vm2", {{"cpu", std::nullopt}}},
                                                           {"elsewhere", {{"cpu", 1}}}});
  REQUIRE(changes.ok());
  CHECK(changes.value() == std::vector<io::UtilizationChange>{{"vm1", "host_memory", 256}, {"vm1", "hv_memory", 256}});
  const auto removed = io::utilization_changes(cib, Wanted{{"vm1", {{"cpu", std::nullopt}, {"hv_memory", std::nullopt}}}});
  REQUIRE(removed.ok());
  CHECK(removed.value() == std::vector<io::UtilizationChange>{{"vm1", "cpu", std::nullopt}});
  CHECK_FALSE(io::utilization_changes("<cib/>", {}).ok());
  CHECK_FALSE(io::utilization_changes("half <", {}).ok());
}

TEST_CASE("utilization: a resource that went to another agent is left alone, also where a template says the agent") {
  const std::string moved = R"(<resources>
    <template id="ours" class="ocf" provider="migrationd" type="VirtualDomain"/><template id="theirs" class="ocf" provider="heartbeat" type="VirtualDomain"/>
    <primitive id="vm1" class="ocf" provider="heartbeat" type="VirtualDomain"/>
    <primitive id="vm2" template="theirs"/><primitive id="vm3" template="ours"/><primitive id="vm4" template="nowhere"/></resources>)";
  const Utilization cpu{{"cpu", 2}};
  const auto changes = io::utilization_changes(moved, Wanted{{"vm1", cpu}, {"vm2", cpu}, {"vm3", cpu}, {"vm4", cpu}});
  REQUIRE(changes.ok());
  CHECK(changes.value() == std::vector<io::UtilizationChange>{{"vm3", "cpu", 2}});
}

TEST_CASE("utilization: only of what runs here and is held here") {
  EngineStage stage;
  stage.memory_kib = 65536;
  stage.vcpus = 1;
  handoff::State state;
  state.phase = handoff::Phase::held;
  Record record{uuid, "vm1", "vm1", {{"config", "/vm1.xml"}}, "<domain/>", state};
  SUBCASE("it runs") {
    stage.shows("vm1", Here::running);
    stage.begin({record});
    for (int ticks = 0; ticks < 5; ++ticks) stage.all_timers();
    CHECK(stage.utilization == Wanted{{"vm1", {{"cpu", 1}, {"host_memory", 64}, {"hv_memory", 64}}}});
  }
  SUBCASE("it is offered to another") {
    record.state.phase = handoff::Phase::offered;
    stage.shows("vm1", Here::running);
    stage.begin({record});
    for (int ticks = 0; ticks < 5; ++ticks) stage.all_timers();
    CHECK(stage.utilization.empty());
  }
  SUBCASE("it was started by hand and is no resource") {
    record.resource.clear();
    stage.shows("vm1", Here::running);
    stage.begin({record});
    for (int ticks = 0; ticks < 5; ++ticks) stage.all_timers();
    CHECK(stage.utilization.empty());
  }
}

TEST_CASE("utilization: set once, read again once, and then nothing until something changes") {
  Commands commands;
  Kept log;
  boost::asio::io_context loop;
  io::UtilizationKeeper keeper(loop.get_executor(), log);
  const auto keep = [&](const Wanted& wanted) {
    keeper.keep(wanted);
    loop.restart();
    loop.run();
    return commands.asked();
  };
  const std::string read = "cibadmin --query --local --scope resources";
  const Wanted wanted{{"vm1", {{"cpu", 4}}}};
  CHECK(keep({}).empty());
  CHECK(keep(wanted) == std::vector<std::string>{read, "crm_resource --resource vm1 --utilization --set-parameter cpu --parameter-value 4"});
  CHECK(log.lines == std::vector<std::string>{"vm1: its utilization in the cluster's configuration: cpu=4"});

  std::string changed = cib;
  changed.replace(changed.find("value=\"2\""), 9, "value=\"4\"");
  write_file(commands.scratch / "cib", changed);
  CHECK(keep(wanted) == std::vector<std::string>{read});
  CHECK(keep(wanted).empty());
  keeper.configuration_changed();
  CHECK(keep(wanted) == std::vector<std::string>{read});
  CHECK(keep({{"vm1", {{"cpu", std::nullopt}}}}) == std::vector<std::string>{read, "crm_resource --resource vm1 --utilization --delete-parameter cpu"});
}

TEST_CASE("utilization: what fails is said once, and tried again") {
  Commands commands;
  commands.program("crm_resource", "echo 'the CIB is away' >&2; exit 1");
  Kept log;
  boost::asio::io_context loop;
  io::UtilizationKeeper keeper(loop.get_executor(), log);
  for (int times = 0; times < 3; ++times) {
    keeper.keep({{"vm1", {{"cpu", 4}}}});
    loop.restart();
    loop.run();
    CHECK(commands.asked().size() == 2);
  }
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0].find("the CIB is away") != std::string::npos);
}
