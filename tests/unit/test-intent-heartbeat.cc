// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop by Heartbeat or an init script means.
#include <doctest/doctest.h>

#include <string>

#include "tests/unit/intent-cluster.h"

using namespace migrationd::intent;

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
  HeartbeatOffer offer;
  offer.peer = "hb2";
  offer.heartbeat_here = offer.stonith = offer.peer_member = true;
  CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  SUBCASE("the peer was fenced in the middle of the move, and Heartbeat starts nothing here: taken back") {
    offer.peer_down = true;
    offer.peer_member = false;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::take_back);
    CHECK(says(judge_heartbeat_offer(offer).reason, "hb2 was fenced"));
  }
  SUBCASE("silence is no fencing: the offer stands until its deadline") {
    offer.peer_member = false;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("a fencing of before, and the peer is back: it fetches it") {
    offer.peer_down = true;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("Heartbeat has left this node: there's nobody to take it back for") {
    offer.heartbeat_here = offer.peer_member = false;
    offer.peer_down = true;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("the peer has shut down: taken back, or really stopped where nobody would look after it") {
    offer.peer_member = false;
    offer.peer_left = true;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::take_back);
    offer.heartbeat_here = false;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::real_stop);
  }
  SUBCASE("the peer went down and is back already") {
    offer.peer_rebooted = true;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::take_back);
    offer.heartbeat_here = false;  // then it gets everything at its boot
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
  SUBCASE("no other node") {
    offer.peer.clear();
    offer.peer_down = true;
    offer.peer_member = false;
    CHECK(judge_heartbeat_offer(offer).judgement == Judgement::stands);
  }
}

TEST_CASE("intent: a peer that is long missed is fenced for the offer's sake, and nobody else") {
  HeartbeatOffer offer;
  offer.peer = "hb2";
  offer.heartbeat_here = offer.stonith = true;
  offer.peer_missed = migrationd::Milliseconds{10'000};
  bool fence = false;
  SUBCASE("long missed") { fence = true; }
  SUBCASE("just now") { offer.peer_missed = migrationd::Milliseconds{9'999}; }
  SUBCASE("a member, or linked") { offer.peer_member = true; }
  SUBCASE("down already") { offer.peer_down = true; }
  SUBCASE("it has shut down") { offer.peer_left = true; }
  SUBCASE("nothing to fence it with") { offer.stonith = false; }
  SUBCASE("Heartbeat leaves this node") { offer.heartbeat_here = false; }
  CHECK(must_fence(offer) == fence);
}
