// SPDX-License-Identifier: GPL-2.0-or-later
// step(): dispatch, what both halves share, and what is looked at again after every event.
#include "migrationd/handoff/handoff.h"

#include "migrationd/handoff/stepper.h"

namespace migrationd::handoff {

Step step(const Cluster& cluster, const State& state, const Context& context, const Event& event) {
  Stepper stepper(cluster, state, context);
  std::visit([&](const auto& e) { stepper.on(e); }, event);
  stepper.settle();
  return stepper.take();
}

Step journal_failed(const Cluster& cluster, const State& state, const Context& context, const Event& lost,
                    const std::string& why) {
  const std::string text = "the journal could not be written (" + why + ")";
  if (const auto* stop = std::get_if<event::Stop>(&lost); stop && stop->meaning == StopMeaning::offer) {
    Step real = step(cluster, state, context, event::Stop{stop->token, StopMeaning::real, {}});
    real.actions.insert(real.actions.begin(),
                        action::Say{text + ": an offer would be forgotten, so this stop is a real one", AlarmKind::journal_not_written});
    return real;
  }
  // What must be told only once can't be lost with the record: it is taken without what needed the record.
  State less = state;
  std::vector<Action> given_up{action::Say{text, AlarmKind::journal_not_written}};
  if (state.stop != 0 && !state.stop_is_real) {
    less.stop_is_real = true;
    given_up.push_back(action::Say{"an offer would be forgotten, so the stop that waits is a real one", {}});
  }
  if (state.start != 0 && !std::holds_alternative<event::Start>(lost)) {
    less.start = 0;
    given_up.push_back(action::AnswerStart{state.start, false, text + ": free or repair the disk of the state directory"});
  }
  if (!(less == state)) {
    Step again = step(cluster, less, context, lost);
    if (again.journal != Journal::required) {
      again.actions.insert(again.actions.begin(), given_up.begin(), given_up.end());
      return again;
    }
  }
  Step same{state, Journal::unchanged, {}};
  if (const auto* start = std::get_if<event::Start>(&lost)) {
    same.next.start = 0;
    same.actions.push_back(action::AnswerStart{start->token, false, text + ": free or repair the disk of the state "
                                               "directory"});
  } else if (const auto* push = std::get_if<event::Push>(&lost)) {
    same.actions.push_back(action::AnswerPush{push->token, false, text});
  } else if (const auto* claim = std::get_if<event::Claim>(&lost)) {
    same.actions.push_back(action::SendWait{claim->from, claim->attempt, text});
  }
  same.actions.push_back(action::Say{text + "; not done: " + to_string(lost), AlarmKind::journal_not_written});
  return same;
}

bool same_on_disk(const State& a, const State& b) {
  return a.phase == b.phase && a.epoch == b.epoch && a.own == b.own && a.open == b.open && a.last == b.last && a.peer == b.peer &&
         a.serving == b.serving && a.from_held == b.from_held && a.invited == b.invited && a.asked == b.asked &&
         a.due == b.due && a.was_offered == b.was_offered && a.offer_left == b.offer_left &&
         a.offer_ends == b.offer_ends && a.post_copy == b.post_copy && a.noted == b.noted;
}

Monitor monitor(const State& state, Here here) {
  switch (state.phase) {
    case Phase::claim:
    case Phase::withdrawn:
      // A copy that isn't ours yet; but what executes is never called stopped.
      if (here == Here::running) return Monitor::running;
      return here == Here::unknown ? Monitor::unknown : Monitor::not_running;
    case Phase::offered:
    case Phase::given:
      return Monitor::not_running;
    case Phase::moving:
      return state.from_held ? Monitor::running : Monitor::not_running;
    case Phase::stopping:
      if (state.was_offered) return Monitor::not_running;
      break;
    case Phase::held:
      if (here == Here::absent && state.due == Due::nothing) return Monitor::not_running;
      if (here == Here::incoming && state.post_copy) return Monitor::running;  // it is being let run
      break;
    case Phase::gone:
      if (here == Here::paused || here == Here::incoming) return Monitor::not_running;
      break;
  }
  switch (here) {
    case Here::absent: return Monitor::not_running;
    case Here::running: return Monitor::running;
    case Here::paused:
    case Here::incoming: return Monitor::failed;
    case Here::remains:
    case Here::unknown: return Monitor::unknown;
  }
  return Monitor::unknown;
}

// ---------------------------------------------------------------- shared by both halves

void Stepper::enter_gone() {
  s_.phase = Phase::gone;
  if (s_.noted.epoch > s_.epoch) s_.epoch = s_.noted.epoch;  // heard while nobody could tell what runs here
  s_.peer.clear();
  s_.serving = {};
  s_.from_held = s_.invited = s_.was_offered = s_.aborting = false;
  s_.asked.clear();
  s_.answers.clear();
  s_.open = {};
  s_.given_by.clear();
  s_.given_attempt = {};
  s_.given_epoch = {};
  s_.given_post_copy = s_.post_copy = s_.acknowledged = s_.useless = false;
  s_.inviting.clear();
  s_.due = Due::nothing;
  s_.offer_left = Milliseconds{0};
  s_.offer_ends = {};
}

void Stepper::hold(Epoch epoch, Due due) {
  enter_gone();
  s_.phase = Phase::held;
  s_.epoch = epoch;
  s_.doubt.clear();
  s_.due = due;
  s_.noted = {cluster_.self, cluster_.installation, epoch};
  if (due == Due::nothing) act(action::SendNote{epoch});  // else when it executes: the giver takes it for thanks
  if (due == Due::boot) act(action::Boot{});
  if (due == Due::resume && !here(Here::incoming)) act(action::Resume{});
}

void Stepper::stop_for_real(bool at_once) {
  const bool was_offered = s_.phase == Phase::offered || (s_.phase == Phase::moving && !s_.from_held) ||
                           (s_.phase == Phase::stopping && s_.was_offered);
  if (s_.phase == Phase::offered) act(action::DisarmOffer{});
  const Due due = s_.due == Due::boot ? Due::boot : Due::nothing;
  const Token start = s_.start;
  std::set<NodeName> asked = s_.phase == Phase::withdrawn || s_.phase == Phase::stopping ? s_.asked : std::set<NodeName>{};
  const Attempt open = s_.open;
  enter_gone();
  s_.start = start;
  if (!asked.empty()) {  // our claim is still about: who serves it late must be told; see ended()
    s_.asked = std::move(asked);
    s_.open = open;
  }
  s_.phase = Phase::stopping;
  s_.was_offered = was_offered;
  s_.due = due;  // a boot on its way can't be called back: what it makes is ended when it has ended
  if (due == Due::nothing) act(action::ShutDown{at_once});
  best_effort();  // a stop must work on a full disk; forgotten, it would only be a domain that still runs
}

void Stepper::say_it_runs_twice(const Holder& holder, const std::string& what_is_done) {
  say("it also runs on " + holder.node + ", which holds the larger epoch " + to_string(holder.epoch) + " against our " +
          to_string(s_.epoch) + ": " + what_is_done + ". Two instances ran: check the guest's disks, and the fencing",
      AlarmKind::two_instances);
}

void Stepper::conflict(const Holder& holder) {
  say_it_runs_twice(holder, "ours is ended at once");
  answer_push(false, "another node holds it with a larger epoch");
  stop_for_real(true);
}

void Stepper::on(const event::Note& e) {
  const Holder& holder = e.holder;
  if (holder.node == cluster_.self) return;
  if (s_.phase == Phase::given && holder.node == s_.peer && holder.epoch >= s_.epoch) {
    on(event::Acknowledged{holder.node, s_.serving, s_.post_copy});
    s_.noted = holder;
    return;
  }
  const bool ours_is_older = holder.epoch > s_.epoch || (holder.epoch == s_.epoch && holder.node < cluster_.self);
  if (ours_is_older && s_.phase == Phase::stopping && holder.epoch > s_.noted.epoch && here(Here::running)) {
    say_it_runs_twice(holder, "ours is being ended already");  // the cluster manager saw the two first
  }
  if (ours_is_older && (s_.phase == Phase::held || s_.phase == Phase::offered) && !nothing_here()) {
    if (here(Here::unknown) && holder.epoch > s_.epoch) {  // as a rule ours has long ended, and the record is old
      if (holder.epoch > s_.noted.epoch) s_.noted = holder;
      best_effort();
      return;
    }
    conflict(holder);
  }
  if (holder.epoch > s_.epoch) s_.epoch = holder.epoch;
  const bool news = holder.epoch > s_.noted.epoch;
  if (news || (holder.epoch == s_.noted.epoch && holder.node == s_.noted.node)) {
    s_.noted = holder;
  }
  best_effort();
  if (news) held_later_than_known(holder.node);
}

/// A holder with a larger epoch was heard of while nobody could tell what runs here.
bool Stepper::superseded() const {
  return s_.noted.epoch > s_.epoch && s_.noted.node != cluster_.self && !here(Here::unknown) && !nothing_here();
}

void Stepper::on(const event::HereChanged&) {
  if ((s_.phase == Phase::held || s_.phase == Phase::offered) && superseded()) return on(event::Note{s_.noted});
  switch (s_.phase) {
    case Phase::held:
      if (s_.due == Due::resume && here(Here::paused)) act(action::Resume{});
      if (s_.due == Due::resume && here(Here::running)) return on(event::Executes{Due::resume});
      if (!nothing_here()) return;
      if (s_.due == Due::resume && s_.post_copy) return died_in_post_copy(s_.given_by, s_.given_attempt);
      if (s_.due == Due::resume) {  // it crashed after it was given, before it ran here: it is ours to boot
        say("the copy that was given to us died before it ran here: booting it");
        s_.due = Due::boot;
        act(action::Boot{});
        return;
      }
      return;  // settle_orders() sees its death, except while it is being booted
    case Phase::offered:
      if (here(Here::paused)) act(action::Resume{});  // left so by a failed job
      if (!nothing_here()) return;
      say("it died while it was offered");
      act(action::DisarmOffer{});
      enter_gone();
      best_effort();
      return;
    case Phase::stopping:
      if (nothing_here() && s_.due != Due::boot) ended();
      // Our claim was served late, and the copy came after the one that was ended.
      if (!s_.asked.empty() && (here(Here::paused) || here(Here::incoming))) act(action::ShutDown{true});
      return;
    case Phase::moving:  // else JobEnded says it, and how
      if (here(Here::remains)) give_in_post_copy();
      return;
    case Phase::given:
      if (s_.post_copy && nothing_here()) remains_ended();
      return;
    case Phase::gone:
    case Phase::claim:
    case Phase::withdrawn:
      return;
  }
}

/// The stop is done, its death is verified.
void Stepper::ended() {
  if (s_.asked.empty()) {
    enter_gone();
  } else {
    s_.phase = Phase::withdrawn;
    s_.was_offered = false;
    send_withdraws();
  }
  best_effort();
  answer_stop(true, "");
}

void Stepper::died() {
  say("it died here");
  answer_start(false, "it died here");
  answer_push(false, "the domain died");
  enter_gone();
  best_effort();
  answer_stop(true, "");
}

void Stepper::on(const event::Recovered&) {
  // Nobody of before waits any more.
  switch (s_.phase) {
    case Phase::gone:
      if (here(Here::paused) || here(Here::incoming)) drop_copy();  // never given: nobody's
      return;
    case Phase::claim:
      withdraw("the daemon was restarted");
      return;
    case Phase::withdrawn:
      send_withdraws();
      return;
    case Phase::held:
      if (superseded()) return on(event::Note{s_.noted});
      if (here(Here::running)) {
        s_.due = Due::nothing;
        s_.post_copy = false;
        best_effort();  // forgotten, it is seen running again
      }
      if (here(Here::paused)) {
        if (s_.due == Due::resume) act(action::Resume{});
      }
      if (nothing_here()) {  // it died, or a boot did not come to it: the cluster manager's next start does
        enter_gone();
        best_effort();
        return;
      }
      if (s_.due == Due::nothing) act(action::SendNote{s_.epoch});
      return;
    case Phase::offered:
      if (superseded()) return on(event::Note{s_.noted});
      if (nothing_here()) {
        enter_gone();
        best_effort();
        return;
      }
      if (here(Here::paused)) act(action::Resume{});  // left so by a failed job
      if (s_.offer_ends <= context_.now) {
        say("the offer's time ran out while the daemon was away");
        stop_for_real(false);
      } else {
        act(action::ArmOffer{s_.offer_ends});
      }
      return;
    case Phase::moving:
      act(action::WatchJob{s_.serving});  // also when none runs any more: the hypervisor knows how it ended
      return;
    case Phase::stopping:
      s_.due = Due::nothing;
      best_effort();
      if (nothing_here()) {
        ended();
      } else {
        act(action::ShutDown{true});
      }
      return;
    case Phase::given:
      if (s_.post_copy && nothing_here()) remains_ended();
      send_given();
      return;
  }
}

void Stepper::on(const event::Forget& e) {
  if (s_.noted.node == e.node) s_.noted = {{}, {}, s_.noted.epoch};  // only a newer note may name it again
}

void Stepper::on(const event::Resend&) {
  switch (s_.phase) {
    case Phase::claim:
      send_claims();
      return;
    case Phase::withdrawn:
      send_withdraws();
      return;
    case Phase::given:
      if (s_.post_copy && nothing_here()) return remains_ended();
      if (s_.useless && here(Here::remains)) return drop_copy();
      send_given();
      return;
    case Phase::moving:
      if (here(Here::remains)) give_in_post_copy();  // what could not be journalled before
      return;
    case Phase::held:
      if (!s_.inviting.empty()) act(action::SendInvite{s_.inviting});
      if (s_.due == Due::resume && !nothing_here()) on(event::HereChanged{});
      return;  // else settle_orders() sees its death
    case Phase::offered:
      if (!here(Here::running)) on(event::HereChanged{});
      return;
    case Phase::gone:
    case Phase::stopping:
      return;
  }
}

void Stepper::settle() {
  settle_claim();
  settle_withdrawn();
  settle_orders();
}

Step Stepper::take() {
  Journal journal = Journal::unchanged;
  if (!same_on_disk(before_, s_)) journal = best_effort_ && !must_be_on_disk_ ? Journal::best_effort : Journal::required;
  return {std::move(s_), journal, std::move(actions_)};
}

void Stepper::answer_start(bool ok, const std::string& why) {
  if (s_.start == 0) return;
  act(action::AnswerStart{s_.start, ok, why});
  s_.start = 0;
}

void Stepper::answer_stop(bool ok, const std::string& why) {
  if (s_.stop == 0) return;
  act(action::AnswerStop{s_.stop, ok, why});
  s_.stop = 0;
  s_.stop_is_real = false;
}

void Stepper::answer_push(bool ok, const std::string& why) {
  if (s_.push == 0) return;
  act(action::AnswerPush{s_.push, ok, why});
  s_.push = 0;
}

Outcome awaits_copy(const State& state, const NodeName& from, Attempt attempt) {
  if (state.phase != Phase::claim) return Error{"this node does not claim it now (" + std::string(to_string(state.phase)) + ")"};
  if (!state.asked.contains(from)) return Error{"this node has not asked " + from + " for it"};
  if (attempt < state.open || attempt > state.own) return Error{"this node has no open claim " + to_string(attempt)};
  if (const auto answer = state.answers.find(from); answer != state.answers.end() && answer->second.kind != Answer::Kind::released)
    return Error{from + " has said, or was proven, to have nothing of it"};
  if (state.dropping) return Error{"a copy of it is just being dropped here"};
  return Done{};
}

}  // namespace migrationd::handoff
