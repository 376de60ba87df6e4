// SPDX-License-Identifier: GPL-2.0-or-later
// What the cluster managers' own files say decides who must be asked before a boot: a node that is missed
// there would not be asked.
#include <doctest/doctest.h>

#include "migrationd/io/corosync.h"
#include "migrationd/io/heartbeat-files.h"
#include "migrationd/io/pacemaker.h"

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
  CHECK_FALSE(cf.value().stonith);
  CHECK(parse_ha_cf("node a b\nstonith_host * external/lab x\n").value().stonith);
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

TEST_CASE("cluster files: only a successful power fencing counts, and how long ago it was") {
  const std::string history =
      "<pacemaker-result api-version=\"2.25\"><fence_history target=\"node2\">"
      "<fence_event action=\"reboot\" target=\"node2\" status=\"failed\" completed=\"1970-01-01 00:16:30Z\"/>"
      "<fence_event action=\"on\" target=\"node2\" status=\"success\" completed=\"1970-01-01 00:16:31Z\"/>"
      "<fence_event action=\"reboot\" target=\"node2\" status=\"success\" completed=\"1970-01-01 01:15:00 +01:00\"/>"
      "</fence_history></pacemaker-result>";
  const auto age = newest_fencing(history, 1000);
  REQUIRE(age.ok());
  REQUIRE(age.value());
  CHECK(*age.value() == 100);  // 00:15:00 is 900 s
  CHECK_FALSE(newest_fencing("<pacemaker-result/>", 1000).value());
  CHECK_FALSE(newest_fencing("stonith_admin: no history", 1000).ok());
}
