// SPDX-License-Identifier: GPL-2.0-or-later
// Whether a node's cluster manager stays: else an offer to that node is one that nobody fetches.
#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/heartbeat-process.h"
#include "migrationd/io/heartbeat.h"
#include "migrationd/io/log-sink.h"
#include "migrationd/io/pacemaker.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using namespace std::string_literals;

namespace {

struct FakeProc : tests::Scratch {
  int processes = 100;
  void process(const std::string& cmdline) {
    const std::string directory = *this / std::to_string(++processes);
    std::filesystem::create_directories(directory);
    tests::write_file(directory + "/cmdline", cmdline);
  }
};

/// crm_mon's answer about two nodes, of which n1 has these attributes beside its name.
std::string monitor(const std::string& n1, const std::string& dc = "with_quorum=\"true\"", const std::string& options = "stop") {
  return "<?xml version=\"1.0\"?><pacemaker-result api-version=\"2.25\" request=\"crm_mon\"><summary><current_dc present=\"true\" " + dc +
         "/><cluster_options no-quorum-policy=\"" + options + "\"/></summary><nodes><node name=\"n1\" id=\"1\" " + n1 +
         " is_dc=\"true\" type=\"member\"/><node name=\"n2\" online=\"false\" shutdown=\"true\"/></nodes></pacemaker-result>";
}

const std::string used = "online=\"true\" standby=\"false\" standby_onfail=\"false\" pending=\"false\" unclean=\"false\" shutdown=\"false\"";

std::string said(const Outcome& outcome) { return outcome.ok() ? "" : outcome.error(); }

}  // namespace

TEST_CASE("staying: Heartbeat is being stopped while somebody waits for its end, or it gives up its resources") {
  FakeProc proc;
  proc.process("heartbeat: master control process");
  proc.process("/usr/lib/heartbeat/heartbeat\0-s\0"s);
  proc.process("grep\0-k\0hb_signal_giveup_resources\0"s);
  proc.process("");
  std::filesystem::create_directories(proc / "self");
  CHECK_FALSE(heartbeat_stops(proc.path()));
  SUBCASE("its init script") { proc.process("/usr/lib/heartbeat/heartbeat\0-k\0"s); }
  SUBCASE("its init script, once it has taken its title") { proc.process("heartbeat\0\0\0\0"s); }
  SUBCASE("itself") { proc.process("heartbeat: heartbeat: hb_signal_giveup_resources()"s); }
  CHECK(heartbeat_stops(proc.path()));
}

TEST_CASE("staying: what Heartbeat's node answers") {
  FakeProc proc;
  tests::write_file(proc / "pid", "   " + std::to_string(::getpid()) + "\n");
  const auto asked = [&] {
    boost::asio::io_context loop;
    LogSink log{LogSettings{}};
    HeartbeatCluster cluster(loop, {"n1", proc.path(), proc / "pid", "cl_status", proc.path()}, log);
    std::optional<Outcome> answer;
    cluster.staying([&](Outcome outcome) { answer = outcome; });
    CHECK_FALSE(answer);  // never from inside the call that asked
    loop.run();
    REQUIRE(answer);
    return said(*answer);
  };
  CHECK(asked() == "");
  proc.process("heartbeat\0-k\0"s);
  CHECK(asked() == "Heartbeat is being stopped there");
  std::filesystem::remove_all(proc / "101");
  std::filesystem::remove(proc / "pid");
  CHECK(asked() == "Heartbeat does not run there");
}

TEST_CASE("staying: a node that Pacemaker uses stays, one that it leaves does not, and doubt is said") {
  CHECK(staying_by_monitor(monitor(used), "n1").ok());
  const auto with = [](const std::string& from, const std::string& to) {
    std::string changed = used;
    changed.replace(changed.find(from), from.size(), to);
    return said(staying_by_monitor(monitor(changed), "n1"));
  };
  CHECK(with("shutdown=\"false\"", "shutdown=\"true\"") == "Pacemaker is being stopped there");
  CHECK(with("standby=\"false\"", "standby=\"true\"") == "that node is in standby");
  CHECK(with("online=\"true\"", "online=\"false\"").find("not online") != std::string::npos);
  CHECK(with("pending=\"false\"", "pending=\"true\"").find("not online") != std::string::npos);
  CHECK(said(staying_by_monitor(monitor(used, "with_quorum=\"false\""), "n1")).find("no quorum") != std::string::npos);
  CHECK(staying_by_monitor(monitor(used, "with_quorum=\"false\"", "ignore"), "n1").ok());
  for (const std::string& odd : {"garbage"s, ""s, "<pacemaker-result/>"s, monitor(used).substr(0, 200)})
    CHECK(said(staying_by_monitor(odd, "n1")).find("can't be told") != std::string::npos);
  CHECK(said(staying_by_monitor(monitor(used), "n3")).find("does not list it") != std::string::npos);
}

TEST_CASE("staying: whether a CIB configures fencing, and one that can't be read does") {
  const auto cib = [](const std::string& property, const std::string& resources) {
    return "<cib><configuration><crm_config><cluster_property_set id=\"p\">" + property + "</cluster_property_set></crm_config><resources>" +
           resources + "</resources></configuration></cib>";
  };
  const std::string device = "<clone id=\"c\"><primitive id=\"f\" class=\"stonith\" type=\"fence_ipmilan\"/></clone>";
  const auto set = [](const std::string& name, const std::string& value) {
    return "<nvpair id=\"x\" name=\"" + name + "\" value=\"" + value + "\"/>";
  };
  CHECK(fencing_in_cib(cib("", device)));
  CHECK(fencing_in_cib(cib(set("stonith-enabled", "true"), device)));
  CHECK_FALSE(fencing_in_cib(cib(set("stonith-enabled", "false"), device)));
  CHECK_FALSE(fencing_in_cib(cib("", "<primitive id=\"vm1\" class=\"ocf\"/>")));
  CHECK(fencing_in_cib(cib(set("stonith-watchdog-timeout", "10s"), "")));
  CHECK_FALSE(fencing_in_cib(cib(set("stonith-watchdog-timeout", "0"), "")));
  for (const std::string& odd : {""s, "garbage"s, "<cib/>"s}) CHECK(fencing_in_cib(odd));
}

TEST_CASE("priority: what crm_resource says of it, in Pacemaker's own words for numbers") {
  const auto number = [](const char* text) { return priority_in(text).value(); };
  CHECK(number("") == 0);
  CHECK(number("7\n") == 7);
  CHECK(number("+7\n") == 7);
  CHECK(number("-5\n") == -5);
  CHECK(number("INFINITY\n") == 1'000'000);
  CHECK(number("-INFINITY\n") == -1'000'000);
  CHECK(number("9000000\n") == 1'000'000);
  CHECK(priority_in("high\n").error() == "the priority 'high' is no number");
}
