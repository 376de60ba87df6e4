// SPDX-License-Identifier: GPL-2.0-or-later
// Routing: which runner an event concerns. Nothing is decided here.
#include "migrationd/engine/engine.h"

#include <algorithm>

#include "migrationd/engine/pending.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Phase;
namespace event = handoff::event;

namespace {
/// Proofs are looked for this often, and offers judged anew at every so many of it.
constexpr Milliseconds tick_every = 1s;
constexpr unsigned judge_every_ticks = 5;
constexpr unsigned look_for_missing_every_ticks = 20;
}  // namespace

Engine::Engine(World& world, handoff::Cluster cluster, PolicyReader read_policy, std::vector<Record> records,
               std::set<NodeName> farewells, std::map<DomainUuid, std::string> unreadable, std::vector<KeptDefinition> kept)
    : world_(world),
      cluster_(std::move(cluster)),
      read_policy_(std::move(read_policy)),
      farewells_(std::move(farewells)),
      old_farewells_(farewells_),
      unreadable_(std::move(unreadable)),
      definitions_(world_, cluster_.self,
                   {[this] { return cluster_.others; }, [this](const DomainUuid& uuid) { return held_here(uuid); },
                    [this](const KeptDefinition& kept) { definition_kept(kept); }},
                   std::move(kept)) {
  for (Record& record : records) {
    const DomainUuid uuid = record.uuid;
    Policy policy = policy_of(record.parameters);
    // Its start can't have succeeded: it ended with the daemon before this one, or for want of proof.
    const bool asks = record.state.phase == Phase::claim || record.state.phase == Phase::withdrawn;
    if (asks && !record.state.invited) unproven_starts_.insert(uuid);
    runners_[uuid] = std::make_unique<DomainRunner>(world_, static_cast<RunnerHost&>(*this), std::move(record), std::move(policy));
  }
}

Engine::~Engine() {
  if (tick_timer_ != 0) world_.clock.cancel(tick_timer_);
}

void Engine::begin() {
  begun_ = last_tick_ = world_.clock.now();
  world_.hypervisor.listen(this);
  world_.peers.listen(this);
  world_.cluster.listen(this);
  world_.log.clear(AlarmKind::fencing_failed, Subject::node(cluster_.self), "its daemon begins anew");
  // Claims of before are withdrawn whether or not the hypervisor answers; the rest is looked at again when
  // it does (hypervisor_changed).
  for (auto& [uuid, runner] : runners_) runner->feed(event::Recovered{});
  tick();
}

void Engine::tick() {
  tick_timer_ = world_.clock.schedule(tick_every, [this] { tick(); });
  note_tick();
  if (!hypervisor_usable_) still_away();
  look_for_proofs();
  clean_up_proven_starts();
  if (++ticks_ % judge_every_ticks == 0) {
    judge_offers();
    keep_utilization();
  }
  save_configs();
  definitions_.tick();
  answer_probes();
  look_for_resources();
  if (ticks_ % look_for_missing_every_ticks == 0) {
    // Heartbeat is not asked unless somebody wants to know: who died would stay a member in the status.
    for (const NodeName& node : cluster_.others) {
      if (!world_.peers.linked(node)) world_.cluster.member(node);
    }
  }
}

/// Of what runs here and is ours alone: who holds it next says it then.
void Engine::keep_utilization() {
  std::map<std::string, Utilization> all;
  for (const auto& [uuid, one] : runners_) {
    const DomainView view = one->view();
    const bool ours = one->state().phase == Phase::held && view.here == handoff::Here::running;
    if (!ours || one->record().resource.empty() || !one->policy().utilization) continue;
    if (Utilization its = one->policy().utilization(view); !its.empty()) all[one->record().resource] = std::move(its);
  }
  world_.cluster.keep_utilization(all);
}

Policy Engine::policy_of(const std::map<std::string, std::string>& parameters) const {
  auto policy = read_policy_(parameters);
  return policy.ok() ? std::move(policy.value()) : Policy{};
}

DomainRunner* Engine::find(const DomainUuid& uuid) const {
  const auto found = runners_.find(uuid);
  return found == runners_.end() ? nullptr : found->second.get();
}

DomainRunner* Engine::find_resource(const std::string& resource) {
  for (auto& [uuid, runner] : runners_) {
    if (!resource.empty() && runner->record().resource == resource) return runner.get();
  }
  return nullptr;
}

DomainRunner& Engine::runner(const DomainUuid& uuid, const std::string& name) {
  auto& slot = runners_[uuid];
  if (!slot) {
    Record record;
    record.uuid = uuid;
    record.name = name.empty() ? world_.hypervisor.look(uuid).name : name;
    if (record.name.empty()) record.name = uuid.str();
    slot = std::make_unique<DomainRunner>(world_, static_cast<RunnerHost&>(*this), std::move(record), policy_of({}));
    if (const auto found = unreadable_.find(uuid); found != unreadable_.end()) slot->leave_unwritten(found->second);
  }
  return *slot;
}

// ---------------------------------------------------------------- hypervisor

void Engine::domain_changed(const DomainUuid& uuid) {
  notice_end(uuid);
  if (DomainRunner* one = find(uuid)) one->feed(event::HereChanged{});
}

void Engine::hypervisor_changed(bool usable) {
  hypervisor_usable_ = usable;
  say_whether_hypervisor_answers();
  if (!usable) return;
  for (auto& [uuid, one] : runners_) {
    recovered_ ? notice_end(uuid) : notice_earlier_end(uuid);
    if (!recovered_) one->feed(event::Recovered{});
    one->feed(event::HereChanged{});
  }
  recovered_ = true;
}

void Engine::switching_over(const DomainUuid& uuid) {
  if (DomainRunner* one = find(uuid)) one->switching_over();
}

void Engine::switch_wanted(const DomainUuid& uuid, Attempt attempt, const std::string& why) {
  DomainRunner* one = find(uuid);
  if (one == nullptr || one->state().post_copy) return;
  one->remark("wants to go over to post-copy: " + why);
  one->feed(event::SwitchWanted{attempt});
}

// ---------------------------------------------------------------- peers

/// One overload per message of a peer.
struct Engine::FromPeer {

  Engine& e;
  const NodeName& from;
  const std::string& installation;

  void operator()(const wire::Hello&) {}
  void operator()(const wire::Claim& m) {
    const bool claimable = !e.world_.cluster.active_here() || e.world_.cluster.member(from);
    DomainRunner& runner = e.runner(m.domain, "");
    // Started here by hand, it leaves by the parameters of the resource that wants it, not by some of before that.
    const bool by_hand = runner.state().phase == Phase::gone || runner.record().resource.empty();
    if (claimable && by_hand && !m.resource.empty() && runner.view().here == handoff::Here::running) {
      runner.describe(m.resource, m.parameters, e.policy_of(m.parameters));
    }
    // No job for longer than the claimer waits for it.
    const auto stands = static_cast<std::uint64_t>(runner.policy().handoff_timeout.count());
    if (m.time_left_ms > 0) runner.job_by(e.world_.clock.now() + Milliseconds{std::min(m.time_left_ms, stands)});
    constexpr std::uint64_t many = 1000;
    if (m.full || m.places > 0) e.world_.hypervisor.places_at(from, static_cast<int>(std::min(m.places, many)));
    else e.world_.hypervisor.places_at(from, std::nullopt);
    runner.feed(event::Claim{
        from, m.attempt, claimable,
        claimable ? "" : "it is held by the cluster manager here, which does not see " + from + " as a member",
        m.epoch, m.post_copy});
  }
  void operator()(const wire::Withdraw& m) { e.runner(m.domain, "").feed(event::Withdraw{from, m.attempt}); }
  void operator()(const wire::Given& m) {
    e.served_[from] = ++e.arrivals_;
    to(m.domain, event::Given{from, m.attempt, m.epoch, m.post_copy});
  }
  void operator()(const wire::Released& m) { to(m.domain, event::Released{from, m.attempt, m.why}); }
  void operator()(const wire::Gone& m) {
    const DomainRunner* known = e.find(m.domain);
    if (known != nullptr && m.noted_node != from && m.noted_epoch > known->state().noted.epoch) e.saw_at_work(m.noted_node);
    to(m.domain, event::Gone{from, m.attempt, m.epoch, installation,
                             handoff::Holder{m.noted_node, m.noted_installation, m.noted_epoch}});
  }
  void operator()(const wire::Wait& m) { to(m.domain, event::Wait{from, m.attempt, m.why}); }
  void operator()(const wire::Acknowledged& m) { to(m.domain, event::Acknowledged{from, m.attempt, m.fetching}); }
  void operator()(const wire::Invite& m) {
    if (e.leaving_) {
      e.world_.peers.send(from, wire::Refusal{m.domain, "the destination's daemon is being stopped"});
      return;
    }
    DomainRunner& runner = e.runner(m.domain, m.name);
    if (runner.state().phase == Phase::gone) {
      if (!m.resource.empty()) runner.describe(m.resource, m.parameters, e.policy_of(m.parameters));
      if (!m.definition.empty()) runner.define({m.domain, m.name, m.definition, 0});
    }
    runner.feed(event::Invite{from});
  }
  void operator()(const wire::Refusal& m) {
    if (DomainRunner* runner = e.find(m.domain)) {
      if (runner->state().inviting == from) {
        runner->feed(event::PushEnded{runner->state().push, from + " refuses it: " + m.why});
      }
    }
  }
  void operator()(const wire::Note& m) {
    if (!m.definition.empty()) return e.take_definition(from, m);
    e.promises_.erase(m.domain);  // its holder keeps it
    e.held_by_[m.domain] = {from, e.world_.clock.now()};
    DomainRunner& runner = e.runner(m.domain, m.name);
    e.check_for_a_twin(from, runner, m.epoch);
    runner.feed(event::Note{handoff::Holder{from, installation, m.epoch}});
    if (runner.state().phase == Phase::gone) runner.held_elsewhere(from);
  }
  void operator()(const wire::AskReady& m) { e.answer_ready(from, m); }
  void operator()(const wire::Ready& m) { e.ready_answered(from, m); }
  void operator()(const wire::Farewell& m) {
    if (e.stood_still()) {
      e.world_.log.write(Log::Level::notice, "", "a farewell of " + from + " is not counted: it may have waited here unread");
      return;
    }
    e.world_.log.write(Log::Level::notice, "", from + " says farewell: nothing runs there");
    e.farewells_.insert(from);
    e.old_farewells_.erase(from);
    if (!e.world_.cluster.active_here()) e.overtaken_farewells(from, m.at_work);
    e.world_.journal.write_farewells(e.farewells_);
    e.look_for_proofs();
  }
  void operator()(const wire::Carry&) {}  // never on a link
  void operator()(const wire::Carried&) {}
  void operator()(const wire::SwitchingOver& m) {
    if (e.awaits_copy(m.domain, from, m.attempt).ok()) e.world_.hypervisor.announce(m.domain);
  }
  void operator()(const wire::Ping&) {}
  void operator()(const wire::Pong&) {}
  void operator()(const wire::Defined& m) { e.definitions_.heard(from, m); }
  void operator()(const wire::AskDefinition& m) { e.definitions_.asked(from, m); }

  void to(const DomainUuid& uuid, handoff::Event event) {
    if (DomainRunner* runner = e.find(uuid)) runner->feed(std::move(event));
  }
};

void Engine::received(const NodeName& from, const std::string& installation, const wire::PeerMessage& message) {
  if (!cluster_.others.contains(from)) return;
  last_word_[from] = world_.clock.now();
  const bool chatter = std::holds_alternative<wire::Farewell>(message) ||
                       std::holds_alternative<wire::Ping>(message) || std::holds_alternative<wire::Pong>(message);
  if (!chatter) heard_from(from);
  if (!about_unreadable(from, message)) std::visit(FromPeer{*this, from, installation}, message);
}

Outcome Engine::awaits_copy(const DomainUuid& uuid, const NodeName& from, Attempt attempt) const {
  const DomainRunner* runner = find(uuid);
  return handoff::awaits_copy(runner != nullptr ? runner->state() : handoff::State{}, from, attempt);
}

/// Nothing is decided, or written, about a domain whose record can't be read. Who withdraws a claim is released: nothing
/// was promised since this daemon came up, and nothing of before reaches it.
bool Engine::about_unreadable(const NodeName& from, const wire::PeerMessage& message) {
  if (unreadable_.empty()) return false;
  return std::visit([&](const auto& m) {
    if constexpr (requires { { m.domain } -> std::convertible_to<DomainUuid>; }) {
      using Message = std::decay_t<decltype(m)>;
      const auto found = unreadable_.find(m.domain);
      if (found == unreadable_.end()) return false;
      const std::string why = "its record here can't be read: " + found->second;
      if constexpr (std::is_same_v<Message, wire::Claim>) world_.peers.send(from, wire::Wait{m.domain, m.attempt, why});
      if constexpr (std::is_same_v<Message, wire::Withdraw>) world_.peers.send(from, wire::Released{m.domain, m.attempt, why});
      if constexpr (std::is_same_v<Message, wire::Invite>) world_.peers.send(from, wire::Refusal{m.domain, why});
      if constexpr (std::is_same_v<Message, wire::AskReady>) world_.peers.send(from, wire::Ready{m.question, false, why});
      return true;
    } else {
      return false;
    }
  }, message);
}

void Engine::link_changed(const NodeName& node, bool up) {
  say_link(node, up);
  std::erase_if(held_by_, [&](const auto& entry) { return entry.second.node == node; });
  definitions_.link_changed(node, up);
  if (!up) {  // its last word was earlier, and it may have been fenced between
    link_lost_[node] = world_.clock.now();
    return;
  }
  check_assumptions(node);
  saw_at_work(node);  // a new life of it, if it had said farewell
  for (auto& [uuid, one] : runners_) {
    one->not_synced(node);
    if (one->state().phase == Phase::held && one->state().due == handoff::Due::nothing) {
      world_.peers.send(node, wire::Note{uuid, one->record().name, one->state().epoch});
    }
    if (one->state().phase == Phase::claim || one->state().phase == Phase::withdrawn ||
        one->state().phase == Phase::given) {
      one->feed(event::Resend{});
    }
  }
}

void Engine::members_changed() {
  cluster_.others = world_.cluster.others();
  if (!members_known_ && world_.cluster.active_here()) {
    members_known_ = true;  // what fenced them is over, as nobody tells that they joined
    for (const NodeName& node : cluster_.others)
      if (world_.cluster.member(node)) last_word_[node] = world_.clock.now();
  }
  look_for_proofs();
}

void Engine::configuration_changed() {
  cluster_.others = world_.cluster.others();
  judge_offers();
}

// ---------------------------------------------------------------- leaving, and what there is

bool Engine::idle() const {
  if (!unreadable_.empty()) return false;
  // Also what nobody ever asked about, such as a domain that was started by hand: a peer may know it as its resource.
  const auto all = world_.hypervisor.all();
  const bool empty = std::all_of(all.begin(), all.end(), [](const auto& entry) { return entry.second.here == handoff::Here::absent; });
  return empty && std::all_of(runners_.begin(), runners_.end(), [](const auto& entry) {
    return entry.second->state().phase == Phase::gone && entry.second->view().here == handoff::Here::absent;
  });
}

void Engine::say_farewell() {
  leaving_ = true;
  if (!idle() || !hypervisor_usable_) return;
  const wire::Farewell farewell{maybe_at_work()};
  // From now on they may start without asking us, so their own farewells prove nothing any more.
  farewells_.clear();
  world_.journal.write_farewells(farewells_);
  for (const NodeName& node : cluster_.others) world_.peers.send(node, farewell);
}

void Engine::drain(Milliseconds limit, std::function<void()> done) {
  leaving_ = true;
  const bool busy = std::any_of(runners_.begin(), runners_.end(), [](const auto& entry) {
    switch (entry.second->state().phase) {
      case Phase::offered:
      case Phase::moving:
      case Phase::stopping:
      case Phase::given:
        return true;
      case Phase::gone:
      case Phase::claim:
      case Phase::withdrawn:
      case Phase::held:
        return false;
    }
    return false;
  });
  if (!busy || limit <= 0ms) {
    done();
    return;
  }
  world_.clock.schedule(200ms, [this, limit, done = std::move(done)] { drain(limit - 200ms, done); });
}

std::vector<DomainStatus> Engine::domains() const {
  std::vector<DomainStatus> all;
  for (const auto& [uuid, one] : runners_) {
    DomainStatus status{uuid, one->record().name, one->record().resource, one->state(), one->view(), Milliseconds{0},
                        {one->remarks().begin(), one->remarks().end()},
                        why_real_stop(*one), one->policy().unfenced_membership, one->moved_to(), one->definition_from()};
    if (status.state.phase == Phase::offered) status.offer_left = status.state.offer_ends - world_.clock.now();
    all.push_back(std::move(status));
  }
  for (const auto& [uuid, view] : world_.hypervisor.all()) {
    if (runners_.contains(uuid)) continue;
    all.push_back({uuid, view.name, "", {}, view, Milliseconds{0}, {}, why_real_stop({}, view, policy_of({})), false, {}, {}});
  }
  return all;
}

std::vector<PeerStatus> Engine::peers() const {
  std::vector<PeerStatus> all;
  for (const NodeName& node : cluster_.others) {
    all.push_back({node, world_.peers.linked(node), world_.cluster.member(node), farewells_.contains(node)});
  }
  return all;
}

}  // namespace migrationd::engine
