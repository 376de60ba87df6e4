// SPDX-License-Identifier: GPL-2.0-or-later
// Who may run a domain, now. One pure function, step(state, event) -> state, journal, actions, is the only
// place of the project where that is decided; everything else carries out what it says.
//
// One State per domain and node. The source's half and the destination's half of a hand-off are phases of
// the same state, because a node is both over time:
//
//             start, nothing anywhere: boot
//   gone ---------> claim ------------------------> held ----------> stopping ---> gone
//    ^ ^             | |  given: resume the copy      | stop = offer    ^  real stop, deadline
//    | |  released   | |                              v                 |
//    | +-------------+ | stop, time up              offered -----------+
//    |                 v                              | claim (also from held, for a push)
//    +------------ withdrawn                          v
//    |                                              moving ---> offered or held (the job failed)
//    |                    acknowledged                | migrated away, seen
//    +--------------------------------------------- given
//
// Post-copy: in `moving` the switch to it is ordered, on disk first; when the hypervisor shows it, the domain is `given`, though
// what is left of it here (`remains`) is needed until the peer has all the memory. The peer executes it only once it holds it.
//
// Rules held here (design, section 5): at most one node runs the domain; what must be on disk is journalled
// before any of the step's actions are carried out; a deadline is never proof of absence.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "migrationd/base/alarm.h"
#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationd::handoff {

enum class Phase {
  gone,       ///< nothing here, and nothing is started before asking: the state without a record, too
  claim,      ///< own start (or an invitation) has asked the others for it
  withdrawn,  ///< the claim was taken back; it isn't known yet whether somebody gave us the domain
  held,       ///< ours: runs here, or is just being booted or resumed here
  offered,    ///< ours and running, but to be fetched: the cluster manager believes it stopped
  moving,     ///< a job carries it to `peer`
  stopping,   ///< is being shut down; its death isn't verified yet
  given,      ///< it runs, or may run, at `peer`, who hasn't acknowledged yet
};

/// What the hypervisor of this node shows of the domain, from a complete and fresh look.
enum class Here {
  absent,    ///< proven: not listed, no emulator process, and not within the reboot gap
  running,   ///< executes (or is paused by a guest's or an administrator's wish: it would execute by itself)
  paused,    ///< a complete image that does not execute: an arrived copy, or a source after a failed job
  incoming,  ///< a copy that is still arriving
  remains,   ///< the source's half of a migration in post-copy: the destination fetches memory from it; it must never execute again
  unknown,   ///< the hypervisor is silent or the look is stale. Never taken for absent
};

/// Who last held the domain, as far as the members told each other. A reinstalled node (same name, other
/// installation) can't speak for the old one.
struct Holder {
  NodeName node;
  std::string installation;
  Epoch epoch;
  bool operator==(const Holder&) const = default;
};

/// How a node was proven absent without its own word.
enum class Proof { fenced, farewell, not_member };

/// What a node that was asked has said, or was proven of it.
struct Answer {
  enum class Kind { gone, released, left, proven };  ///< left: it said farewell
  Kind kind = Kind::gone;
  std::string installation;  ///< gone: of the node that said so
  bool by_proof() const { return kind == Kind::left || kind == Kind::proven; }
  bool operator==(const Answer&) const = default;
};

/// What a holder has ordered and not yet seen done.
enum class Due { nothing, boot, resume };

/// An action of the cluster manager that waits for its answer; 0 is none. Given out by the engine.
using Token = std::uint64_t;

struct State {
  // --- journalled ---
  Phase phase = Phase::gone;
  Epoch epoch;                        ///< the largest known
  Attempt own;                        ///< our last attempt as claimer
  Attempt open;                       ///< claim, withdrawn: the first of our attempts not answered by all yet
  std::map<NodeName, Attempt> last;   ///< the last attempt seen of each claimer
  NodeName peer;                      ///< moving, given: who gets it
  Attempt serving;                    ///< moving, given: the peer's attempt
  bool from_held = false;             ///< moving: back to held when the job fails (a push, or taken back meanwhile), not to offered
  bool invited = false;               ///< claim, withdrawn: asked by a holder's push; never boots
  std::set<NodeName> asked;           ///< claim, withdrawn: the nodes whose word is needed
  Due due = Due::nothing;             ///< held: not known to execute yet
  bool was_offered = false;           ///< stopping: the cluster manager believes it stopped already
  Milliseconds offer_left{0};         ///< offered, moving: what is left of the offer (a rest while moving)
  Instant offer_ends;                 ///< offered: the deadline, in this boot's time
  bool post_copy = false;             ///< moving: the switch to it is ordered; given: what remains here is needed; held: given so, and not known to execute
  Holder noted;                       ///< last holder told by anybody

  // --- forgotten by a crash of the daemon ---
  Token start = 0;                    ///< the start that waits
  Token stop = 0;                     ///< the stop that waits
  Token push = 0;                     ///< the migrate_to that waits
  bool stop_is_real = false;
  NodeName inviting;                  ///< held: the node we asked to claim (push)
  std::map<NodeName, Answer> answers;
  NodeName given_by;                  ///< claim, withdrawn: given, but the copy is still arriving
  Attempt given_attempt;
  Epoch given_epoch;
  bool given_post_copy = false;
  bool acknowledged = false;          ///< given in post-copy: the peer has it, or has nothing of it
  bool useless = false;               ///< given in post-copy: the peer needs nothing of what remains here
  bool aborting = false;              ///< moving: the job was told to end
  bool dropping = false;              ///< a copy is being destroyed here: too late to accept it
  std::string doubt;                  ///< why the action that waits isn't finished, for people

  bool operator==(const State&) const = default;
};

/// What a stop of a healthy running domain means (decided by the room `intent`).
enum class StopMeaning { real, offer };

/// An offer, judged anew.
enum class Judgement { stands, real_stop, take_back };

/// How a job ended, as seen here at the source.
enum class JobEnd {
  runs_here,    ///< it failed, and the domain executes here
  paused_here,  ///< it failed, and the domain is stopped here, resumable
  migrated,     ///< the emulator is dead after a switchover that was seen
  vanished,     ///< the domain is gone, cause unknown
};

namespace event {
/// The cluster manager's start, or our own retry of it.
struct Start { Token token; };
/// The start's agent is gone or its time is up.
struct StartEnded { Token token; std::string why; };
/// The cluster manager's stop. `offer_for`: how long an offer stands.
struct Stop { Token token; StopMeaning meaning; Milliseconds offer_for{0}; };
/// The cluster manager's migrate_to.
struct Push { Token token; NodeName to; };
/// The push's time is nearly up, or its destination refuses: end it in order.
struct PushEnded { Token token; std::string why; };
/// A holder asks us to claim (its push).
struct Invite { NodeName from; };
/// `claimable`: this node may part with a domain it holds without an offer (no other live cluster manager
/// stands behind it). `why_not`: the reason, when not. `epoch`: the largest that the claimer knew.
/// `post_copy`: the claimer knows what post-copy is.
struct Claim { NodeName from; Attempt attempt; bool claimable; std::string why_not; Epoch epoch; bool post_copy = false; };
struct Withdraw { NodeName from; Attempt attempt; };
/// `post_copy`: its memory is still to be fetched from there.
struct Given { NodeName from; Attempt attempt; Epoch epoch; bool post_copy = false; };
struct Released { NodeName from; Attempt attempt; std::string why; };
/// `installation`: the sender's own; `noted`: whom it knows as last holder.
struct Gone { NodeName from; Attempt attempt; Epoch epoch; std::string installation; Holder noted; };
/// `fetching`: it still needs what remains of the domain here.
struct Acknowledged { NodeName from; Attempt attempt; bool fetching = false; };
/// A claim was heard, but its answer must wait for the reason given.
struct Wait { NodeName from; Attempt attempt; std::string why; };
/// A member says that it holds the domain.
struct Note { Holder holder; };
/// `node` is proven absent without its word.
struct Proven { NodeName node; Proof proof; };
/// `node` spoke again: its proof no longer counts.
struct Unproven { NodeName node; };
/// The job for `attempt` came to an end here at the source.
struct JobEnded { Attempt attempt; JobEnd end; std::string why{}; };
/// The job for `attempt` won't end in time otherwise, and may go over to post-copy.
struct SwitchWanted { Attempt attempt; };
/// The switch that was ordered was refused: it did not happen, and will not.
struct SwitchRefused { Attempt attempt; std::string why; };
/// What the hypervisor shows of the domain changed (see Context::here); also its verified death.
struct HereChanged {};
/// The boot or the resume that we ordered is done. `what`: which of the two; nothing: whichever is due.
struct Executes { Due what = Due::nothing; };
/// The boot that we ordered failed.
struct BootFailed { std::string why; };
struct DestroyFailed { std::string why; };
/// The offer's time is up.
struct Deadline {};
struct Judged { Judgement judgement; std::string why; };
/// Withdrawn, and the waiting stop has only a third of its time left.
struct TimeShort {};
/// The daemon came up with this record, and the hypervisor was looked at.
struct Recovered {};
/// The administrator's word: nothing of `node`'s old installation can run any more.
struct Forget { NodeName node; };
/// Time to send again what has not been answered.
struct Resend {};
}  // namespace event

using Event = std::variant<event::Start, event::StartEnded, event::Stop, event::Push, event::PushEnded, event::Invite,
                           event::Claim, event::Withdraw, event::Given, event::Released, event::Gone, event::Acknowledged,
                           event::Wait, event::Note, event::Proven, event::Unproven, event::JobEnded, event::HereChanged,
                           event::Executes, event::BootFailed, event::DestroyFailed, event::Deadline, event::Judged,
                           event::TimeShort, event::Recovered, event::Forget, event::Resend, event::SwitchWanted,
                           event::SwitchRefused>;

namespace action {
// --- messages to other nodes ---
struct SendClaim { NodeName to; Attempt attempt; Epoch epoch; };
struct SendWithdraw { NodeName to; Attempt attempt; };
struct SendGiven { NodeName to; Attempt attempt; Epoch epoch; bool post_copy = false; };
struct SendReleased { NodeName to; Attempt attempt; std::string why; };
struct SendGone { NodeName to; Attempt attempt; Epoch epoch; Holder noted; };
/// Says only that the claim was heard and why it isn't answered yet; commits to nothing.
struct SendWait { NodeName to; Attempt attempt; std::string why; };
struct SendAcknowledged { NodeName to; Attempt attempt; bool fetching = false; };
struct SendInvite { NodeName to; };
struct SendRefusal { NodeName to; std::string why; };
/// Tell all members that we hold it.
struct SendNote { Epoch epoch; };
// --- to the hypervisor ---
struct Boot {};
/// `post_copy`: it may be begun so that it can go over to post-copy.
struct StartJob { NodeName to; Attempt attempt; bool post_copy = false; };
/// Never once the switch to post-copy is ordered: the hypervisor would let both sides execute.
struct AbortJob {};
/// The job for `attempt` goes over to post-copy as soon as it can.
struct StartPostCopy { Attempt attempt; };
/// The copy that `from` sends for `attempt` may execute as soon as it can: it was given, and that is on disk.
struct LetRun { NodeName from; Attempt attempt; };
/// Watch the job of before the daemon came up; if it has ended already, find out how.
struct WatchJob { Attempt attempt; };
/// Let a paused domain of ours execute: a source after a failed job, or a copy that was given to us.
struct Resume {};
struct DropCopy {};
/// Shut down, then destroy, then verify. `at_once`: destroy without asking the guest.
struct ShutDown { bool at_once; };
// --- timers and helpers outside the daemon ---
struct ArmOffer { Instant ends; };
struct DisarmOffer {};
struct RequestFencing { NodeName node; std::string why; };
// --- to the cluster manager ---
struct AnswerStart { Token token; bool ok; std::string why; };
struct AnswerStop { Token token; bool ok; std::string why; };
struct AnswerPush { Token token; bool ok; std::string why; };
/// The stop that waited came upon a domain given to us meanwhile: decide its meaning and send it again.
struct RejudgeStop { Token token; };
/// Claim again after a pause: another claim went first.
struct RetryStart { Token token; };
/// For the log and `explain`; with `alarm` people must look.
struct Say { std::string text; std::optional<AlarmKind> alarm; };
}  // namespace action

using Action = std::variant<action::SendClaim, action::SendWithdraw, action::SendGiven, action::SendReleased,
                            action::SendGone, action::SendWait, action::SendAcknowledged, action::SendInvite,
                            action::SendRefusal, action::SendNote, action::Boot, action::StartJob, action::AbortJob,
                            action::WatchJob, action::Resume, action::DropCopy, action::ShutDown, action::ArmOffer,
                            action::DisarmOffer, action::RequestFencing, action::AnswerStart, action::AnswerStop,
                            action::AnswerPush, action::RejudgeStop, action::RetryStart, action::Say,
                            action::StartPostCopy, action::LetRun>;

enum class Journal {
  unchanged,    ///< nothing to write
  required,     ///< on disk before the actions, or the step did not happen (take journal_failed() instead)
  best_effort,  ///< written before the actions, but they are safe without it
};

struct Step {
  State next;
  Journal journal = Journal::unchanged;
  std::vector<Action> actions;
};

/// The nodes of the cluster, by configuration: no membership is invented here.
struct Cluster {
  NodeName self;
  std::string installation;    ///< our installation UUID
  std::uint64_t incarnation;   ///< of this daemon; grows with each start
  std::set<NodeName> others;   ///< all configured nodes but ourselves
};

/// What is true at the moment of the event.
struct Context {
  Instant now;
  Here here = Here::unknown;
  bool fetching = false;  ///< what executes here still gets memory from where it came from
};

/// The one decision. Never fails; what can't be done is answered with its reason.
Step step(const Cluster& cluster, const State& state, const Context& context, const Event& event);

/// `lost` needed a record on disk that couldn't be written, so it did not happen: what happens instead.
/// An offer becomes a real stop; a start or push fails with the reason; the rest is only said.
Step journal_failed(const Cluster& cluster, const State& state, const Context& context, const Event& lost,
                    const std::string& why);

/// Whether the two differ in what is journalled.
bool same_on_disk(const State& a, const State& b);

/// What `monitor` says.
enum class Monitor { running, not_running, failed, unknown };
Monitor monitor(const State& state, Here here);

/// Whether a copy that `from` sends for `attempt` may begin to arrive now; else why not.
Outcome awaits_copy(const State& state, const NodeName& from, Attempt attempt);

const char* to_string(Phase phase);
const char* to_string(Here here);
std::string to_string(const Event& event);
std::string to_string(const Action& action);

}  // namespace migrationd::handoff
