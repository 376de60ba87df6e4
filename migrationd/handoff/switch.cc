// SPDX-License-Identifier: GPL-2.0-or-later
// Post-copy. At the source, from the order to switch until nothing of the domain is left here: whatever becomes of the
// destination after the switch, this side never executes the domain again; what remains of it only serves its memory. And at the
// destination, where it dies in the middle of it.
#include "migrationd/handoff/stepper.h"

namespace migrationd::handoff {

/// On disk before it is ordered, so that a daemon that comes up in the middle of it does not abort it either.
void Stepper::on(const event::SwitchWanted& e) {
  if (s_.phase != Phase::moving || e.attempt != s_.serving || s_.post_copy) return;
  if (s_.aborting) return;  // an abort and a switch that meet would let both sides execute
  s_.post_copy = true;
  must_be_on_disk();
  act(action::StartPostCopy{s_.serving});
}

void Stepper::on(const event::SwitchRefused& e) {
  if (s_.phase != Phase::moving || e.attempt != s_.serving || !s_.post_copy) return;
  say("it does not go over to post-copy: " + e.why);
  s_.post_copy = false;
  best_effort();  // forgotten, the job can only not be aborted any more, and it ends with the daemon that forgot
  if (s_.aborting) act(action::AbortJob{});
}

/// With the switch ordered it is only wished for: QEMU would take an abort for one, and let the domain execute here again,
/// when the destination executes it already.
void Stepper::abort_job() {
  if (!s_.aborting && !s_.post_copy) act(action::AbortJob{});
  s_.aborting = true;
}

/// The hypervisor shows that it has switched. On disk before anybody is told: the peer lets it execute on that word.
void Stepper::give_in_post_copy() {
  say("it goes on at " + s_.peer + ", which fetches the rest of its memory from here (post-copy)");
  s_.phase = Phase::given;
  s_.epoch = s_.epoch.next();
  s_.aborting = false;
  s_.post_copy = true;
  s_.noted = {s_.peer, "", s_.epoch};  // an older fencing of the peer proves nothing any more
  must_be_on_disk();
  send_given();
}

void Stepper::send_given() { act(action::SendGiven{s_.peer, s_.serving, s_.epoch, s_.post_copy}); }

/// The peer has all of it, or what remained here was ended.
void Stepper::remains_ended() {
  s_.post_copy = false;
  best_effort();  // forgotten, it is seen again
  if (s_.acknowledged) end_of_giving();
}

/// It is ended with the next look, so that a hypervisor that just finishes the migration has the time for it.
void Stepper::useless_to_peer() {
  s_.acknowledged = s_.useless = true;
}

/// Given to us in post-copy, and nothing of it is here. What remains of it at its source is ended before it is booted anew: all are
/// asked again, if anybody waits for it.
void Stepper::died_in_post_copy(NodeName from, Attempt attempt) {
  say("given by " + from + " in post-copy, and it died before all of its memory was here", AlarmKind::lost_in_post_copy);
  const bool wanted = s_.start != 0;
  const Token start = s_.start;
  const Epoch epoch = s_.epoch;
  enter_gone();  // with it our older attempts are settled
  s_.start = start;
  s_.epoch = epoch;
  best_effort();  // forgotten, its death is seen again
  if (!from.empty()) act(action::SendAcknowledged{from, attempt});
  if (wanted) begin_claim(false, cluster_.others);
}

void Stepper::send_acknowledged(const NodeName& to, Attempt attempt) {
  act(action::SendAcknowledged{to, attempt, here(Here::unknown) || (!nothing_here() && context_.fetching)});
}

}  // namespace migrationd::handoff
