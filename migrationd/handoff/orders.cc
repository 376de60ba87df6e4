// SPDX-License-Identifier: GPL-2.0-or-later
// What the cluster manager orders (start, stop, migrate_to) and what becomes of an offer with time.
// A start or stop that can't be finished at once waits in the state; settle_orders() finishes it when the
// phase allows, so that there is one place for "done" however it came about.
#include "migrationd/handoff/stepper.h"

namespace migrationd::handoff {

void Stepper::on(const event::Start& e) {
  if (s_.start != e.token) answer_start(false, "another start came");
  // Withdrawn with nothing here, there is nothing left to stop: a stop that failed would have this node fenced.
  if (s_.phase != Phase::stopping) answer_stop(s_.phase == Phase::withdrawn && nothing_here(), "a start came");
  s_.start = e.token;
  s_.doubt.clear();
  switch (s_.phase) {
    case Phase::offered:
      take_back("started here again");
      return;
    case Phase::moving:
      abort_job();
      s_.doubt = "waits for the end of the migration to " + s_.peer + " that was just aborted";
      return;
    case Phase::claim:
      if (s_.invited) {  // asked by a holder's push so far; now the cluster wants it here: ask everybody
        s_.invited = false;
        s_.asked = cluster_.others;
        send_claims();
      }
      return;
    case Phase::given:
      s_.doubt = "it was given to " + s_.peer + ", which has not acknowledged yet";
      return;
    case Phase::stopping:
      s_.doubt = "its last stop is not finished";
      return;
    case Phase::withdrawn:
      // A copy that may have been given must be waited for; without one a newer claim says it all.
      if (nothing_here()) begin_claim(false, cluster_.others);
      return;
    case Phase::gone:
    case Phase::held:
      return;  // settle_orders()
  }
}

void Stepper::on(const event::StartEnded& e) {
  if (s_.start != e.token) return;
  answer_start(false, s_.doubt.empty() ? e.why : e.why + ": " + s_.doubt);
  if (s_.phase == Phase::claim) withdraw(e.why);
}

void Stepper::on(const event::Stop& e) {
  if (s_.stop != e.token) answer_stop(false, "another stop came");
  s_.stop = e.token;
  s_.stop_is_real = e.meaning == StopMeaning::real;
  switch (s_.phase) {
    case Phase::held:
      if (!s_.stop_is_real && here(Here::running) && s_.due == Due::nothing) {
        answer_push(false, "a stop came");
        s_.inviting.clear();
        offer(e.offer_for);
        return;
      }
      answer_push(false, "a stop came");
      answer_start(false, "a stop came");
      if (!s_.stop_is_real && s_.due != Due::nothing) {  // offered as soon as it executes
        s_.offer_left = e.offer_for;
        return;
      }
      stop_for_real(false);
      return;
    case Phase::offered:
      if (s_.stop_is_real) stop_for_real(false);
      return;
    case Phase::moving:
      answer_start(false, "a stop came");  // the last order counts: after the job it is offered, not held
      s_.offer_left = e.offer_for;
      if (s_.stop_is_real) abort_job();
      return;
    case Phase::claim:
      answer_start(false, "a stop came");
      withdraw("a stop came");
      return;
    case Phase::gone:
      if (nothing_here()) return;
      s_.epoch = s_.epoch.next();  // it is here without us having been asked, such as started by hand: ours to offer, or to end
      if (!s_.stop_is_real && here(Here::running)) {
        offer(e.offer_for);
        return;
      }
      stop_for_real(!here(Here::running));
      return;
    case Phase::withdrawn:
    case Phase::stopping:
    case Phase::given:
      return;
  }
}

void Stepper::on(const event::Push& e) {
  answer_push(false, "another migrate_to came");
  s_.push = e.token;
  switch (s_.phase) {
    case Phase::held:
      if (s_.due != Due::nothing || !here(Here::running)) {
        answer_push(false, "it does not run here (" + std::string(to_string(context_.here)) + ")");
        return;
      }
      s_.inviting = e.to;
      act(action::SendInvite{e.to});
      return;
    case Phase::gone:
      if (here(Here::running)) {  // runs here unasked for, such as started by hand: ours now
        hold(s_.epoch.next(), Due::nothing);
        s_.inviting = e.to;
        act(action::SendInvite{e.to});
        return;
      }
      answer_push(false, "it does not run here (" + std::string(to_string(context_.here)) + ")");
      return;
    case Phase::moving:
    case Phase::given:
      if (s_.peer != e.to) answer_push(false, "it is on its way to " + s_.peer);
      return;
    case Phase::offered:
    case Phase::stopping:
    case Phase::claim:
    case Phase::withdrawn:
      answer_push(false, std::string("it is not ours to push, but ") + to_string(s_.phase));
      return;
  }
}

void Stepper::on(const event::PushEnded& e) {
  if (s_.push == 0 || s_.push != e.token) return;
  switch (s_.phase) {
    case Phase::moving:
      abort_job();
      s_.doubt = e.why;
      return;  // answered when the job has ended
    case Phase::held:
    case Phase::gone:
    case Phase::claim:
    case Phase::withdrawn:
    case Phase::offered:
    case Phase::stopping:
    case Phase::given:
      s_.inviting.clear();
      answer_push(false, e.why);
      return;
  }
}

void Stepper::on(const event::Deadline&) {
  if (s_.phase != Phase::offered) return;
  say("nobody fetched it in time: really stopped");
  stop_for_real(false);
}

void Stepper::on(const event::Judged& e) {
  if (s_.phase == Phase::moving && !s_.from_held && e.judgement == Judgement::take_back) {
    say("taken back, and so the migration to " + s_.peer + " aborted: " + e.why);
    s_.from_held = true;
    best_effort();  // forgotten, it is offered again at the job's end, and judged again
    abort_job();
    return;
  }
  if (s_.phase != Phase::offered) return;
  switch (e.judgement) {
    case Judgement::stands:
      return;
    case Judgement::real_stop:
      say("the offer no longer stands (" + e.why + "): really stopped");
      stop_for_real(false);
      return;
    case Judgement::take_back:
      take_back(e.why);
      return;
  }
}

void Stepper::on(const event::TimeShort&) {
  if (s_.phase == Phase::given && s_.post_copy && s_.stop != 0) {  // a stop that failed would have this node fenced
    say("the stop's time is nearly up, and " + s_.peer + " has not fetched all memory yet: it is lost if this node goes down now",
        AlarmKind::not_fetched);
    answer_stop(true, "");
    return;
  }
  if (s_.phase != Phase::withdrawn || s_.stop == 0) return;
  if (nothing_here()) {  // what is given later is ours then, running and noted by all
    say("the stop's time is nearly up and not everybody has said whether it gave us the domain; nothing of it is here");
    answer_stop(true, "");
    return;
  }
  say("the stop's time is nearly up and " + (s_.asked.empty() ? std::string("a peer") : *s_.asked.begin()) +
          " has not said whether it gave us the domain: the copy is dropped",
      AlarmKind::copy_dropped);
  stop_for_real(true);
}

void Stepper::offer(Milliseconds left) {
  enter_gone();
  s_.phase = Phase::offered;
  s_.offer_left = left;
  s_.offer_ends = context_.now + left;
  act(action::ArmOffer{s_.offer_ends});
}

void Stepper::take_back(const std::string& why) {
  say("taken back: " + why);
  act(action::DisarmOffer{});
  hold(s_.epoch.next(), Due::nothing);
}

void Stepper::settle_orders() {
  switch (s_.phase) {
    case Phase::gone:
      if (s_.stop != 0 && nothing_here()) answer_stop(true, "");
      if (s_.stop != 0 && here(Here::unknown)) s_.doubt = "the hypervisor does not say whether it runs here";
      if (s_.start == 0) return;
      if (nothing_here()) {
        begin_claim(false, cluster_.others);
        settle_claim();  // a cluster of one node has nobody to wait for
      } else if (here(Here::running)) {
        hold(s_.epoch.next(), Due::nothing);
        answer_start(true, "");
      } else {
        s_.doubt = "the hypervisor shows it as " + std::string(to_string(context_.here)) + " here";
        if (!here(Here::unknown)) drop_copy();
      }
      return;
    case Phase::held:
      if (s_.due != Due::nothing) return;
      if (nothing_here() && !just_executed_) return died();
      if (s_.stop != 0 && s_.stop_is_real) return stop_for_real(false);  // it came while it was being booted or moved
      if (!here(Here::running)) return;  // also right after it executes, until the hypervisor shows it
      answer_start(true, "");
      if (s_.stop != 0) {  // it came while the domain was being booted or resumed
        offer(s_.offer_left);
        answer_stop(true, "");
      }
      return;
    case Phase::offered:
      if (!s_.stop_is_real) answer_stop(true, "");
      return;
    case Phase::given:
      if (!s_.post_copy) answer_stop(true, "");  // else this node may go down next, and with it what the peer still needs
      return;
    case Phase::claim:
    case Phase::withdrawn:
    case Phase::moving:
    case Phase::stopping:
      return;
  }
}

}  // namespace migrationd::handoff
