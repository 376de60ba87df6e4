// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl evacuate: what the daemon's words from second to second come to.
#include <doctest/doctest.h>

#include "migrationctl/evacuation-view.h"

using namespace migrationctl;

namespace {

std::string domain(const std::string& resource, const std::string& phase, const std::string& here, const std::string& more = "") {
  return R"({"name": "guest-)" + resource + R"(", "resource": ")" + resource + R"(", "phase": ")" + phase + R"(", "here": ")" + here + "\"" +
         (more.empty() ? "" : ", " + more) + "}";
}

Status status(const std::string& domains) {
  auto read = read_status(R"({"node": "alpha", "domains": [)" + domains + "]}");
  REQUIRE(read.ok());
  return read.value();
}

const std::string healthy = R"("healthy": true)";
const std::string job = R"("healthy": true, "peer": "beta", "job": {"total_bytes": 104857600, "remaining_bytes": 26214400, "bytes_per_second": 1048576})";

}  // namespace

TEST_CASE("evacuation: one moves live, one is stopped and restarted, one stays") {
  const auto begin = status(domain("vm1", "held", "running", healthy) + "," + domain("vm2", "held", "running", healthy) + "," + domain("vm3", "held", "running"));
  Evacuation evacuation({"vm1", "vm2", "vm3"}, begin);
  CHECK_FALSE(evacuation.observe(begin, Milliseconds{500}));
  CHECK_FALSE(evacuation.finished());

  CHECK(evacuation.observe(status(domain("vm1", "moving", "running", job) + "," + domain("vm2", "stopping", "running") + "," + domain("vm3", "held", "running")),
                           Milliseconds{1000}));
  CHECK(evacuation.bars(0) ==
        "vm1  [##################------]  75 %  moves to beta, 25 MiB left, 1 MiB/s\n"
        "vm2  [------------------------]  0 %   is being stopped\n"
        "vm3  [------------------------]  0 %   waits\n"
        "all  [######------------------]  25 %  0 of 3 left\n");
  CHECK(Evacuation::json(evacuation.domains()[0]).dump() == R"({"resource":"vm1","state":"moving","to":"beta","percent":75,"took_ms":null})");

  const auto gone = status(domain("vm1", "gone", "absent", R"("moved_to": "beta")") + "," + domain("vm2", "gone", "absent", R"("holder": "beta")") + "," +
                           domain("vm3", "held", "running"));
  CHECK(evacuation.observe(gone, Milliseconds{3000}));
  CHECK_FALSE(evacuation.observe(gone, Milliseconds{4000}));
  CHECK_FALSE(evacuation.finished());
  evacuation.nothing_left_to_do();
  CHECK(evacuation.finished());
  evacuation.found_on("vm2", "beta");
  evacuation.found_on("vm1", "gamma");  // who moved live is known already
  CHECK_FALSE(evacuation.good());
  CHECK(evacuation.summary("alpha") ==
        "RESOURCE  RESULT      TO    AFTER\n"
        "vm1       moved live  beta  3 s\n"
        "vm2       restarted   beta  3 s\n"
        "vm3       stays       -     -\n"
        "Of 3 domains of alpha, 1 moved live, 1 restarted, 0 stopped, 1 still there.\n");
}

TEST_CASE("evacuation: good is what took all that were healthy away live") {
  const auto begin = status(domain("vm1", "held", "running", healthy) + "," + domain("vm2", "held", "running"));
  Evacuation evacuation({"vm1", "vm2"}, begin);
  evacuation.observe(status(domain("vm1", "given", "absent", R"("peer": "beta", "moved_to": "beta")")), Milliseconds{2000});
  CHECK(evacuation.finished());  // of vm2 the daemon has no record any more
  CHECK(evacuation.domains()[0].to == "beta");
  CHECK(evacuation.good());
  CHECK(Evacuation({}, begin).finished());
  CHECK(Evacuation({}, begin).good());
}

TEST_CASE("evacuation: who comes back waits again") {
  const auto begin = status(domain("vm1", "held", "running", healthy));
  Evacuation evacuation({"vm1"}, begin);
  evacuation.observe(status(domain("vm1", "moving", "running", job)), Milliseconds{1000});
  CHECK(evacuation.observe(begin, Milliseconds{2000}));
  CHECK(evacuation.domains()[0].state == Leave::waiting);
  CHECK(evacuation.domains()[0].to.empty());
}
