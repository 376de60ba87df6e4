// SPDX-License-Identifier: GPL-2.0-or-later
// The destination's half: it asks everybody, and runs the domain only when it was given to it, or when every
// other configured node is proven absent. What arrived without being given is thrown away.
#include <algorithm>

#include "migrationd/handoff/stepper.h"

namespace migrationd::handoff {

namespace {
/// More changes of owner than a node can make alone before it is fenced.
constexpr std::uint64_t epochs_unsaid = 1'000'000;

constexpr std::string_view no_proof = "no proof that it does not run on ";
}  // namespace

void Stepper::begin_claim(bool invited, std::set<NodeName> asked) {
  const Token start = s_.start;
  const Attempt open = s_.open;
  enter_gone();
  s_.start = start;
  s_.phase = Phase::claim;
  next_attempt();
  s_.open = open.none() ? s_.own : open;  // an older one may still be served, when its withdrawal was lost
  s_.invited = invited;
  s_.asked = std::move(asked);
  send_claims();
}

void Stepper::send_claims() {
  for (const NodeName& node : s_.asked) {
    if (!s_.answers.contains(node) || s_.answers.at(node).kind == Answer::Kind::gone) {
      act(action::SendClaim{node, s_.own, s_.epoch});  // a `gone` is asked for again: it may have started meanwhile
    }
  }
}

void Stepper::withdraw(const std::string& why) {
  s_.phase = Phase::withdrawn;
  s_.answers.clear();
  s_.doubt = why;
  send_withdraws();
}

void Stepper::send_withdraws() {
  for (const NodeName& node : s_.asked) {
    if (!s_.answers.contains(node)) act(action::SendWithdraw{node, s_.own});
  }
}

void Stepper::on(const event::Invite& e) {
  if (!cluster_.others.contains(e.from)) return;
  switch (s_.phase) {
    case Phase::gone:
      if (!nothing_here()) {
        act(action::SendRefusal{e.from, "the destination's hypervisor shows it as " +
                                            std::string(to_string(context_.here)) + " already"});
        return;
      }
      begin_claim(true, {e.from});
      return;
    case Phase::claim:
      act(action::SendClaim{e.from, s_.own, s_.epoch});
      return;
    case Phase::withdrawn:
    case Phase::held:
    case Phase::offered:
    case Phase::moving:
    case Phase::stopping:
    case Phase::given:
      act(action::SendRefusal{e.from, "the destination has it as " + std::string(to_string(s_.phase))});
      return;
  }
}

void Stepper::accept(const NodeName& from, Attempt attempt, Epoch epoch, bool post_copy) {
  if (copy_unclear(post_copy)) {
    s_.given_by = from;
    s_.given_attempt = attempt;
    s_.given_epoch = epoch;
    s_.given_post_copy = post_copy;
    s_.doubt = "given by " + from + "; waits for the copy, which is " + to_string(context_.here);
    return;
  }
  best_effort();  // forgotten, the withdrawal after the restart is answered `given` once more
  if (here(Here::running)) {
    hold(epoch, Due::nothing);
    send_acknowledged(from, attempt);
  } else if (here(Here::paused) || here(Here::incoming)) {
    hold(epoch, Due::resume);
    if (here(Here::incoming)) {  // in post-copy it is let run while it arrives, and only with this on disk
      must_be_on_disk();
      s_.post_copy = true;
      act(action::LetRun{from, attempt});
    }
    s_.given_by = from;  // to be acknowledged when it executes
    s_.given_attempt = attempt;
  } else if (s_.phase == Phase::withdrawn) {
    say("given by " + from + ", but the copy is gone, and nobody here asks for it any more");
    enter_gone();
    s_.epoch = epoch;
    act(action::SendAcknowledged{from, attempt});
    answer_stop(true, "");
  } else if (post_copy) {
    s_.epoch = epoch;
    died_in_post_copy(from, attempt);
  } else {
    say("given by " + from + ", but the copy is gone: it died after it was given; booting it");
    hold(epoch, Due::boot);
    act(action::SendAcknowledged{from, attempt});
  }
  rejudge_stop();
}

void Stepper::on(const event::Given& e) {
  if (!cluster_.others.contains(e.from)) return;
  switch (s_.phase) {
    case Phase::claim:
    case Phase::withdrawn:
      if (e.attempt < s_.open) break;  // settled long ago
      if (e.attempt > s_.own || !s_.asked.contains(e.from)) return;
      // The attempt is ours and open, so this is no stale word even if our epoch is ahead: we may have held
      // it before we were fenced, and the one who booted it then could not ask us for our epoch.
      accept(e.from, e.attempt, std::max(e.epoch, s_.epoch.next()), e.post_copy);
      return;
    case Phase::held:
      if (s_.due != Due::nothing) return;  // acknowledged when it executes
      break;
    case Phase::gone:
      if (e.epoch > s_.epoch) s_.epoch = e.epoch;
      best_effort();
      if (here(Here::unknown) || here(Here::running)) return;
      if (nothing_here()) break;  // nothing of it runs anywhere now
      drop_copy();  // given too late: our stop did not wait for it any more
      return;
    case Phase::offered:
    case Phase::moving:
    case Phase::given:
      break;
    case Phase::stopping:
      return;  // repeated until the death is verified
  }
  send_acknowledged(e.from, e.attempt);
}

void Stepper::on(const event::Released& e) {
  if (e.attempt != s_.own || !s_.asked.contains(e.from)) return;
  switch (s_.phase) {
    case Phase::claim: {
      s_.doubt = e.from + " keeps it: " + e.why;
      const Token start = s_.start;
      s_.start = 0;
      const std::string doubt = s_.doubt;
      withdraw(doubt);
      s_.answers[e.from] = {Answer::Kind::released, {}};
      if (start != 0) act(action::RetryStart{start});
      return;
    }
    case Phase::withdrawn:
      if (s_.given_by == e.from) return;
      s_.answers[e.from] = {Answer::Kind::released, {}};
      return;
    case Phase::gone:
    case Phase::held:
    case Phase::offered:
    case Phase::moving:
    case Phase::stopping:
    case Phase::given:
      return;
  }
}

void Stepper::on(const event::Gone& e) {
  if (e.attempt != s_.own || !s_.asked.contains(e.from)) return;
  if (s_.phase != Phase::claim && s_.phase != Phase::withdrawn) return;
  if (s_.given_by == e.from) return;
  if (e.epoch > s_.epoch) s_.epoch = e.epoch;
  const bool news = e.noted.epoch > s_.noted.epoch;
  if (news) s_.noted = e.noted;
  if (news && e.noted.node != e.from) {
    best_effort();
    held_later_than_known(e.noted.node);
    if (e.attempt != s_.own) return;  // everybody is asked anew
  }
  s_.answers[e.from] = {Answer::Kind::gone, e.installation};
  if (s_.phase == Phase::claim && s_.invited) withdraw(e.from + " does not have it any more");
  best_effort();
}

void Stepper::on(const event::Wait& e) {
  if (e.attempt != s_.own || s_.phase != Phase::claim || !s_.asked.contains(e.from)) return;
  s_.answers.erase(e.from);  // what it said before no longer holds
  s_.doubt = e.from + " says: " + e.why;
}

/// What the others said, or what is said already and not yet heard, may be from before `node` held it; and who
/// parted with it may have given it to one that had said `gone`. Only answers to a new attempt count.
void Stepper::held_later_than_known(const NodeName& node) {
  if (s_.phase != Phase::claim || s_.invited || !s_.asked.contains(node)) return;
  s_.answers.erase(node);  // a fencing that we know of may be older, too
  ask_anew(false);
}

void Stepper::ask_anew(bool of_who_left) {
  std::erase_if(s_.answers, [&](const auto& answer) {
    return answer.second.kind != Answer::Kind::proven && (of_who_left || answer.second.kind != Answer::Kind::left);
  });
  next_attempt();
  send_claims();
}

void Stepper::next_attempt() {
  s_.own = s_.own.incarnation == cluster_.incarnation ? Attempt{s_.own.incarnation, s_.own.number + 1}
                                                      : Attempt{cluster_.incarnation, 1};
  must_be_on_disk();  // an attempt is never used twice
}

void Stepper::on(const event::Proven& e) {
  if ((s_.phase == Phase::claim || s_.phase == Phase::withdrawn) && s_.asked.contains(e.node)) {
    if (s_.given_by == e.node) return;
    const bool left = e.proof == Proof::farewell;
    const auto known = s_.answers.find(e.node);
    const bool no_news = known != s_.answers.end() && (known->second.kind == Answer::Kind::proven ||
                                                       (left && known->second.kind == Answer::Kind::left));
    if (no_news) return;
    s_.answers[e.node] = {left ? Answer::Kind::left : Answer::Kind::proven, {}};
    // Before it went down it may have given the domain to one that had told us `gone`, or, where it did not go down in
    // order, to one that had left and was back without reaching us: whether that farewell counts still is asked anew, too.
    if (s_.phase == Phase::claim && !s_.invited && s_.asked.size() > 1) ask_anew(!left);
    if (s_.phase == Phase::claim && s_.invited) withdraw(e.node + " is down");
    return;
  }
  if (s_.phase == Phase::given && s_.peer == e.node && e.proof != Proof::not_member) {
    say("given to " + e.node + ", which is down: nothing of it runs there");
    answer_push(false, "the destination went down");
    if (s_.post_copy && !nothing_here()) return useless_to_peer();
    enter_gone();
  }
}

void Stepper::on(const event::Unproven& e) {
  const auto found = s_.answers.find(e.node);
  if (found != s_.answers.end() && found->second.by_proof()) s_.answers.erase(found);
}

void Stepper::on(const event::Executes& e) {
  if (s_.due == Due::nothing || (e.what != Due::nothing && e.what != s_.due)) return;
  if (s_.phase == Phase::stopping) {  // the stop came while it was being booted
    s_.due = Due::nothing;
    act(action::ShutDown{false});
    best_effort();
    return;
  }
  if (s_.phase != Phase::held) return;
  if (s_.due == Due::resume && !here(Here::running)) {  // the end of an older resume; looked at again, see Resend
    if (here(Here::paused)) act(action::Resume{});
    return;
  }
  if (s_.due == Due::resume && !s_.given_by.empty()) send_acknowledged(s_.given_by, s_.given_attempt);
  s_.given_by.clear();
  s_.given_attempt = {};
  s_.due = Due::nothing;
  s_.post_copy = false;
  act(action::SendNote{s_.epoch});
  best_effort();
  if (s_.stop != 0 && !s_.stop_is_real) must_be_on_disk();  // the offer that waits for this
  just_executed_ = true;
}

void Stepper::on(const event::BootFailed& e) {
  if ((s_.phase != Phase::held && s_.phase != Phase::stopping) || s_.due != Due::boot) return;
  say("it could not be booted: " + e.why);
  answer_start(false, e.why);
  s_.due = Due::nothing;
  if (nothing_here()) {
    enter_gone();
    best_effort();
  } else {
    stop_for_real(true);  // whatever is left of the attempt
  }
}

void Stepper::rejudge_stop() {
  if (s_.stop != 0) act(action::RejudgeStop{s_.stop});
  s_.stop = 0;  // until it comes again: what it meant before no longer counts
  s_.stop_is_real = false;
}

void Stepper::drop_copy() {
  act(action::DropCopy{});
  s_.dropping = true;
}

bool Stepper::answered_by_all() const {
  for (const NodeName& node : s_.asked) {
    if (!s_.answers.contains(node)) return false;
  }
  return true;
}

bool Stepper::absent_by_all(std::string* why_not) const {
  std::string silent;
  for (const NodeName& node : s_.asked) {
    const auto found = s_.answers.find(node);
    if (found == s_.answers.end()) {
      silent += (silent.empty() ? "" : ", ") + node;
      continue;
    }
    const Answer& answer = found->second;
    if (answer.kind == Answer::Kind::released) return false;
    if (answer.kind == Answer::Kind::gone && s_.noted.node == node && !s_.noted.installation.empty() &&
        s_.noted.installation != answer.installation) {
      *why_not = node + " was reinstalled since it held the domain, so it can't speak for what ran there: if nothing "
                        "of the old installation can run any more, say so with migrationctl forget " + node;
      return false;
    }
  }
  if (silent.empty()) return true;
  *why_not = std::string(no_proof) + silent + ": neither an answer, nor a farewell that counts, nor a successful fencing";
  return false;
}

void Stepper::settle_claim() {
  if (s_.phase != Phase::claim) return;
  if (here(Here::running) && s_.given_by.empty()) {
    // Started here by somebody else while we asked: not undone by us, and not unseen.
    say("it was started here behind our back while we still asked the others", AlarmKind::executes_unasked);
    must_be_on_disk();
    hold(s_.epoch.next(), Due::nothing);
    return;
  }
  if (!s_.given_by.empty()) {
    if (copy_unclear(s_.given_post_copy)) return;
    const NodeName from = s_.given_by;
    accept(from, s_.given_attempt, s_.given_epoch, s_.given_post_copy);
    return;
  }
  if (s_.invited) return;
  std::string why_not;
  if (!absent_by_all(&why_not)) {
    // What one of them said says more than who is silent; who that is changes.
    const bool nothing_said = s_.doubt.empty() || s_.doubt.starts_with(no_proof) || answered_by_all();
    if (!why_not.empty() && nothing_said) s_.doubt = why_not;
    return;
  }
  if (here(Here::unknown)) {
    s_.doubt = "the hypervisor does not say whether it runs here";
    return;
  }
  if (!nothing_here()) {
    drop_copy();
    s_.doubt = "a copy that was never given is being dropped here";
    return;
  }
  must_be_on_disk();
  // Who did not say its epoch itself may have gone on alone, taking back offers that nobody heard of: ours is to be
  // the larger one in any case, or a later change of owner would not be news to it.
  const bool unsaid = std::any_of(s_.answers.begin(), s_.answers.end(),
                                  [](const auto& answer) { return answer.second.by_proof(); });
  hold(unsaid ? Epoch{s_.epoch.value + epochs_unsaid} : s_.epoch.next(), Due::boot);
}

void Stepper::settle_withdrawn() {
  if (s_.phase != Phase::withdrawn) return;
  if (!s_.given_by.empty()) {
    if (copy_unclear(s_.given_post_copy)) return;
    const NodeName from = s_.given_by;
    accept(from, s_.given_attempt, s_.given_epoch, s_.given_post_copy);
    return;
  }
  if (here(Here::running)) {
    say("it executes here although it was never given: taken as ours", AlarmKind::executes_unasked);
    hold(s_.epoch.next(), Due::nothing);
    rejudge_stop();
    return;
  }
  if (!answered_by_all()) return;
  if (nothing_here()) {
    const std::string doubt = s_.doubt;
    enter_gone();
    best_effort();
    s_.doubt = doubt;
    answer_stop(true, "");
  } else if (!here(Here::unknown)) {
    drop_copy();
  }
}

}  // namespace migrationd::handoff
