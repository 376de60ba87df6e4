// SPDX-License-Identifier: GPL-2.0-or-later
// Alarms and events as people read them.
#include <doctest/doctest.h>

#include "migrationctl/alarm-view.h"

using namespace migrationctl;

namespace {
const std::string list = R"({"node": "alpha", "left_off": 2, "alarms": [
  {"id": 3, "kind": "domain-unhealthy", "severity": "critical", "subject": {"what": "domain", "name": "vm1", "uuid": "u", "resource": "r1"},
   "text": "paused \u001b[31m", "raised": "yesterday", "last": "today", "count": 4, "acknowledged": null, "acknowledged_by": "", "cleared": null, "cleared_why": ""},
  {"id": 2, "kind": "fencing-failed", "severity": "critical", "subject": {"what": "node", "name": "beta", "uuid": "", "resource": ""},
   "text": "no device", "raised": "a", "last": "a", "count": 1, "acknowledged": "b", "acknowledged_by": "ann", "cleared": "c", "cleared_why": "it was fenced"}]})";
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("alarm view: those that stand, and those that were") {
  const auto shown = read_alarms(list);
  REQUIRE(shown.ok());
  const std::string stand = alarms_text(shown.value(), false, 0);
  CHECK(has(stand, "ALARM  SEVERITY  SINCE      TIMES  ABOUT     SEEN BY  KIND              TEXT\n"));
  CHECK(has(stand, "3      critical  yesterday  4      vm1 (r1)  -        domain-unhealthy  paused "));
  CHECK_FALSE(has(stand, "\033"));
  CHECK_FALSE(has(stand, "beta"));
  const std::string all = alarms_text(shown.value(), true, 0);
  CHECK(has(all, "2        c   a      1      node beta  ann      fencing-failed  it was fenced  no device\n"));
  CHECK(has(all, "2 older ones are left off.\n"));
  CHECK(alarms_text({"alpha", {}, 0}, true, 0) == "No alarm stands on alpha.\n");
}

TEST_CASE("alarm view: events") {
  const auto shown = read_events(R"({"node": "alpha", "lost": 3, "last": 9, "events": [
    {"number": 8, "at": "now", "kind": "link-up", "subject": {"what": "node", "name": "beta"}, "text": "the link to beta is up", "alarm": null},
    {"number": 9, "at": "now", "kind": "notice", "subject": {"what": "daemon"}, "text": "ready"}]})");
  REQUIRE(shown.ok());
  CHECK(shown.value().lost == 3);
  REQUIRE(shown.value().events.size() == 2);
  CHECK(event_text(shown.value().events[0]) == "now 8 link-up node beta: the link to beta is up");
  CHECK(event_text(shown.value().events[1]) == "now 9 notice ready");
  CHECK_FALSE(has(shown.value().events[0].json, "\n"));
}

TEST_CASE("alarm view: what isn't understood is said") {
  for (const char* wrong : {"", "[]", "{}", "{\"alarms\": 7}", "{\"alarms\": [{\"id\": \"x\"}]}", "{\"events\": [{\"at\": 3}]}"}) {
    CHECK_FALSE(read_alarms(wrong).ok());
    CHECK_FALSE(read_events(wrong).ok());
  }
}

TEST_CASE("alarm view: the time is the reader's") {
  CHECK(local_time("2023-11-14T22:13:20.007Z").size() == std::string("2023-11-14 22:13:20").size());
  CHECK(local_time("?") == "?");
}
