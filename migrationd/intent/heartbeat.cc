// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop by Heartbeat, or of an init script, means. Heartbeat stops a line of haresources from right to
// left: what stands left of the domain is stopped next, so an offer would lose what it stands on.
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

}  // namespace

Decision decide_heartbeat(const HeartbeatStop& stop) {
  if (!stop.group_here) {
    Decision nothing{Intent::stop, {}, "the group is not held by this node: nothing is done"};
    nothing.nothing_to_do = true;
    return nothing;
  }
  if (stop.runs_twice) return {Intent::stop, {}, "the domain runs on another node too: it is never handed over then"};
  const char* move = move_in_words(stop.cause);
  if (!move)
    return {Intent::stop, {}, stop.cause == HeartbeatCause::by_hand ? "the stop was asked for by hand"
                                                                    : "it is not known who asked for the stop"};
  const std::string why = move;
  if (stop.peer.empty()) return {Intent::stop, {}, why + ", and there is no other node"};
  if (!stop.peer_ready)
    return {Intent::stop, {}, why + ", but " + stop.peer + " is not ready" +
                                  (stop.why_not_ready.empty() ? "" : ": " + stop.why_not_ready)};
  if (!stop.left_of_it.empty())
    return {Intent::push, stop.peer, why + ", and " + stop.left_of_it.back() + " is stopped next on its haresources line"};
  return {Intent::offer, stop.peer, why + ", and " + stop.peer + " is ready"};
}

}  // namespace migrationd::intent
