// SPDX-License-Identifier: GPL-2.0-or-later
// One domain on this node: its record, its mailbox, and the hands of the pure room `handoff`. Events are
// stepped one at a time; a step whose record must be on disk first holds up the next one until it is.
//
//     event -> [mailbox] -> step() -> journal -> actions -> hypervisor, peers, timers, orders
//
// The runner decides nothing about who may run the domain. It only sees to it that a step's actions are
// carried out in order, that no hypervisor call is made twice at a time, and that what repeats is repeated.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "migrationd/engine/policy.h"
#include "migrationd/engine/world.h"
#include "migrationd/handoff/handoff.h"

namespace migrationd::engine {

/// What a runner needs of the engine around it.
class RunnerHost {
 public:
  virtual ~RunnerHost() = default;
  virtual const handoff::Cluster& cluster() const = 0;
  virtual void answered(handoff::Token token, bool ok, const std::string& why) = 0;
  virtual void rejudge_stop(handoff::Token token) = 0;
  virtual void retry_start(handoff::Token token) = 0;
  virtual void request_fencing(const NodeName& node, const std::string& why) = 0;
  /// `node` took a domain of ours: what proves it absent must be later.
  virtual void saw_at_work(const NodeName& node) = 0;
  /// How many migrations may be under way from `node` to here; nothing: as many as it wants.
  virtual std::optional<int> places_for(const NodeName& node) const { return (void)node, std::nullopt; }
  /// The domain is held here now, and was not before.
  virtual void holds(const DomainUuid& uuid) { (void)uuid; }
};

/// One line of a domain's recent history, for `explain`.
struct Remark {
  Instant at;
  std::string text;
  bool alarm = false;
  std::optional<AlarmKind> stands{};  ///< of an alarm that was not seen to be over since
};

class DomainRunner {
 public:
  DomainRunner(World& world, RunnerHost& host, Record record, Policy policy);
  ~DomainRunner();
  DomainRunner(const DomainRunner&) = delete;
  DomainRunner& operator=(const DomainRunner&) = delete;

  void feed(handoff::Event event);
  /// A remark for the log and for `explain`.
  void remark(const std::string& text, EventKind kind = EventKind::notice);
  /// The same of what people must look at, until it is cleared. What is tried every half second is said once in a while.
  void alarm(AlarmKind kind, const std::string& text);
  void clear(AlarmKind kind, const std::string& why);
  Subject subject() const { return Subject::domain(record_.uuid, record_.name, record_.resource); }
  /// Another node says that it holds it.
  void held_elsewhere(const NodeName& node);

  const Record& record() const { return record_; }
  const handoff::State& state() const { return record_.state; }
  DomainView view() const { return world_.hypervisor.look(record_.uuid); }
  const std::deque<Remark>& remarks() const { return remarks_; }
  /// Who got it live when it left here last; empty: nobody, it is here, or this daemon did not see it.
  const NodeName& moved_to() const { return moved_to_; }
  const Policy& policy() const { return policy_; }
  /// New facts about the resource; they reach the disk with the next step, or by keep().
  void describe(const std::string& resource, const std::map<std::string, std::string>& parameters, Policy policy);
  void define(const Definition& definition);
  /// Where the definition is from, when not from the resource's file, for who boots it; `why_not`: the file is there and can't be
  /// used, so that nothing is booted from what is known of it otherwise.
  const std::string& definition_from() const { return definition_from_; }
  void definition_is(const std::string& from, const std::string& why_not) {
    definition_from_ = from;
    no_definition_ = why_not;
  }
  /// Writes the record although no step asks for it. A disk that refuses is said, and changes nothing.
  void keep();
  /// Its record on disk can't be read, `why`, and is left as it is: a newer version may need it.
  void leave_unwritten(const std::string& why) { unwritten_ = why; }
  /// When the stop that is being carried out must have ended its work.
  void stop_by(Instant when) { stop_by_ = when; }
  /// When the job that is about to start must have ended.
  void job_by(Instant when) { job_by_ = when; }
  /// How its memory gets to `node`, within `limit`.
  MigrateOrder way_to(const NodeName& node, Milliseconds limit = Milliseconds{0}) const {
    MigrateOrder order;
    if (policy_.way_to) order = policy_.way_to(record_.name, node);
    order.to = node;
    order.limit = limit;
    order.priority = priority();
    return order;
  }
  int priority() const { return policy_.priority.value_or(priority_); }
  /// The cluster manager's.
  void priority(int priority) { priority_ = priority; }
  /// Writes its definition back to the file of its resource, if that wants so and it runs here, and sends it to the nodes that do
  /// not have it. Nothing waits for it.
  void save_config();
  void save_config_if_ours();
  /// Its definition was looked at for the other nodes; `trouble`: why they keep what they have, or empty.
  void definition_shared(const std::string& trouble);
  /// `node` may have missed the last one.
  void not_synced(const NodeName& node) { unsynced_.insert(node); }
  /// Its job has come to the switchover: what is sent to the guest is to wait for it at the destination.
  void switching_over();
  /// A start has until then.
  void start_by(Instant when) { start_by_ = when; }

 private:
  struct Hands;  // one overload per action

  void note(const std::string& text, std::optional<AlarmKind> alarm = {});
  void warn_of_policy();
  void look_at_alarms(const handoff::State& before);
  void write(const Record& record, Callback<Outcome> done);
  void write_record();
  void pump();
  void taken(handoff::Step step);
  void carry_out(const std::vector<handoff::Action>& actions);
  void keep_resending();
  void send(const NodeName& to, wire::PeerMessage message);
  void boot();
  void boot_if_it_waited();
  void executes(handoff::Due what);
  void resume();
  void definition_saved(const Result<SavedDefinition>& saved, Epoch epoch);
  void drop_copy();
  void start_job(const handoff::action::StartJob& job);
  handoff::Context context() const;
  void job_ended(Attempt attempt, MigrationEnd end);
  void shut_down(bool at_once);
  void ask_guest();
  void destroy();
  void try_to_destroy(Instant until, bool first);
  bool to_be_destroyed() const;
  void destroyed(Outcome outcome);
  void arm_offer(Instant ends);
  void disarm_offer();
  /// Wraps a callback so that it is dropped when the runner is gone.
  template <class T>
  Callback<T> alive(std::function<void(T)> call) {
    return [weak = std::weak_ptr<int>(life_), call = std::move(call)](T value) {
      if (weak.lock()) call(std::move(value));
    };
  }

  World& world_;
  RunnerHost& host_;
  Record record_;
  NodeName moved_to_;
  Policy policy_;
  std::deque<handoff::Event> mailbox_;
  std::deque<Remark> remarks_;
  std::string unwritten_;   // why the record on disk is left as it is
  std::string definition_from_, no_definition_;  // see definition_is()
  bool saving_ = false;     // its definition
  std::string save_trouble_, share_trouble_;  // said last
  std::set<NodeName> unsynced_;
  bool warned_unfenced_ = false;
  bool seen_here_ = false;  // it ran here in this daemon's time
  bool keep_ = false;       // the record is to be written between two steps
  bool stepping_ = false;   // a step's record is on its way to the disk, or its actions are being carried out
  bool resuming_ = false;
  bool dropping_ = false;
  bool told_no_post_copy_ = false;
  bool announced_away_ = false;  // the destination was told of the job's switchover
  bool ending_ = false;     // a shutdown or destroy is under way
  bool destroying_ = false;
  bool boot_waits_ = false;  // for the end of a destroy, which would else hit what is booted
  TimerId resend_timer_ = 0;
  TimerId offer_timer_ = 0;
  TimerId grace_timer_ = 0;
  TimerId ask_timer_ = 0;
  TimerId destroy_timer_ = 0;
  Instant stop_by_;
  Instant job_by_;
  Instant start_by_;
  int priority_ = 0;        // the cluster manager's, as far as it was asked
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::engine
