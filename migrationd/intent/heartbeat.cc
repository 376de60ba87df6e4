// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop by Heartbeat, or of an init script, means, and when an offer is taken back under Heartbeat. Heartbeat stops a
// line of haresources from right to left: what stands left of the domain is stopped next, so an offer would lose what
// it stands on.
#include "migrationd/intent/intent.h"

namespace migrationd::intent {

namespace {

/// What happens to the group, when it goes to the other node; nullptr when this stop is no move.
const char* move_in_words(HeartbeatCause cause) {
  switch (cause) {
    case HeartbeatCause::shutdown: return "Heartbeat shuts down here";
    case HeartbeatCause::standby: return "this node gives its resources away";
    case HeartbeatCause::peer_request: return "the peer takes the group over";
    case HeartbeatCause::roll_back: return "the group could not be started here and is handed to the peer";
    case HeartbeatCause::none: return nullptr;
    case HeartbeatCause::by_hand: return nullptr;
  }
  return nullptr;
}

/// The domain runs on meanwhile, so there is no haste. After a cut the peer, which waits for this node's fencing to start
/// the domain, asks for it at once: it shall not be shot in return.
constexpr Milliseconds missed_long_enough{10'000};

}  // namespace

Decision decide_heartbeat(const HeartbeatStop& stop) {
  const char* move = move_in_words(stop.cause);
  if (!move)
    return {Intent::stop, {}, stop.cause == HeartbeatCause::by_hand ? "the stop was asked for by hand"
                                                                    : "it is not known who asked for the stop"};
  const std::string why = move;
  if (stop.peer.empty()) return {Intent::stop, {}, why + ", and there is no other node"};
  if (!stop.left_of_it.empty())
    return {Intent::push, stop.peer, why + ", and " + stop.left_of_it.back() + " is stopped next on its haresources line"};
  return {Intent::offer, stop.peer, why};
}

Judged judge_heartbeat_offer(const HeartbeatOffer& offer) {
  if (offer.peer.empty()) return {Judgement::stands, "there is no other node that could have been fenced"};
  if (offer.peer_left && !offer.peer_member) {  // else only its daemon ended, and may come back
    const std::string why = offer.peer + " has shut down while it was to fetch the domain";
    if (!offer.heartbeat_here) return {Judgement::real_stop, why + ", and Heartbeat does not run here"};
    return {Judgement::take_back, why};
  }
  if (!offer.heartbeat_here) return {Judgement::stands, "Heartbeat does not run here: " + offer.peer + " fetches it, or its time ends"};
  // Heartbeat, here, ended the move when the peer went down, and the peer's knows nothing of it.
  if (offer.peer_rebooted) return {Judgement::take_back, offer.peer + " went down while it was to fetch the domain"};
  if (offer.peer_member) return {Judgement::stands, offer.peer + " is there to fetch it"};
  if (!offer.peer_down) return {Judgement::stands, offer.peer + " is silent, which proves nothing"};
  return {Judgement::take_back, offer.peer + " was fenced while it was to fetch the domain"};
}

bool must_fence(const HeartbeatOffer& offer) {
  const bool nobody_comes = offer.heartbeat_here && !offer.peer_member && !offer.peer_down && !offer.peer_left;
  return nobody_comes && offer.stonith && offer.peer_missed >= missed_long_enough;
}

}  // namespace migrationd::intent
