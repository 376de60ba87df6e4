// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop means. Pacemaker's stop says nothing of its purpose, so the meaning is read from the scheduler's
// own plan and the cluster's facts, in the order of the design's section 4:
//
//   1. target-role Stopped, disabled, deleted, definition changed, no start planned; or a fencing
//      waits for this stop                                              -> stop
//   2. something else waits for it in order to stop: what is beneath goes. An instance of a clone that
//      is active on the destination too                                 -> push, else stop
//   3. the node is shutting down                                        -> push, else stop
//   4. started on another live node                                     -> offer (short, with something beneath)
//   5. started on this node, only because a migration failed, or
//      because the cluster counts it as active on several nodes; or
//      not stopped any more, with nothing active beneath it             -> keep
//   6. anything else                                                    -> stop
//
// A resource that waits for the stop in order to be demoted counts in rule 2 like one that stops; its clone
// must be promoted on the destination then. A stop on a Pacemaker Remote node for which the node's own connection
// waits is the node's shutdown (rule 3), not a thing beneath.
//
// Active on several nodes (Pacemaker's multiple-active=stop_start): after a partition both halves may have it in their
// history, and the scheduler stops it on every one of them and starts it on one. It runs on one in truth, which the daemons
// know better, and where it does, it is kept: an offer to ourselves, or to whoever is told to start it. The stops on the other
// nodes may be done, and recorded, before this one is judged; the plan then lacks it, and the history tells.
//
// Whose plan. While the agent's stop runs, its result is not in the status section, so the scheduler plans the
// stop again, with all that waits for it: that is the plan to judge by. Two things can spoil it:
// - The controller may have recorded the stop as pending, over the history entry that made the resource active.
//   io/crm-simulate puts that back before it asks the scheduler (see there).
// - The plan has no stop of it here any more, or not yet: the configuration changed after the transition that
//   asked for the stop (a standby that was taken back at once), or the local copy of the CIB lags behind the one it was computed from.
//   Where the stop under way is recorded in that copy, it does not lag: the record comes after all that led to it. The controller
//   begins nothing more of the older plan then, and the cluster wants the domain here: it is kept (rule 5). But what lies beneath
//   may be stopping already; with anything active there, or without the record (a stop by hand, or not yet), nothing is known of who
//   waits for the stop, and to go on executing could hold up or outlive what lies beneath: a real stop (rule 6).
//   `plan_lacks_stop` says so, and the caller may ask again a moment later with a fresher CIB before it obeys.
#pragma once

#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/intent/facts.h"
#include "migrationd/intent/plan.h"

namespace migrationd::intent {

enum class Intent { stop, push, offer, keep };

struct Decision {
  Intent intent = Intent::stop;
  NodeName to;               ///< push, offer: the destination; keep: this node, or empty while it is not known; stop: empty
  std::string reason;        ///< for people
  bool short_offer = false;  ///< something beneath is active here: stands only as long as the transition, 30 s at most
  bool plan_lacks_stop = false;
  /// offer: after a failed migration, so it is kept rather than stopped when the destination is not ready, which may be
  /// why that failed.
  bool after_failed_migration = false;
  NodeName also_on;          ///< keep: the cluster counts it as active there, too; empty: nowhere
};

/// What a stop of `resource` on `node` means. The destination is taken for ready; see with_destination.
Decision decide(const Plan& plan, const Facts& facts, const std::string& resource, const NodeName& node);

/// The same decision once the destination's daemon has answered: not ready turns a push or an offer into a stop, or into a keep
/// after a failed migration.
Decision with_destination(Decision decision, bool ready, const std::string& why_not);

/// Rule 6 for a plan that could not be had: a stop, with `why`.
Decision unsure(const std::string& why);

// ---------------------------------------------------------------- a standing offer, judged again

enum class Judgement { stands, real_stop, take_back };

struct Judged {
  Judgement judgement = Judgement::stands;
  std::string reason;
};

/// Judges an offer of `node` after the CIB changed, and every 5 s. When the plan can't be had, don't judge: the offer
/// has its own deadline, and a scheduler that is slow once is no reason to end a healthy domain.
Judged judge_offer(const Plan& plan, const Facts& facts, const std::string& resource, const NodeName& node);

// ---------------------------------------------------------------- Heartbeat and init scripts

/// Why Heartbeat calls, from its script's ancestry (as wire::HeartbeatCause).
enum class HeartbeatCause { none, shutdown, standby, peer_request, roll_back, by_hand };

struct HeartbeatStop {
  HeartbeatCause cause = HeartbeatCause::none;
  std::vector<std::string> left_of_it;   ///< resources on its haresources line that are stopped after it
  NodeName peer;                         ///< the other node; empty: none is configured
};

/// What a stop by Heartbeat or an init script means. The destination is taken for ready; see with_destination. That the
/// group is here at all, and that the domain does not run on the peer, too, is not Heartbeat's to say: the engine
/// does nothing for a domain that isn't ours, and the peer's daemon is not ready for one that it has.
Decision decide_heartbeat(const HeartbeatStop& stop);

struct HeartbeatOffer {
  NodeName peer;                ///< who was to fetch it; empty: there is no other node
  bool heartbeat_here = false;  ///< Heartbeat runs on this node and is not being stopped
  bool stonith = false;         ///< ha.cf configures it
  bool peer_member = false;     ///< or linked, with no reason to ask Heartbeat
  bool peer_down = false;       ///< fenced, or Heartbeat, which has STONITH, took over from it; and it was not back since
  bool peer_left = false;       ///< its daemon said farewell: nothing runs there
  bool peer_rebooted = false;   ///< since the offer was made; it is back
  Milliseconds peer_missed{0};  ///< for how long it was neither a member nor linked
};

/// Judges a standing offer again: Heartbeat, whose peer dies in the middle of a move, believes that this node still has what
/// it stopped, and starts nothing. Silence alone takes no offer back.
Judged judge_heartbeat_offer(const HeartbeatOffer& offer);

/// Whether the peer must be fenced for the offer's sake: Heartbeat does not fence a dead peer that it thinks gave up its
/// resources, and without that nobody fetches the domain and nobody may take it back.
bool must_fence(const HeartbeatOffer& offer);

const char* to_string(Intent intent);
const char* to_string(Judgement judgement);

}  // namespace migrationd::intent
