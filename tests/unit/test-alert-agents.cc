// SPDX-License-Identifier: GPL-2.0-or-later
// Alert agents: the environment that Pacemaker's have, one run at a time, and none that hangs or fails hurts the others. An agent
// of our own prints what it was given; Pacemaker's own sample is run where its package is installed.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/alert-agents.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");

struct Sink : engine::Log {
  std::vector<std::string> lines;
  void write(Level, const std::string&, const std::string& text) override { lines.push_back(text); }
};

alarms::Alarm alarm(AlarmKind kind = AlarmKind::domain_unhealthy, Subject subject = Subject::domain(uuid, "vm1", "r1")) {
  alarms::Alarm one;
  one.id = 17;
  one.kind = to_string(kind);
  one.subject = std::move(subject);
  one.text = "paused\n(I/O error)";
  one.severity = severity_of(kind);
  return one;
}

alarms::Alarm cleared(alarms::Alarm one) {
  one.cleared = WallTime{Milliseconds{1}};
  one.cleared_why = "it runs here";
  return one;
}

const WallTime at{Milliseconds{1'700'000'000'007}};

std::string value(const std::vector<std::string>& environment, const std::string& name) {
  for (const std::string& one : environment)
    if (one.starts_with(name + "=")) return one.substr(name.size() + 1);
  return "(not set)";
}

struct Agents {
  tests::Scratch scratch;
  std::string out = scratch / "out";
  Sink log;
  boost::asio::io_context loop;

  Agents() {
    // Whoever the agents run as writes here.
    REQUIRE(::chmod(scratch.path().c_str(), 0755) == 0);
    tests::write_file(out, "");
    REQUIRE(::chmod(out.c_str(), 0666) == 0);
  }
  std::string agent(const std::string& name, const std::string& script) {
    const std::string path = scratch / name;
    tests::write_file(path, "#!/bin/sh\n" + script);
    REQUIRE(::chmod(path.c_str(), 0755) == 0);
    return path;
  }
  std::string printer() { return agent("printer", "env | grep -E '^(CRM_alert|MIGRATIOND)_' | sort >>'" + out + "'\n"); }
  AlertSettings settings(std::vector<AlertAgent> list) {
    AlertSettings all;
    all.self = "alpha";
    all.agents = std::move(list);
    return all;
  }
  std::string said() {
    loop.restart();
    loop.run();
    return tests::file_content(out);
  }
};

}  // namespace

TEST_CASE("alert environment: a domain's alarm is as a failed operation of its resource") {
  const auto environment = alert_environment({alarm(), at, 5}, "alpha", "ops@example.org");
  for (const auto& [name, expected] : std::vector<std::pair<std::string, std::string>>{
           {"kind", "resource"}, {"recipient", "ops@example.org"}, {"node", "alpha"}, {"rsc", "r1"}, {"task", "domain-unhealthy"},
           {"desc", "paused (I/O error)"}, {"rc", "1"}, {"target_rc", "0"}, {"status", "4"}, {"interval", "0"}, {"node_sequence", "5"},
           {"timestamp_epoch", "1700000000"}, {"timestamp_usec", "7000"}, {"version", "2.1.5"}}) {
    CHECK_MESSAGE(value(environment, "CRM_alert_" + name) == expected, name);
    CHECK_MESSAGE(value(environment, "CRM_notify_" + name) == expected, name);
  }
  CHECK(value(environment, "CRM_alert_timestamp").ends_with(":20.007000"));
  CHECK(value(environment, "MIGRATIOND_alarm_state") == "raised");
  CHECK(value(environment, "MIGRATIOND_alarm_id") == "17");
  CHECK(value(environment, "CRM_alert_nodeid") == "(not set)");
}

TEST_CASE("alert environment: cleared, it is as an operation that succeeded") {
  const auto environment = alert_environment({cleared(alarm()), at, 6}, "alpha", "");
  CHECK(value(environment, "CRM_alert_rc") == "0");
  CHECK(value(environment, "CRM_alert_status") == "0");
  CHECK(value(environment, "CRM_alert_desc") == "cleared: it runs here (it was: paused (I/O error))");
  CHECK(value(environment, "CRM_alert_recipient") == "(not set)");
  CHECK(value(environment, "MIGRATIOND_alarm_state") == "cleared");
}

TEST_CASE("alert environment: nodes, fencing and the daemon itself") {
  const auto node = alert_environment({alarm(AlarmKind::absent_without_proof, Subject::node("beta")), at, 1}, "alpha", "x");
  CHECK(value(node, "CRM_alert_kind") == "node");
  CHECK(value(node, "CRM_alert_node") == "beta");
  CHECK(value(node, "CRM_alert_nodeid") == "0");
  CHECK(value(node, "CRM_alert_rsc") == "(not set)");
  const auto fencing = alert_environment({alarm(AlarmKind::fencing_failed, Subject::node("beta")), at, 1}, "alpha", "x");
  CHECK(value(fencing, "CRM_alert_kind") == "fencing");
  CHECK(value(fencing, "CRM_alert_rc") == "1");
  // Never as a fencing that succeeded: nobody may have fenced it.
  const auto over = alert_environment({cleared(alarm(AlarmKind::fencing_failed, Subject::node("beta"))), at, 1}, "alpha", "x");
  CHECK(value(over, "CRM_alert_kind") == "node");
  for (const char* name : {"task", "rc", "target_rc"}) CHECK_MESSAGE(value(over, std::string("CRM_alert_") + name) == "(not set)", name);
  const auto daemon = alert_environment({alarm(AlarmKind::hypervisor_away, Subject::daemon()), at, 1}, "alpha", "x");
  CHECK(value(daemon, "CRM_alert_kind") == "node");
  CHECK(value(daemon, "CRM_alert_node") == "alpha");
}

TEST_CASE("alert agents: each recipient has a run of its own, in turn, and hostile words stay words") {
  Agents all;
  alarms::Alarm one = alarm();
  one.text = "a'; touch " + (all.scratch / "hacked") + " #$(touch " + (all.scratch / "hacked") + ")";
  AlertAgents agents(all.loop, all.settings({{all.printer(), {"ann", "bob"}}}), all.log);
  agents.tell(one, at);
  agents.tell(cleared(one), at);
  CHECK(all.said().empty() == false);
  const std::string said = all.said();
  const auto place = [&](const std::string& text, std::size_t from = 0) { return said.find(text, from); };
  const std::size_t first = place("CRM_alert_recipient=ann"), second = place("CRM_alert_recipient=bob");
  REQUIRE(first != std::string::npos);
  REQUIRE(second != std::string::npos);
  CHECK(first < second);
  CHECK(place("CRM_alert_recipient=ann", second) != std::string::npos);  // that it was cleared
  CHECK(said.find("MIGRATIOND_alarm_state=cleared") > second);
  CHECK(said.find("CRM_alert_desc=" + one.text) != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(all.scratch / "hacked"));
  CHECK(all.log.lines.empty());
}

TEST_CASE("alert agents: one that hangs, fails or is missing is said, and holds up nobody else") {
  Agents all;
  AlertSettings settings = all.settings({{all.agent("hangs", "exec sleep 1000\n"), {}},
                                         {all.agent("fails", "echo 'no mail here' >&2; exit 3\n"), {}},
                                         {all.scratch / "missing", {}},
                                         {all.printer(), {}}});
  settings.limit = Milliseconds{300};
  AlertAgents agents(all.loop, std::move(settings), all.log);
  agents.tell(alarm(), at);
  CHECK(all.said().find("CRM_alert_kind=resource") != std::string::npos);
  REQUIRE(all.log.lines.size() == 3);
  std::sort(all.log.lines.begin(), all.log.lines.end());
  CHECK(all.log.lines[0].find("fails for alarm 17: ") != std::string::npos);
  CHECK(all.log.lines[0].find("exited with 3: no mail here") != std::string::npos);
  CHECK(all.log.lines[1].find("did not end within 300 ms") != std::string::npos);
  CHECK(all.log.lines[2].find("missing") != std::string::npos);
}

TEST_CASE("alert agents: one that is too slow misses the oldest") {
  Agents all;
  AlertSettings settings = all.settings({{all.printer(), {}}});
  settings.waiting_limit = 2;
  AlertAgents agents(all.loop, std::move(settings), all.log);
  for (std::uint64_t id = 1; id <= 6; ++id) {
    alarms::Alarm one = alarm();
    one.id = id;
    agents.tell(one, at);
  }
  const std::string said = all.said();
  for (const char* told : {"_id=1\n", "_id=5\n", "_id=6\n"}) CHECK(said.find(told) != std::string::npos);
  for (const char* missed : {"_id=2\n", "_id=3\n", "_id=4\n"}) CHECK(said.find(missed) == std::string::npos);
  REQUIRE(all.log.lines.size() == 1);
  CHECK(all.log.lines[0].find("too slow") != std::string::npos);
}

TEST_CASE("alert agents: one that is too slow misses warnings before what is critical") {
  Agents all;
  AlertSettings settings = all.settings({{all.printer(), {}}});
  settings.waiting_limit = 2;
  AlertAgents agents(all.loop, std::move(settings), all.log);
  for (std::uint64_t id = 1; id <= 4; ++id) {  // the first one runs at once
    alarms::Alarm one = alarm(id == 3 ? AlarmKind::managed_save_removed : AlarmKind::domain_unhealthy);
    one.id = id;
    agents.tell(one, at);
  }
  const std::string said = all.said();
  for (const char* told : {"_id=1\n", "_id=2\n", "_id=4\n"}) CHECK(said.find(told) != std::string::npos);
  CHECK(said.find("_id=3\n") == std::string::npos);
}

TEST_CASE("alert agents: none is run as root because the users can't be looked up") {
  if (::geteuid() != 0) return;  // then they never are
  Agents all;
  AlertSettings settings = all.settings({{all.printer(), {}}});
  SUBCASE("the lookup fails") {
    settings.group_of = [](const std::string&) -> Result<std::optional<gid_t>> { return Error{"too many open files"}; };
    AlertAgents agents(all.loop, std::move(settings), all.log);
    agents.tell(alarm(), at);
    CHECK(all.said().empty());
    REQUIRE(all.log.lines.size() == 1);
    CHECK(all.log.lines[0].find("hacluster can't be looked up: too many open files") != std::string::npos);
  }
  SUBCASE("there is no such user") {
    settings.user = "migrationd-no-such-user";
    AlertAgents agents(all.loop, std::move(settings), all.log);
    agents.tell(alarm(), at);
    CHECK_FALSE(all.said().empty());
    CHECK(all.log.lines.empty());
  }
}

TEST_CASE("alert agents: Pacemaker's own sample understands us") {
  const std::string sample = "/usr/share/pacemaker/alerts/alert_file.sh.sample";
  if (!std::filesystem::exists(sample)) return;  // what it is given is looked at above
  Agents all;
  const std::string copy = all.agent("alert_file.sh", "");
  tests::write_file(copy, tests::file_content(sample));
  AlertAgents agents(all.loop, all.settings({{copy, {all.out}}}), all.log);
  agents.tell(alarm(), at);
  agents.tell(alarm(AlarmKind::fencing_failed, Subject::node("beta")), at);
  agents.tell(alarm(AlarmKind::hypervisor_away, Subject::daemon()), at);
  const std::string said = all.said();
  CHECK(said.find(".007000: Resource operation 'domain-unhealthy' for 'r1' on 'alpha': paused (I/O error)\n") != std::string::npos);
  CHECK(said.find("Fencing paused (I/O error)\n") != std::string::npos);
  CHECK(said.find("Node 'alpha' is now 'paused (I/O error)'\n") != std::string::npos);
  CHECK(all.log.lines.empty());
}
