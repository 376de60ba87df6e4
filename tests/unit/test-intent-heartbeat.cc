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
    }
  }
  SUBCASE("no peer: a real stop with the reason") {
    stop.cause = HeartbeatCause::shutdown;
    stop.peer.clear();
    CHECK(decide_heartbeat(stop).intent == Intent::stop);
    CHECK(says(decide_heartbeat(stop).reason, "there is no other node"));
  }
  SUBCASE("a peer that is not ready: a real stop with the reason") {
    stop.cause = HeartbeatCause::shutdown;
    stop.left_of_it = {"IPaddr::10.0.0.9"};
    const Decision refused = with_destination(decide_heartbeat(stop), false, "not enough memory");
    CHECK(refused.intent == Intent::stop);
    CHECK(says(refused.reason, "hb2 is not ready: not enough memory"));
  }
}

TEST_CASE("intent: an offer under Heartbeat, judged again") {
  HeartbeatOffer offer{"hb2", true, false, true};
  CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  SUBCASE("the peer was fenced in the middle of the move, and Heartbeat starts nothing here: taken back") {
    offer.peer_fenced = true;
    offer.peer_member = false;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::take_back);
    CHECK(says(judge_heartbeat_offer(offer).reason, "hb2 was fenced"));
  }
  SUBCASE("silence is no fencing: the offer stands until its deadline") {
    offer.peer_member = false;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("a fencing of before, and the peer is back: it fetches it") {
    offer.peer_fenced = true;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("Heartbeat has left this node: there's nobody to take it back for") {
    offer = {"hb2", false, true, false};
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("no other node") { CHECK(judge_heartbeat_offer({"", true, true, false}).judgement == Judgement::stands); }
}
