// SPDX-License-Identifier: GPL-2.0-or-later
// The inside of step(): one event applied to one state. The events of a holder are in holder.cc, those of a
// claimer in claimer.cc, those of the cluster manager in orders.cc; each file is the transition table of its
// half, one function an event.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "migrationd/handoff/handoff.h"

namespace migrationd::handoff {

class Stepper {
 public:
  Stepper(const Cluster& cluster, const State& state, const Context& context)
      : cluster_(cluster), before_(state), s_(state), context_(context) {
    if (nothing_here()) s_.dropping = false;
    // Of no job of ours: somebody else's, and nobody here can tell where it executes.
    if (here(Here::remains) && s_.phase != Phase::moving && s_.phase != Phase::given) context_.here = Here::unknown;
  }

  // orders.cc: the cluster manager's
  void on(const event::Start& e);
  void on(const event::StartEnded& e);
  void on(const event::Stop& e);
  void on(const event::Push& e);
  void on(const event::PushEnded& e);
  void on(const event::Deadline& e);
  void on(const event::Judged& e);
  void on(const event::TimeShort& e);

  // holder.cc: the one who has it
  void on(const event::Claim& e);
  void on(const event::Withdraw& e);
  void on(const event::Acknowledged& e);
  void on(const event::JobEnded& e);
  void on(const event::DestroyFailed& e);
  void on(const event::SwitchWanted& e);
  void on(const event::SwitchRefused& e);

  // claimer.cc: the one who wants it
  void on(const event::Invite& e);
  void on(const event::Given& e);
  void on(const event::Released& e);
  void on(const event::Gone& e);
  void on(const event::Wait& e);
  void on(const event::Proven& e);
  void on(const event::Unproven& e);
  void on(const event::Executes& e);
  void on(const event::BootFailed& e);

  // handoff.cc: both
  void on(const event::Note& e);
  void on(const event::HereChanged& e);
  void on(const event::Recovered& e);
  void on(const event::Forget& e);
  void on(const event::Resend& e);

  /// After every event: whatever waits and has become possible.
  void settle();
  Step take();

 private:
  template <class A>
  void act(A action) {
    actions_.push_back(std::move(action));
  }
  void say(std::string text, std::optional<AlarmKind> alarm = {}) { act(action::Say{std::move(text), alarm}); }
  /// The step is safe without its record on disk.
  void best_effort() { best_effort_ = true; }
  /// The step is not safe without its record, whatever else it does.
  void must_be_on_disk() { must_be_on_disk_ = true; }
  bool here(Here h) const { return context_.here == h; }
  bool nothing_here() const { return here(Here::absent); }

  void answer_start(bool ok, const std::string& why);
  void answer_stop(bool ok, const std::string& why);
  void answer_push(bool ok, const std::string& why);

  void enter_gone();
  void died();
  void ended();
  void hold(Epoch epoch, Due due);
  void offer(Milliseconds left);
  void take_back(const std::string& why);
  void stop_for_real(bool at_once);
  void begin_claim(bool invited, std::set<NodeName> asked);
  void withdraw(const std::string& why);
  void next_attempt();
  void ask_anew(bool of_who_left);
  void held_later_than_known(const NodeName& node);
  void drop_copy();
  void rejudge_stop();
  /// Given to us, but what became of the copy must be seen first.
  bool copy_unclear(bool post_copy) const {
    return (here(Here::incoming) && !post_copy) || here(Here::unknown) || s_.dropping;
  }
  void send_claims();
  void send_withdraws();
  void move_to(const event::Claim& e, bool from_held);
  void abort_job();
  void give_in_post_copy();
  void send_given();
  void remains_ended();
  void useless_to_peer();
  void end_of_giving();
  void accept(const NodeName& from, Attempt attempt, Epoch epoch, bool post_copy);
  void died_in_post_copy(NodeName from, Attempt attempt);
  void send_acknowledged(const NodeName& to, Attempt attempt);
  void settle_claim();
  void settle_withdrawn();
  void settle_orders();
  bool answered_by_all() const;
  bool absent_by_all(std::string* why_not) const;
  Attempt last_of(const NodeName& claimer) const;
  void release(const event::Claim& e, const std::string& why);
  void say_gone(const event::Claim& e);
  std::string not_running() const;
  void say_it_runs_twice(const Holder& holder, const std::string& what_is_done);
  void conflict(const Holder& holder);
  bool superseded() const;

  const Cluster& cluster_;
  const State& before_;
  State s_;
  Context context_;
  std::vector<Action> actions_;
  bool best_effort_ = false;
  bool must_be_on_disk_ = false;
  bool just_executed_ = false;
};

}  // namespace migrationd::handoff
