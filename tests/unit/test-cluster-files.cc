// SPDX-License-Identifier: GPL-2.0-or-later
// What the cluster managers' own files say decides who must be asked before a boot: a node that is missed
// there would not be asked.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/cluster-choice.h"
#include "migrationd/io/corosync.h"
#include "migrationd/io/heartbeat-files.h"
#include "migrationd/io/log-sink.h"
#include "migrationd/io/pacemaker.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

TEST_CASE("cluster files: corosync.conf names every node with all its addresses") {
  const auto nodes = parse_corosync_conf(
      "# made by pcs\ntotem {\n  version: 2\n  interface {\n    linknumber: 0\n  }\n}\n"
      "nodelist {\n  node {\n    ring0_addr: 10.0.0.1\n    ring1_addr: 10.1.0.1\n    name: alpha\n    nodeid: 1\n  }\n"
      "  node {\n    ring0_addr: beta.example\n    nodeid: 2\n  }\n}\n");
  REQUIRE(nodes.ok());
  REQUIRE(nodes.value().size() == 2);
  CHECK(nodes.value()[0].name == "alpha");
  CHECK(nodes.value()[0].id == 1);
  CHECK(nodes.value()[0].addresses == std::vector<std::string>{"10.0.0.1", "10.1.0.1"});
  CHECK(nodes.value()[1].name == "beta.example");
}

TEST_CASE("cluster files: what is wrong with corosync.conf is said, with its path") {
  const tests::Scratch scratch;
  CHECK(view_of_file(scratch / "none").trouble == scratch / "none can't be read: No such file or directory");
  CHECK(view_of_file(scratch.path()).trouble.find("can't be read") != std::string::npos);
  tests::write_file(scratch / "conf", "totem {\n}\n");
  CHECK(view_of_file(scratch / "conf").trouble == scratch / "conf: it has no nodelist");
  CHECK(view_of_file(scratch / "conf").nodes.empty());
  tests::write_file(scratch / "conf", "nodelist {\n node {\n  name: n1\n  ring0_addr: 10.0.0.1\n }\n}\n");
  CHECK(view_of_file(scratch / "conf").trouble == "");
  CHECK(view_of_file(scratch / "conf").find("n1") != nullptr);
}

TEST_CASE("cluster files: a corosync.conf without a usable nodelist is refused, never an empty cluster") {
  for (const char* text : {"", "totem {\n}\n", "nodelist {\n}\n", "nodelist {\n node {\n name: a\n }\n}\n",
                           "nodelist {\n node {\n ring0_addr: x\n", "nodelist {\n garbage\n}\n", "}\n"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_corosync_conf(text).ok());
  }
}

TEST_CASE("cluster files: ha.cf names nodes in any number of lines, and says whether a dead one is shot") {
  const auto cf = parse_ha_cf("keepalive 500ms # quick\nucast eth0 10.0.0.2\nnode HB1 hb2\nnode hb3\n#stonith_host * x\n");
  REQUIRE(cf.ok());
  CHECK(cf.value().nodes == std::vector<std::string>{"hb1", "hb2", "hb3"});
  CHECK(cf.value().peers == std::vector<std::string>{"10.0.0.2"});
  CHECK(cf.value().stonith.empty());
  const auto fenced = parse_ha_cf("stonith_host A external/ipmi b 192.0.2.102 root  secret\nstonith apcmaster /etc/ha.d/apc\n"
                                  "stonith_host * short\nnode a b\n").value().stonith;
  REQUIRE(fenced.size() == 2);
  CHECK(fenced[0].from == "a");
  CHECK(fenced[0].type == "external/ipmi");
  CHECK(fenced[0].parameters == "b 192.0.2.102 root secret");
  CHECK(fenced[1].from == "*");
  CHECK(fenced[1].file == "/etc/ha.d/apc");
  CHECK_FALSE(parse_ha_cf("keepalive 2\n").ok());
}

TEST_CASE("cluster files: what stands left of a domain on its haresources line is stopped after it") {
  const auto lines = parse_haresources("# groups\nhb1 drbddisk::r0 \\\n  Filesystem::/dev/drbd0::/srv migrationd::vm1\n"
                                       "hb2 migrationd::vm2\n");
  REQUIRE(lines.size() == 2);
  HaresourcesLine line;
  CHECK(left_of(lines, "vm1", &line) == std::vector<std::string>{"drbddisk::r0", "Filesystem::/dev/drbd0::/srv"});
  CHECK(line.preferred == "hb1");
  CHECK(left_of(lines, "vm2").empty());
  CHECK(left_of(lines, "vm3").empty());
}

TEST_CASE("cluster files: under Heartbeat this node's own name is in lower case as all others are") {
  CHECK(heartbeat_name("HB1.Example") == "hb1.example");
  boost::asio::io_context loop;
  LogSink log({});
  Config config;
  config.cluster = ClusterKind::heartbeat;
  CHECK(choose_cluster(loop, config, "HB1", log).value().self == "hb1");
  config.cluster = ClusterKind::pacemaker;
  CHECK(choose_cluster(loop, config, "HB1", log).value().self == "HB1");
}

TEST_CASE("cluster files: without a cluster manager this node must be one of the configured ones") {
  boost::asio::io_context loop;
  LogSink log({});
  Config config;
  config.cluster = ClusterKind::none;
  config.nodes = {{"alpha", {"192.0.2.1"}}, {"beta", {"192.0.2.2"}}};
  const auto chosen = choose_cluster(loop, config, "alpha", log);
  REQUIRE(chosen.ok());
  CHECK(chosen.value().source->others() == std::set<NodeName>{"beta"});
  CHECK(chosen.value().source->own_addresses() == std::vector<std::string>{"192.0.2.1"});
  const auto misnamed = choose_cluster(loop, config, "alpha.example.org", log);
  REQUIRE_FALSE(misnamed.ok());
  CHECK(misnamed.error().find("none of the node lines is for this node, \"alpha.example.org\"") == 0);
}

TEST_CASE("cluster files: only a successful power fencing counts, and when it was") {
  const std::string history =
      "<pacemaker-result api-version=\"2.25\"><fence_history target=\"node2\">"
      "<fence_event action=\"reboot\" target=\"node2\" status=\"failed\" completed=\"1970-01-01 00:16:30Z\"/>"
      "<fence_event action=\"on\" target=\"node2\" status=\"success\" completed=\"1970-01-01 00:16:31Z\"/>"
      "<fence_event action=\"off\" target=\"node2\" status=\"success\"/>"
      "<fence_event action=\"reboot\" target=\"node2\" status=\"success\" completed=\"1970-01-01 01:15:00 +01:00\"/>"
      "<fence_event action=\"off\" target=\"node2\" status=\"success\" completed=\"1970-01-01 00:16:40.250999Z\"/>"
      "</fence_history></pacemaker-result>";
  const auto all = power_fencings(history);
  REQUIRE(all.ok());
  REQUIRE(all.value().size() == 2);
  CHECK(all.value()[0].completed == Milliseconds(900'000));
  CHECK(all.value()[1].completed == Milliseconds(1'000'250));
  CHECK(all.value()[0].key != all.value()[1].key);
  CHECK(power_fencings("<pacemaker-result/>").value().empty());
  CHECK_FALSE(power_fencings("stonith_admin: no history").ok());
}

namespace {

Instant at(int seconds) { return Instant{Milliseconds(seconds * 1000)}; }

/// A node's history and this node's clocks; `ahead`: the wall clock against the boot clock.
struct History {
  FencingMemory memory;
  std::vector<Fencing> all;
  int ahead = 100'000;

  Clocks clocks(int boot) const { return {at(boot), Milliseconds((boot + ahead) * 1000)}; }
  bool tick(int boot) { return memory.clocks(clocks(boot)); }
  void fence(int boot) { all.push_back({clocks(boot).wall, std::to_string(all.size())}); }
  void look(int boot) { memory.looked("b", at(boot), at(boot), all); }
  FencingMemory::Verdict ask(int boot, int since) {
    look(boot);
    tick(boot);
    return memory.judge("b", at(since), clocks(boot), all);
  }
};

}  // namespace

TEST_CASE("fencing: a node that was fenced after its last word is proven absent, also when it was fenced before") {
  History h;
  h.tick(0);
  h.look(0);
  h.fence(10);
  CHECK(h.ask(15, 5).proven);
  CHECK_FALSE(h.ask(16, 12).proven);
  CHECK(h.ask(16, 12).doubt.empty());
  CHECK_FALSE(h.memory.judge("other", at(5), h.clocks(15), h.all).proven);
  SUBCASE("and so once more, with the older one in the history") {
    h.fence(20);
    CHECK(h.ask(25, 17).proven);
  }
  SUBCASE("a look between the fencing and the question changes nothing") {
    h.fence(20);
    h.look(21);
    CHECK(h.ask(25, 17).proven);
  }
}

TEST_CASE("fencing: what was in the history before the last word never proves, whatever time it names") {
  History h;
  h.tick(0);
  h.look(0);
  h.all.push_back({h.clocks(50).wall, "from another node, with a clock ahead"});
  h.look(5);
  CHECK_FALSE(h.ask(60, 20).proven);
  CHECK_FALSE(h.ask(60, 5).proven);
  h.fence(65);
  CHECK(h.ask(70, 61).proven);
}

TEST_CASE("fencing: one from the future proves nothing, and is said") {
  History h;
  h.tick(0);
  h.look(0);
  h.all.push_back({h.clocks(500).wall, "future"});
  const auto verdict = h.ask(20, 10);
  CHECK_FALSE(verdict.proven);
  CHECK_FALSE(verdict.doubt.empty());
  h.fence(21);
  CHECK(h.ask(22, 10).proven);
}

TEST_CASE("fencing: a clock set back makes no old fencing new") {
  History h;
  h.tick(0);
  h.look(0);
  h.fence(100);
  h.tick(199);
  SUBCASE("before the question") {
    h.ahead -= 50;
    CHECK_FALSE(h.ask(200, 120).proven);  // seems to be from 150
    CHECK_FALSE(h.ask(210, 120).doubt.empty());
    SUBCASE("the fencing asked for then is seen to come, and proves") {
      h.fence(212);
      CHECK(h.ask(215, 120).proven);
    }
    SUBCASE("one of before the last word, though seen to come, does not") {
      h.fence(212);
      h.look(213);
      CHECK_FALSE(h.ask(230, 214).proven);
    }
  }
  SUBCASE("before the last word") {
    h.ahead -= 50;
    CHECK(h.tick(200));
    CHECK_FALSE(h.ask(210, 201).proven);
    CHECK_FALSE(h.ask(211, 149).proven);
  }
  SUBCASE("one that happened unseen between is doubted, as long as the clock shows its old times again") {
    h.look(199);  // not there yet, but this is from before the last word
    h.ahead -= 50;
    CHECK(h.tick(200));
    h.fence(205);
    CHECK_FALSE(h.ask(210, 202).proven);
    h.fence(260);
    CHECK(h.ask(270, 255).proven);
  }
  SUBCASE("in many small steps") {
    bool set_back = false;
    for (int boot = 200; boot < 210; ++boot) {
      h.ahead -= 1;
      set_back = h.tick(boot) || set_back;
      CHECK_FALSE(h.ask(boot, 103).proven);
    }
    CHECK(set_back);
  }
}

TEST_CASE("fencing: a clock set forward makes no old fencing new, and the next one proves") {
  History h;
  h.tick(0);
  h.look(0);
  h.fence(100);
  h.ahead += 3600;
  CHECK_FALSE(h.ask(200, 120).proven);
  h.fence(210);
  CHECK(h.ask(215, 120).proven);
  CHECK(h.ask(216, 209).proven);
  CHECK_FALSE(h.ask(217, 211).proven);
}

TEST_CASE("fencing: what the first look of all finds proves nothing: the clock may have been set back before") {
  History h;
  h.fence(100);
  h.ahead -= 50;  // and then the daemon begins
  h.tick(101);
  h.look(102);
  const auto verdict = h.ask(200, 101);  // the fencing seems to be from 150
  CHECK_FALSE(verdict.proven);
  CHECK_FALSE(verdict.doubt.empty());
  h.fence(205);
  CHECK(h.ask(210, 101).proven);
}
