// SPDX-License-Identifier: GPL-2.0-or-later
// The source's half: who has the domain alone decides who gets it. It parts with it only through a job whose
// end it has seen, and says `given` only when it can't run it any more.
#include <algorithm>

#include "migrationd/handoff/stepper.h"

namespace migrationd::handoff {

Attempt Stepper::last_of(const NodeName& claimer) const {
  const auto found = s_.last.find(claimer);
  return found == s_.last.end() ? Attempt{} : found->second;
}

std::string Stepper::not_running() const {
  return here(Here::unknown) ? "the hypervisor of " + cluster_.self + " does not say whether it runs"
                             : "it does not run at the moment";
}

void Stepper::release(const event::Claim& e, const std::string& why) {
  act(action::SendReleased{e.from, e.attempt, why});
}

/// Nothing of it is here, and nothing is started before asking. A full disk does not hold this up, or the domain could
/// start nowhere: without `last` a restarted daemon is kept from serving the same attempt by the epochs (everybody who
/// holds the domain later has a larger one than this claim), and nothing sent to the daemon before reaches it. Only an
/// epoch that is news must be on disk: our next claim carries it, and so it reaches who would serve that claim.
void Stepper::say_gone(const event::Claim& e) {
  s_.last[e.from] = e.attempt;
  if (s_.epoch == before_.epoch) best_effort();
  act(action::SendGone{e.from, e.attempt, s_.epoch, s_.noted});
}

void Stepper::on(const event::Claim& e) {
  if (e.from == cluster_.self || !cluster_.others.contains(e.from)) return;
  const Attempt last = last_of(e.from);
  if (e.attempt < last) return;  // an old one, late: answered long ago
  const bool repeated = e.attempt == last;
  const bool has_it = s_.phase == Phase::offered || s_.phase == Phase::held ||
                      (s_.phase == Phase::gone && here(Here::running));
  if (has_it && e.epoch < s_.epoch) {
    // From before the last change of owner: perhaps a late one, of a claim that ended when another node gave it
    // the domain. Who still claims does so again, knowing our epoch.
    if (s_.due == Due::nothing) act(action::SendNote{s_.epoch});  // else when it executes, as in hold()
    act(action::SendWait{e.from, e.attempt, "it was claimed before its last change of owner was known"});
    return;
  }
  // Else who gets it next would have a smaller epoch than one who asks already, and not be news to it (Gone).
  if (e.epoch > s_.epoch) s_.epoch = e.epoch;
  switch (s_.phase) {
    case Phase::offered:
      if (repeated) return release(e, "the migration failed; claim again");
      s_.last[e.from] = e.attempt;
      if (!here(Here::running)) return release(e, not_running());
      act(action::DisarmOffer{});
      return move_to(e, false);
    case Phase::held:
      if (repeated) return release(e, "it is held here");
      s_.last[e.from] = e.attempt;
      if (e.from != s_.inviting && !e.claimable) return release(e, e.why_not);
      if (!here(Here::running) || s_.due != Due::nothing) return release(e, not_running());
      return move_to(e, true);
    case Phase::moving:
      best_effort();
      if (e.from == s_.peer && e.attempt > s_.serving) abort_job();  // the peer forgot the old one
      act(action::SendWait{e.from, e.attempt, "it is being migrated to " + s_.peer});
      return;
    case Phase::stopping:
      best_effort();
      act(action::SendWait{e.from, e.attempt, "it is being stopped"});
      return;
    case Phase::given:
      if (e.from == s_.peer) {  // it takes it, or acknowledges that it has nothing of it; then it is told `gone`
        best_effort();
        send_given();
        return;
      }
      if (!nothing_here()) {
        best_effort();
        act(action::SendWait{e.from, e.attempt, s_.post_copy ? "it goes on at " + s_.peer + ", which still fetches its memory" : "it was just given to " + s_.peer});
        return;
      }
      return say_gone(e);
    case Phase::gone:
      if (nothing_here()) return say_gone(e);
      if (here(Here::running)) {  // runs here unasked for, such as started by hand
        if (repeated) return release(e, "it runs here");
        s_.last[e.from] = e.attempt;
        if (!e.claimable) return release(e, e.why_not);
        s_.epoch = s_.epoch.next();
        return move_to(e, true);
      }
      if (!here(Here::unknown)) drop_copy();
      best_effort();
      act(action::SendWait{e.from, e.attempt,
                           here(Here::unknown) ? "the hypervisor does not say whether it runs here"
                                               : "a copy that was never given is being dropped here"});
      return;
    case Phase::claim:
    case Phase::withdrawn:
      act(action::SendWait{e.from, e.attempt, "it is being claimed by " + cluster_.self});
      // Two starts at once: the smaller name goes first, so that exactly one of them yields.
      if (s_.phase == Phase::claim && !s_.invited && e.from < cluster_.self) {
        must_be_on_disk();
        const Token start = s_.start;
        withdraw("the claim of " + e.from + " goes first");
        s_.start = 0;
        if (start != 0) act(action::RetryStart{start});
      }
      return;
  }
}

void Stepper::on(const event::Withdraw& e) {
  if (e.from == cluster_.self || !cluster_.others.contains(e.from)) return;
  const bool parting = (s_.phase == Phase::moving || s_.phase == Phase::given) && e.from == s_.peer;
  if (e.attempt < (parting ? s_.serving : last_of(e.from))) {  // of an attempt that a newer one has replaced
    act(action::SendReleased{e.from, e.attempt, "withdrawn"});
    return;
  }
  const bool served = (s_.phase == Phase::moving || s_.phase == Phase::given) && e.from == s_.peer &&
                      e.attempt >= s_.serving;  // a newer one: it means the one that is served, too
  if (!served) {
    s_.last[e.from] = e.attempt;
    // See say_gone(); its claims were sent before this, to this daemon, and none of them reaches the next one.
    if ((s_.phase == Phase::gone || s_.phase == Phase::given) && nothing_here()) best_effort();
    act(action::SendReleased{e.from, e.attempt, "withdrawn"});
  } else if (s_.phase == Phase::given) {
    send_given();
  } else {
    abort_job();
  }
}

void Stepper::move_to(const event::Claim& e, bool from_held) {
  const Milliseconds left = from_held ? Milliseconds{0} : s_.offer_ends - context_.now;
  s_.phase = Phase::moving;
  s_.peer = e.from;
  s_.serving = e.attempt;
  s_.from_held = from_held;
  s_.inviting.clear();
  s_.aborting = s_.post_copy = false;
  s_.offer_left = left;
  s_.offer_ends = {};
  must_be_on_disk();
  act(action::StartJob{e.from, e.attempt, e.post_copy});
}

void Stepper::on(const event::JobEnded& e) {
  if (s_.phase != Phase::moving || e.attempt != s_.serving) return;
  if (s_.post_copy && e.end == JobEnd::paused_here && !here(Here::paused)) {  // what is paused may be what remains
    act(action::WatchJob{s_.serving});
    return;
  }
  const NodeName peer = s_.peer;
  const Attempt attempt = s_.serving;
  const std::string failed = "the migration to " + peer + " failed" + (e.why.empty() ? "" : ": " + e.why);
  const std::string why = s_.doubt.empty() ? failed : s_.doubt;
  switch (e.end) {
    case JobEnd::migrated:
      s_.phase = Phase::given;
      s_.epoch = s_.epoch.next();
      s_.aborting = s_.post_copy = false;
      s_.noted = {peer, "", s_.epoch};  // an older fencing of the peer proves nothing any more
      best_effort();  // forgotten, the restarted daemon says gone: nothing runs here either way
      send_given();
      return;
    case JobEnd::vanished:
      say("it vanished during its migration to " + peer);
      enter_gone();
      s_.epoch = s_.epoch.next();  // in case that it was given, and the record of it lost
      s_.noted = {peer, "", s_.epoch};
      best_effort();
      act(action::SendGone{peer, attempt, s_.epoch, s_.noted});
      answer_push(false, "it died during its migration to " + peer);
      answer_stop(true, "");
      return;
    case JobEnd::runs_here:
    case JobEnd::paused_here: {
      // Forgotten, the restarted daemon finds the same: it runs or waits here, and no job does. But that the
      // cluster manager was told "stopped" meanwhile must not be forgotten.
      best_effort();
      if (s_.from_held && s_.stop != 0 && !s_.stop_is_real) must_be_on_disk();
      const Due due = e.end == JobEnd::paused_here ? Due::resume : Due::nothing;
      act(action::SendReleased{peer, attempt, why});
      answer_push(false, why);
      const bool back_to_held = s_.from_held && (s_.stop == 0 || s_.stop_is_real);
      const Milliseconds left = std::max(s_.offer_left, Milliseconds{1});
      if (s_.stop != 0 && s_.stop_is_real) {
        stop_for_real(false);
      } else if (s_.start != 0) {
        hold(s_.epoch, due);
      } else if (back_to_held) {
        hold(s_.epoch, due);
      } else {
        if (due == Due::resume) act(action::Resume{});
        offer(left);
      }
      return;
    }
  }
}

void Stepper::on(const event::Acknowledged& e) {
  if (s_.phase != Phase::given || e.from != s_.peer || e.attempt != s_.serving) return;
  if (!s_.post_copy) return end_of_giving();
  s_.acknowledged = true;
  answer_push(true, "");
  if (!e.fetching) useless_to_peer();
}

/// The peer has it, or has nothing of it, and nothing of it is here.
void Stepper::end_of_giving() {
  enter_gone();
  best_effort();
  answer_push(true, "");
  answer_stop(true, "");
}

void Stepper::on(const event::DestroyFailed& e) {
  if (s_.phase != Phase::stopping) return;
  say("it could not be ended: " + e.why, AlarmKind::not_ended);
  act(action::RequestFencing{cluster_.self, "a domain could not be ended: " + e.why});
  answer_stop(false, e.why);
}

}  // namespace migrationd::handoff
