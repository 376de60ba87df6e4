// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop by Heartbeat or an init script means.
#include <doctest/doctest.h>

#include <string>

#include "migrationd/intent/intent.h"

using namespace migrationd::intent;

namespace {
bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("intent: Heartbeat") {
  HeartbeatStop stop;
  stop.peer = "hb2";
  stop.peer_ready = true;
  SUBCASE("going down, to standby, or taken over: an offer to the peer") {
    for (const auto cause : {HeartbeatCause::shutdown, HeartbeatCause::standby, HeartbeatCause::peer_request, HeartbeatCause::roll_back}) {
      stop.cause = cause;
      CHECK(decide_heartbeat(stop).intent == Intent::offer);
      CHECK(decide_heartbeat(stop).to == "hb2");
    }
  }
  SUBCASE("something stands left of it: a push") {
    stop.cause = HeartbeatCause::shutdown;
    stop.left_of_it = {"IPaddr::10.0.0.9", "Filesystem::/dev/vdb"};
    CHECK(decide_heartbeat(stop).intent == Intent::push);
    CHECK(says(decide_heartbeat(stop).reason, "Filesystem"));
  }
  SUBCASE("by hand, or from nobody knows whom: a real stop") {
    for (const auto cause : {HeartbeatCause::by_hand, HeartbeatCause::none}) {
      stop.cause = cause;
      CHECK(decide_heartbeat(stop).intent == Intent::stop);
      CHECK_FALSE(decide_heartbeat(stop).nothing_to_do);
    }
  }
  SUBCASE("no peer, or not ready: a real stop with the reason") {
    stop.cause = HeartbeatCause::shutdown;
    stop.peer_ready = false;
    stop.why_not_ready = "not enough memory";
    CHECK(decide_heartbeat(stop).intent == Intent::stop);
    CHECK(says(decide_heartbeat(stop).reason, "not enough memory"));
    stop.peer.clear();
    CHECK(decide_heartbeat(stop).intent == Intent::stop);
  }
  SUBCASE("a group that is not here: nothing is done, whoever asks") {
    stop.group_here = false;
    stop.runs_twice = true;
    for (const auto cause : {HeartbeatCause::shutdown, HeartbeatCause::by_hand}) {
      stop.cause = cause;
      CHECK(decide_heartbeat(stop).nothing_to_do);
    }
  }
  SUBCASE("a domain that runs twice is never offered") {
    stop.cause = HeartbeatCause::standby;
    stop.runs_twice = true;
    CHECK(decide_heartbeat(stop).intent == Intent::stop);
    CHECK_FALSE(decide_heartbeat(stop).nothing_to_do);
  }
}
