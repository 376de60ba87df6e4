// SPDX-License-Identifier: GPL-2.0-or-later
// What migrationctl shows people of the daemon's answers: tables that line up, changes that are said once, and no
// answer that it chokes on.
#include <doctest/doctest.h>

#include <algorithm>

#include "migrationctl/status-view.h"

using namespace migrationctl;

namespace {

const char* const full = R"({"node": "alpha", "hypervisor": "answers", "warnings": ["unfenced=membership: careful"],
  "domains": [
    {"uuid": "u1", "name": "vm1", "resource": "r1", "phase": "offered", "here": "running", "detail": "", "healthy": true, "epoch": 3,
     "doubt": "", "peer": null, "holder": "alpha", "offer_left_ms": 87400},
    {"uuid": "u2", "name": "database", "resource": "", "phase": "moving", "here": "running", "detail": "", "healthy": true,
     "doubt": "waits", "peer": "beta", "holder": null, "offer_left_ms": null},
    {"uuid": "u3", "name": "vm3", "resource": "vm3", "phase": "gone", "here": "absent", "detail": "", "healthy": false,
     "doubt": "", "peer": null, "holder": "beta", "offer_left_ms": null}],
  "peers": [{"node": "beta", "linked": true, "member": true, "farewell": false},
            {"node": "gamma", "linked": false, "member": false, "farewell": true}]})";

Status status_of(const std::string& json) {
  auto status = read_status(json);
  REQUIRE_MESSAGE(status.ok(), (status.ok() ? "" : status.error()));
  return status.value();
}

}  // namespace

TEST_CASE("status-view: the tables") {
  CHECK(status_text(status_of(full), 0) ==
        "Node alpha: the hypervisor answers\n"
        "Warning: unfenced=membership: careful\n"
        "\n"
        "DOMAIN    RESOURCE  STATE HERE  PHASE    WHERE          OFFER       DOUBT\n"
        "vm1       r1        running     offered  alpha          1 min 27 s  -\n"
        "database  -         running     moving   alpha -> beta  -           waits\n"
        "vm3       vm3       absent      gone     beta           -           -\n"
        "\n"
        "NODE   LINK                  MEMBER\n"
        "beta   up                    yes\n"
        "gamma  down (left in order)  no\n");
}

TEST_CASE("status-view: an empty node") {
  CHECK(status_text(status_of(R"({"node": "alpha", "hypervisor": "does not answer"})"), 0) ==
        "Node alpha: the hypervisor does not answer\n\nNo domain is known here.\n\nNo other node is configured.\n");
}

TEST_CASE("status-view: lines end at the terminal's edge, between characters") {
  const auto status = status_of(R"({"node": "a", "domains": [{"name": "üüüüüüüüüü", "here": "absent"}]})");
  const std::string text = status_text(status, 9);
  CHECK(text.find("\nüüüüüüüü>\n") != std::string::npos);
}

TEST_CASE("status-view: a running domain that is sick is not shown as well") {
  const auto domain = read_domain(R"json({"name": "vm1", "phase": "held", "here": "running", "detail": "paused (I/O error)", "healthy": false})json");
  REQUIRE(domain.ok());
  CHECK(domain_text(domain.value(), "alpha") ==
        "Domain vm1: held on alpha, running here: paused (I/O error) (not healthy).\nNo decision about it since the daemon started.\n");
}

TEST_CASE("status-view: the state here is a word of the manual, with what the hypervisor adds") {
  const auto shown = [](const std::string& here, const std::string& detail) {
    const auto status = status_of(R"({"node": "a", "domains": [{"name": "vm1", "phase": "gone", "healthy": true, "here": ")" + here +
                                  R"(", "detail": ")" + detail + "\"}]}");
    return changes(std::nullopt, status).back();
  };
  CHECK(shown("unknown", "libvirt doesn't answer") == "vm1: gone, unknown here: libvirt doesn't answer");
  CHECK(shown("absent", "not here") == "vm1: gone, absent here");
  CHECK(shown("paused", "a complete copy, not resumed yet") == "vm1: gone, paused here: a complete copy, not resumed yet");
  CHECK(shown("paused", "paused (switchover)") == "vm1: gone, paused (switchover) here");
  CHECK(shown("running", "running") == "vm1: gone, last held by a, running here");
}

TEST_CASE("status-view: what a terminal would obey is not printed") {
  const auto status = status_of(R"({"node": "a", "domains": [{"name": "x\u001b[2J\n\u009by", "here": "absent"}]})");
  const std::string text = status_text(status, 0);
  CHECK(text.find("x?[2J??y") != std::string::npos);
  CHECK(text.find('\033') == std::string::npos);
}

TEST_CASE("status-view: changes are said once, time that passes is none") {
  const Status first = status_of(full);
  CHECK(changes(std::nullopt, first) ==
        std::vector<std::string>{"the hypervisor answers", "warning: unfenced=membership: careful", "node beta: linked, member",
                                 "node gamma: left in order", "vm1: offered on alpha, running here",
                                 "database: moving alpha -> beta, running here; waits", "vm3: gone, last held by beta, absent here"});
  Status later = first;
  later.domains[0].offer_left = Milliseconds{80000};
  CHECK(changes(first, later).empty());
  later.domains[1].phase = "given";
  later.domains[1].here = "absent";
  later.domains[1].doubt = "";
  later.domains.pop_back();
  later.peers[0].linked = false;
  CHECK(changes(first, later) == std::vector<std::string>{"node beta: not linked, member", "database: given on beta, absent here",
                                                          "vm3: not known here any more"});
}

TEST_CASE("status-view: a migration's progress has a table, and a line whenever it went on") {
  const char* const moving = R"({"node": "alpha", "hypervisor": "answers", "domains": [
    {"name": "vm1", "phase": "moving", "here": "running", "healthy": true, "peer": "beta",
     "job": {"elapsed_ms": 4200, "total_bytes": 134217728, "remaining_bytes": 35651584, "bytes_per_second": 30408704, "iteration": 2,
             "plan": "it converges"}},
    {"name": "by-hand", "phase": "held", "here": "running", "healthy": true, "peer": null, "job": {"elapsed_ms": 100}},
    {"name": "queued", "phase": "moving", "here": "running", "healthy": true, "peer": "beta", "job": {"elapsed_ms": 0, "plan": "waits for its turn"}},
    {"name": "still", "phase": "held", "here": "running", "healthy": true, "peer": null, "job": null}]})";
  const Status status = status_of(moving);
  CHECK(status_text(status, 0).find("\n\n"
                                    "MIGRATION  WAY            DONE  LEFT    OF       RATE      PASS  TIME  PLAN\n"
                                    "vm1        alpha -> beta  73 %  34 MiB  128 MiB  29 MiB/s  2     4 s   it converges\n"
                                    "by-hand    alpha -> ?     -     -       -        -         -     0 s   -\n"
                                    "queued     alpha -> beta  -     -       -        -         -     0 s   waits for its turn\n"
                                    "\n") != std::string::npos);
  const auto first = changes(std::nullopt, status);
  CHECK(std::find(first.begin(), first.end(), "vm1: migration alpha -> beta: 73 % done, 34 MiB of 128 MiB left, 29 MiB/s, pass 2, 4 s; it converges") != first.end());
  CHECK(std::find(first.begin(), first.end(), "by-hand: migration alpha -> ?: begins, 0 s") != first.end());
  CHECK(std::find(first.begin(), first.end(), "queued: migration alpha -> beta: waits for its turn") != first.end());
  CHECK(changes(status, status).empty());
  Status later = status;
  later.domains[0].job->remaining_bytes = 0;
  later.domains[0].job->elapsed = Milliseconds{5000};
  later.domains[1].job.reset();
  CHECK(changes(status, later) == std::vector<std::string>{"vm1: migration alpha -> beta: 100 % done, 0 KiB of 128 MiB left, 29 MiB/s, pass 2, 5 s; it converges"});
  later.domains[0].job->remaining_bytes = 1ull << 40;  // more than all of it: never less than nothing
  CHECK(changes(status, later).front().find(": 0 % done, 1024 GiB of 128 MiB") != std::string::npos);
}

TEST_CASE("status-view: the history has its times and marks what people must look at") {
  const auto domain = read_domain(R"({"name": "vm1", "phase": "offered", "here": "running", "healthy": true, "offer_left_ms": 200000,
    "history": [{"ago_ms": 7500000, "text": "taken back", "alarm": false}, {"ago_ms": 61000, "text": "it died", "alarm": true}]})");
  REQUIRE(domain.ok());
  CHECK(domain_text(domain.value(), "alpha") ==
        "Domain vm1: offered on alpha, running here.\n"
        "Its offer stands for another 3 min 20 s, then it is really stopped.\n"
        "Recent decisions on alpha:\n"
        "  2 h 5 min ago     taken back\n"
        "  1 min 1 s ago  !  it died\n");
}

TEST_CASE("status-view: an answer of another version is refused or read as far as it goes, never choked on") {
  for (const char* bad : {"", "[]", "{", "7", R"({"node": 7})", R"({"domains": {}})", R"({"domains": [7]})", R"({"peers": [null]})", R"({"domains": [{"history": [7]}]})", R"({"warnings": [null]})",
                          R"({"domains": [{"offer_left_ms": "soon"}]})",
                          R"({"domains": [{"job": 7}]})", R"({"domains": [{"job": {"total_bytes": "all"}}]})", R"({"peers": [{"linked": "yes"}]})"}) {
    const std::string shown = bad;
    CAPTURE(shown);
    const auto status = read_status(bad);
    CHECK(!status.ok());
    if (!status.ok()) CHECK(status.error().find("version") != std::string::npos);
  }
  CHECK(status_of(R"({"node": "a", "novelty": {"x": 1}})").node == "a");
}
