// SPDX-License-Identifier: GPL-2.0-or-later
// The runner's mailbox and its hands.
#include "migrationd/engine/domain-runner.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;
namespace action = handoff::action;
namespace event = handoff::event;

namespace {

/// What isn't answered is asked for again after this.
constexpr Milliseconds resend_after = 500ms;
/// Of a start's time, what is kept for the boot itself when a disk is to be made before.
constexpr Milliseconds boot_time = 15s;
/// The dead-man strikes this long after the deadline that the daemon itself keeps.
constexpr Milliseconds dead_man_delay = 20s;
constexpr std::size_t remarks_kept = 50;

}  // namespace

/// One overload per action of the pure room.
struct DomainRunner::Hands {
  DomainRunner& r;
  const DomainUuid& uuid() const { return r.record_.uuid; }

  void operator()(const action::SendClaim& a) {
    const Milliseconds left = r.start_by_ - r.world_.clock.now();
    wire::Claim claim{uuid(), a.attempt, a.epoch, r.record_.resource, r.record_.parameters,
                      static_cast<std::uint64_t>(std::max(left, Milliseconds{0}).count())};
    const std::string without = r.world_.hypervisor.no_post_copy();
    claim.post_copy = without.empty();
    if (!without.empty() && r.way_to(a.to).post_copy && !std::exchange(r.told_no_post_copy_, true))
      r.remark("it consents to post-copy, and comes without: " + without);
    if (const std::optional<int> places = r.host_.places_for(a.to)) {
      claim.places = static_cast<std::uint64_t>(*places);
      claim.full = *places == 0;
    }
    r.send(a.to, std::move(claim));
  }
  void operator()(const action::SendWithdraw& a) { r.send(a.to, wire::Withdraw{uuid(), a.attempt}); }
  void operator()(const action::SendGiven& a) {
    r.send(a.to, wire::Given{uuid(), a.attempt, a.epoch, a.post_copy});
    if (a.post_copy) r.world_.hypervisor.given_in_post_copy(uuid());
  }
  void operator()(const action::SendReleased& a) { r.send(a.to, wire::Released{uuid(), a.attempt, a.why}); }
  void operator()(const action::SendGone& a) {
    r.send(a.to, wire::Gone{uuid(), a.attempt, a.epoch, a.noted.node, a.noted.installation, a.noted.epoch});
  }
  void operator()(const action::SendWait& a) {
    const std::string turn = r.world_.hypervisor.waits_because(uuid());
    r.send(a.to, wire::Wait{uuid(), a.attempt, turn.empty() ? a.why : a.why + ", and " + turn});
  }
  void operator()(const action::SendAcknowledged& a) { r.send(a.to, wire::Acknowledged{uuid(), a.attempt, a.fetching}); }
  void operator()(const action::SendInvite& a) {
    r.send(a.to, wire::Invite{uuid(), r.record_.name, r.record_.definition, r.record_.resource, r.record_.parameters});
  }
  void operator()(const action::SendRefusal& a) { r.send(a.to, wire::Refusal{uuid(), a.why}); }
  void operator()(const action::SendNote& a) {
    for (const NodeName& node : r.host_.cluster().others) r.send(node, wire::Note{uuid(), r.record_.name, a.epoch});
  }
  void operator()(const action::Boot&) { r.boot(); }
  void operator()(const action::StartJob& a) { r.start_job(a); }
  void operator()(const action::StartPostCopy& a) {
    const Attempt attempt = a.attempt;
    r.world_.hypervisor.start_post_copy(uuid(), attempt, r.alive<Outcome>([this_ = &r, attempt](Outcome outcome) {
      if (!outcome.ok()) this_->feed(event::SwitchRefused{attempt, outcome.error()});
    }));
  }
  void operator()(const action::LetRun& a) { r.world_.hypervisor.let_run(uuid(), a.from, a.attempt); }
  void operator()(const action::AbortJob&) {
    r.world_.hypervisor.abort_job(uuid(), [](Outcome) {});  // the job's own end says what came of it
  }
  void operator()(const action::WatchJob& a) {
    const Attempt attempt = a.attempt;
    const MigrateOrder order = r.way_to(r.record_.state.peer, r.policy_.handoff_timeout);
    r.world_.hypervisor.watch_job(uuid(), order, r.alive<MigrationEnd>([this_ = &r, attempt](MigrationEnd end) {
      this_->job_ended(attempt, std::move(end));
    }));
  }
  void operator()(const action::Resume&) { r.resume(); }
  void operator()(const action::DropCopy&) { r.drop_copy(); }
  void operator()(const action::ShutDown& a) { r.shut_down(a.at_once); }
  void operator()(const action::ArmOffer& a) { r.arm_offer(a.ends); }
  void operator()(const action::DisarmOffer&) { r.disarm_offer(); }
  void operator()(const action::RequestFencing& a) { r.host_.request_fencing(a.node, a.why); }
  void operator()(const action::AnswerStart& a) {
    r.start_by_ = {};
    r.host_.answered(a.token, a.ok, a.why);
  }
  void operator()(const action::AnswerStop& a) { r.host_.answered(a.token, a.ok, a.why); }
  void operator()(const action::AnswerPush& a) { r.host_.answered(a.token, a.ok, a.why); }
  void operator()(const action::RejudgeStop& a) { r.host_.rejudge_stop(a.token); }
  void operator()(const action::RetryStart& a) { r.host_.retry_start(a.token); }
  void operator()(const action::Say& a) { a.alarm ? r.alarm(*a.alarm, a.text) : r.remark(a.text); }
};

DomainRunner::DomainRunner(World& world, RunnerHost& host, Record record, Policy policy)
    : world_(world), host_(host), record_(std::move(record)), policy_(std::move(policy)) {
  warn_of_policy();
}

DomainRunner::~DomainRunner() {
  for (TimerId timer : {resend_timer_, offer_timer_, grace_timer_, ask_timer_, destroy_timer_}) {
    if (timer != 0) world_.clock.cancel(timer);
  }
}

void DomainRunner::note(const std::string& text, std::optional<AlarmKind> alarm) {
  remarks_.push_back({world_.clock.now(), text, alarm.has_value(), alarm});
  if (remarks_.size() > remarks_kept) remarks_.pop_front();
}

void DomainRunner::remark(const std::string& text, EventKind kind) {
  note(text);
  world_.log.happened(kind, subject(), Log::Level::notice, text);
}

void DomainRunner::describe(const std::string& resource, const std::map<std::string, std::string>& parameters,
                            Policy policy) {
  record_.resource = resource;
  record_.parameters = parameters;
  policy_ = std::move(policy);
  warn_of_policy();
}

void DomainRunner::warn_of_policy() {
  // The daemon's own alarm stands for all that only go by the configuration.
  const bool unfenced = policy_.unfenced_membership && !policy_.unfenced_by_configuration && !record_.resource.empty();
  if (unfenced && !warned_unfenced_) {
    alarm(AlarmKind::unfenced_membership, "unfenced=membership: a node that is no member counts as absent without being fenced; a partition may run it twice");
  } else if (!unfenced) {
    clear(AlarmKind::unfenced_membership, "it asks for fencing again, or the configuration says the same of all");
  }
  warned_unfenced_ = unfenced;
}

void DomainRunner::define(const Definition& definition) {
  record_.name = definition.name;
  record_.definition = definition.xml;
}

void DomainRunner::keep() {
  keep_ = true;
  pump();
}

void DomainRunner::write(const Record& record, Callback<Outcome> done) {
  if (unwritten_.empty()) {
    return world_.journal.write(record, alive<Outcome>([this, done = std::move(done)](Outcome outcome) {
      if (outcome.ok()) clear(AlarmKind::journal_not_written, "its record is written");
      done(std::move(outcome));
    }));
  }
  const Outcome refused = Error{"its record on disk can't be read and is left as it is: " + unwritten_};
  world_.clock.schedule(Milliseconds{0}, [done = std::move(done), refused] { done(refused); });
}

void DomainRunner::write_record() {
  write(record_, alive<Outcome>([this](Outcome outcome) {
    if (!outcome.ok()) alarm(AlarmKind::journal_not_written, "the journal could not be written: " + outcome.error());
  }));
}

void DomainRunner::feed(handoff::Event event) {
  mailbox_.push_back(std::move(event));
  pump();
}

handoff::Context DomainRunner::context() const {
  const DomainView now = view();
  return {world_.clock.now(), now.here, now.fetching};
}

void DomainRunner::pump() {
  while (!stepping_ && (keep_ || !mailbox_.empty())) {
    // Not while a step is on its way to the disk, whose record is newer than ours.
    if (std::exchange(keep_, false)) {
      write_record();
      continue;
    }
    const handoff::Event event = std::move(mailbox_.front());
    mailbox_.pop_front();
    const handoff::Context context = this->context();
    handoff::Step step = handoff::step(host_.cluster(), record_.state, context, event);
    if (step.next.phase != record_.state.phase || !std::holds_alternative<event::Resend>(event)) {
      world_.log.write(Log::Level::debug, record_.name,
                       handoff::to_string(event) + " [" + handoff::to_string(context.here) + "]: " +
                           handoff::to_string(record_.state.phase) + " -> " + handoff::to_string(step.next.phase));
    }
    if (step.journal != handoff::Journal::required) {
      taken(std::move(step));
      continue;
    }
    stepping_ = true;
    Record next = record_;
    next.state = step.next;
    auto shared = std::make_shared<handoff::Step>(std::move(step));
    write(next, alive<Outcome>([this, shared, event](Outcome outcome) {
      stepping_ = false;
      if (outcome.ok()) {
        shared->journal = handoff::Journal::unchanged;
        taken(std::move(*shared));
      } else {
        taken(handoff::journal_failed(host_.cluster(), record_.state, this->context(), event, outcome.error()));
      }
      pump();
    }));
  }
}

void DomainRunner::taken(handoff::Step step) {
  const bool write = step.journal != handoff::Journal::unchanged;
  const handoff::State before = std::exchange(record_.state, std::move(step.next));
  const bool holds = record_.state.phase == Phase::held && before.phase != Phase::held;
  if (record_.state.phase == Phase::given) moved_to_ = record_.state.peer;
  else if (record_.state.phase != Phase::gone) moved_to_.clear();
  if (record_.state.phase != Phase::stopping) {
    ending_ = false;
    if (grace_timer_ != 0) world_.clock.cancel(grace_timer_);
    grace_timer_ = 0;
  }
  if (holds) host_.holds(record_.uuid);
  if (write) write_record();  // safe without it, so nobody waits for it
  stepping_ = true;  // what the actions feed back waits for its turn
  carry_out(step.actions);
  look_at_alarms(before);
  stepping_ = false;
  keep_resending();
}

void DomainRunner::carry_out(const std::vector<handoff::Action>& actions) {
  Hands hands{*this};
  for (const handoff::Action& one : actions) std::visit(hands, one);
}

void DomainRunner::keep_resending() {
  const handoff::State& s = record_.state;
  const Here here = view().here;
  const bool due = s.phase == Phase::claim || s.phase == Phase::withdrawn || s.phase == Phase::given ||
                   (s.phase == Phase::held && (!s.inviting.empty() || s.due != handoff::Due::nothing || here == Here::absent)) ||
                   (s.phase == Phase::moving && here == Here::remains) ||
                   (s.phase == Phase::offered && (here == Here::paused || here == Here::absent));
  if (due && resend_timer_ == 0) {
    resend_timer_ = world_.clock.schedule(resend_after, [this] {
      resend_timer_ = 0;
      feed(event::Resend{});
      keep_resending();
    });
  } else if (!due && resend_timer_ != 0) {
    world_.clock.cancel(resend_timer_);
    resend_timer_ = 0;
  }
}

void DomainRunner::send(const NodeName& to, wire::PeerMessage message) { world_.peers.send(to, message); }

void DomainRunner::boot() {
  boot_waits_ = dropping_ || destroying_;
  if (boot_waits_) return;
  Definition definition{record_.uuid, record_.name, record_.definition, 0};
  definition.disk = policy_.disk;
  if (const Milliseconds left = start_by_ - world_.clock.now(); definition.disk && start_by_ > Instant{})
    definition.disk->time = std::max(left - std::min(boot_time, left / 4), Milliseconds{1});
  if (!no_definition_.empty()) return feed(event::BootFailed{no_definition_});
  if (definition.xml.empty()) return feed(event::BootFailed{"its definition is not known on this node: give the parameter config"});
  if (!definition_from_.empty()) remark("booted from " + definition_from_);
  world_.hypervisor.boot(definition, alive<Outcome>([this](Outcome outcome) {
    if (outcome.ok()) {
      executes(handoff::Due::boot);
    } else {
      feed(event::BootFailed{outcome.error()});
    }
  }));
}

void DomainRunner::boot_if_it_waited() {
  if (!boot_waits_ || dropping_ || destroying_) return;
  boot_waits_ = false;
  if (record_.state.due != handoff::Due::boot) return;
  if (record_.state.phase == Phase::held) {
    boot();
  } else {
    feed(event::BootFailed{"it was stopped before it was booted"});
  }
}

/// The call's answer can be ahead of the hypervisor's event. Looked at between the two, a domain that was just
/// booted would pass for one that died.
void DomainRunner::executes(handoff::Due what) {
  const Here here = view().here;
  if (here == Here::running || here == Here::unknown) {
    feed(event::Executes{what});
    return;
  }
  world_.hypervisor.refresh(alive<Outcome>([this, what](Outcome) { feed(event::Executes{what}); }));
}

void DomainRunner::resume() {
  if (resuming_) return;
  resuming_ = true;
  world_.hypervisor.resume(record_.uuid, alive<Outcome>([this](Outcome outcome) {
    resuming_ = false;
    if (outcome.ok()) {
      executes(handoff::Due::resume);
    } else {
      alarm(AlarmKind::resume_failed, "could not be resumed, tried again: " + outcome.error());
    }
  }));
}

void DomainRunner::drop_copy() {
  const Here here = view().here;
  if (dropping_ || (here != Here::paused && here != Here::incoming && here != Here::remains)) return;  // never what executes
  dropping_ = true;
  world_.hypervisor.destroy(record_.uuid, alive<Outcome>([this](Outcome outcome) {
    dropping_ = false;
    boot_if_it_waited();
    if (!outcome.ok()) alarm(AlarmKind::copy_not_dropped, "a copy that was never given could not be dropped: " + outcome.error());
    feed(event::HereChanged{});
  }));
}

void DomainRunner::start_job(const action::StartJob& job) {
  const NodeName& to = job.to;
  const Attempt attempt = job.attempt;
  const Milliseconds left = std::exchange(job_by_, {}) - world_.clock.now();
  remark("migrating to " + to, EventKind::migration_begun);
  save_config();
  MigrateOrder order = way_to(to, left.count() > 0 ? left : policy_.handoff_timeout);
  order.attempt = attempt;
  order.post_copy = order.post_copy && job.post_copy;  // who claims it may be of an older version
  world_.hypervisor.migrate(record_.uuid, order, alive<MigrationEnd>([this, attempt](MigrationEnd end) {
    job_ended(attempt, std::move(end));
  }));
}

void DomainRunner::switching_over() {
  if (record_.state.phase != Phase::moving) return;
  announced_away_ = true;
  send(record_.state.peer, wire::SwitchingOver{record_.uuid, record_.state.serving});
}

void DomainRunner::job_ended(Attempt attempt, MigrationEnd end) {
  const bool stays = end.end == handoff::JobEnd::runs_here || end.end == handoff::JobEnd::paused_here;
  if (std::exchange(announced_away_, false) && stays) world_.hypervisor.announce(record_.uuid);
  const bool migrated = end.end == handoff::JobEnd::migrated;
  if (!end.why.empty() && !migrated) remark("the migration ended: " + end.why, EventKind::migration_ended);
  else world_.log.happened(EventKind::migration_ended, subject(), Log::Level::debug, migrated ? "the migration has ended: it is over" : "the migration has ended");
  if (end.end != handoff::JobEnd::runs_here && record_.state.phase == Phase::moving) host_.saw_at_work(record_.state.peer);
  feed(event::JobEnded{attempt, end.end, end.why});
}

void DomainRunner::arm_offer(Instant ends) {
  disarm_offer();
  const Milliseconds left = std::max(ends - world_.clock.now(), Milliseconds{0});
  world_.dead_man.arm(record_.uuid, left + dead_man_delay, alive<Outcome>([this](Outcome outcome) {
    if (outcome.ok()) return;
    feed(event::Judged{handoff::Judgement::real_stop, "it would have no end should the daemon die: " + outcome.error()});
  }));
  offer_timer_ = world_.clock.schedule(left, [this] {
    offer_timer_ = 0;
    feed(event::Deadline{});
  });
}

void DomainRunner::disarm_offer() {
  if (offer_timer_ != 0) world_.clock.cancel(offer_timer_);
  offer_timer_ = 0;
  world_.dead_man.disarm(record_.uuid);
}

}  // namespace migrationd::engine
