// SPDX-License-Identifier: GPL-2.0-or-later
// May a domain come to this node? Asked before every offer and push, so that a domain is not parted with
// for a node that can't take it.
#include <algorithm>
#include <utility>

#include "migrationd/converge/turns.h"
#include "migrationd/engine/engine.h"
#include "migrationd/engine/pending.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;

namespace {
/// How long a destination is waited for: enough for its daemon to be restarted. The guest runs meanwhile, so
/// waiting costs no outage, and giving up does.
constexpr Milliseconds answer_time = 8s;
constexpr Milliseconds ask_again_after = 500ms;
/// Who was told that there is room has as long to come: as long as offers stand as a rule.
constexpr Milliseconds promise_stands = 120s;
constexpr std::uint64_t mib = 1024 * 1024;

/// A rate that was measured longer ago refuses nothing: the network may be another by now, and what is refused is not measured.
constexpr Milliseconds measured_lately = 10min;

/// Why the memory that has been touched is hopeless to send in time, at the resource's migration_speed or at the rate that was measured
/// to that node lately; empty: it isn't. Pages that are all zeros take no time, and what is dirtied meanwhile takes more: so only
/// twice the time is refused. Nothing is refused on a guess, because the guest is then restarted.
std::string too_slow(const Departure& departure, const MigrateOrder& way, const Speed& speed, Milliseconds job_time) {
  const std::uint64_t measured = speed.ago <= measured_lately ? speed.bytes_per_second : 0;
  const std::uint64_t cap = way.speed_mib * mib;
  const auto least = converge::predicted(departure.resident_kib * 1024, measured, cap);
  if (!least || *least <= job_time * 2) return "";
  const bool by_cap = cap != 0 && (measured == 0 || cap <= measured);
  const std::string rate = by_cap ? "its migration_speed of " + std::to_string(way.speed_mib) + " MiB/s"
                                  : "the " + std::to_string(std::max<std::uint64_t>(measured / mib, 1)) + " MiB/s that were measured to " + way.to + " lately";
  return "at " + rate + " its " + std::to_string(departure.resident_kib / 1024) + " MiB take " + std::to_string(least->count() / 1000) +
         " s, and the migration has " + std::to_string(job_time.count() / 1000) + " s: raise " + (by_cap ? "migration_speed, or " : "") +
         "the time of the action";
}
/// A hypervisor that is silent when a start begins is looked at in this rhythm.
constexpr Milliseconds look_again_after = 200ms;
constexpr const char* resources_under_way = "the storage pools and networks that the domain needs are being started";
}  // namespace

std::uint64_t Engine::new_question(const NodeName& node, const DomainRunner& runner, Instant order_ends, Callback<Fitness> done) {
  const std::uint64_t number = next_question_++;
  Question& question = questions_[number];
  question.node = node;
  question.done = std::move(done);
  const Instant now = world_.clock.now();
  question.ends = now + std::min(answer_time, std::max((order_ends - now) / 4, Milliseconds{0}));
  question.message = {number, runner.record().uuid, runner.record().name, runner.view().memory_kib,
                      runner.record().definition, false, {}, runner.policy().start_resources};
  return number;
}

/// Whether it could be booted there from its definition, which needs not have the CPU that the running domain came to.
void Engine::ask_whether_it_boots(const NodeName& node, const DomainRunner& runner, Instant order_ends, Callback<Fitness> done) {
  ask_again(new_question(node, runner, order_ends, std::move(done)));
}

void Engine::ask_ready(const NodeName& node, const DomainRunner& runner, Instant order_ends, Milliseconds job_time,
                       Callback<Fitness> done, bool only_asked) {
  const std::uint64_t number = new_question(node, runner, order_ends, std::move(done));
  Question& question = questions_.at(number);
  question.message.only_asked = only_asked;
  const MigrateOrder way = runner.way_to(node);
  if (const std::string& resource = runner.record().resource; !resource.empty() && !runner.policy().priority) {
    world_.cluster.priority_of(resource, alive<Result<int>>([this, uuid = runner.record().uuid](Result<int> priority) {
      if (DomainRunner* one = find(uuid); one && priority.ok()) one->priority(priority.value());
    }));
  }
  world_.hypervisor.departure(question.message.domain, way, alive<Result<Departure>>([this, number, job_time, way](Result<Departure> departure) {
    const Speed speed = world_.hypervisor.measured_speed(way.to);
    if (departure.ok()) questions_.at(number).takes = converge::predicted(departure.value().resident_kib * 1024, speed.bytes_per_second, speed.bytes_per_second == 0 ? 0 : way.speed_mib * mib);
    departs(number, departure, departure.ok() ? too_slow(departure.value(), way, speed, job_time) : "");
  }));
}

/// The live definition is what must fit: it has the CPU model that `host-model` came to, and disks that were plugged in.
void Engine::departs(std::uint64_t number, const Result<Departure>& departure, const std::string& too_slow) {
  Question& question = questions_.at(number);
  if (departure.ok()) {
    question.message.definition = departure.value().definition;
    question.message.host = departure.value().host;
  } else if (DomainRunner* runner = find(question.message.domain)) {
    runner->remark("whether its disks and CPU are the same on " + question.node + " is not compared: " + departure.error());
  }
  if (too_slow.empty()) return ask_again(number);
  Question over = std::move(question);
  questions_.erase(number);
  over.done(Fitness{too_slow, false, ""});
}

void Engine::ask_again(std::uint64_t number) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  Question& question = found->second;
  if (world_.clock.now() >= question.ends) {
    Question over = std::move(question);
    questions_.erase(found);
    if (!world_.peers.linked(over.node)) over.why_not = "there is no link to the daemon of " + over.node;
    if (over.why_not.empty()) over.why_not = over.node + " did not say in time whether it can take it";
    over.done(Fitness{over.why_not, false, ""});
    return;
  }
  world_.peers.send(question.node, question.message);
  question.timer = world_.clock.schedule(ask_again_after, [this, number] { ask_again(number); });
}

void Engine::ready_answered(const NodeName& from, const wire::Ready& answer) {
  const auto found = questions_.find(answer.question);
  const bool asked = found != questions_.end() && found->second.timer != 0;  // not only about to be
  if (!asked || found->second.node != from) return;
  if (!answer.ready) {
    // Asked again as long as there's time: what is in the way may be over soon. Incompatible twice running is a verdict: a guest
    // may be stopped for it.
    found->second.why_not = from + " can't take it: " + answer.why;
    const bool again = std::exchange(found->second.incompatible, answer.incompatible);
    if (!answer.incompatible || !again) return;
  }
  Question question = std::move(found->second);
  questions_.erase(found);
  world_.clock.cancel(question.timer);
  if (!answer.ready) return question.done(Fitness{question.why_not, true, ""});
  if (DomainRunner* runner = find(question.message.domain); runner != nullptr && !answer.why.empty())
    runner->remark(from + " can take it, but: " + answer.why);
  question.done(Fitness{"", false, "", question.takes});
}

/// Whose domains are claimed here is known by their holders' word; where nothing is, the claim that is about to be sent is the first.
std::optional<int> Engine::places_for(const NodeName& node) const {
  const int at_once = world_.hypervisor.arrivals_at_once();
  if (at_once == 0) return std::nullopt;
  std::map<NodeName, converge::Sender> from;
  from[node].node = node;
  for (const auto& [uuid, runner] : runners_) {
    if (runner->state().phase != Phase::claim) continue;
    const auto holder = held_by_.find(uuid);
    if (holder == held_by_.end()) continue;
    converge::Sender& sender = from[holder->second.node];
    sender.node = holder->second.node;
    const Here here = runner->view().here;
    ++(here == Here::incoming || here == Here::paused ? sender.arriving : sender.waiting);
  }
  std::vector<converge::Sender> senders;
  for (auto& [name, sender] : from) {
    if (const auto served = served_.find(name); served != served_.end()) sender.served = served->second;
    senders.push_back(sender);
  }
  return converge::shared_places(senders, at_once).at(node);
}

/// What is spoken for here and does not show in the free memory yet: domains that are claimed or just booted, and those
/// that others were told to have room here. What is offered from here runs here still, and what arrives is left out of
/// the free memory by the hypervisor itself.
std::uint64_t Engine::promised_memory_kib(const DomainUuid& except) const {
  std::map<DomainUuid, std::uint64_t> kib;
  for (const auto& [uuid, promise] : promises_)
    if (promise.ends > world_.clock.now()) kib[uuid] = promise.memory_kib;
  for (const auto& [uuid, runner] : runners_) {
    const handoff::State& state = runner->state();
    const bool coming = state.phase == Phase::claim || state.phase == Phase::withdrawn ||
                        (state.phase == Phase::held && state.due == handoff::Due::boot);
    if (coming) kib[uuid] = world_.hypervisor.memory_need_kib(runner->record().definition);
  }
  for (const auto& [token, pending] : pending_) {  // its claim may be on its way to the disk still
    const bool start = pending->order.kind == Order::Kind::start || pending->order.kind == Order::Kind::migrate_from;
    if (start) kib[pending->uuid] = world_.hypervisor.memory_need_kib(find(pending->uuid)->record().definition);
  }
  std::uint64_t sum = 0;
  for (const auto& [uuid, its] : kib)
    if (uuid != except && world_.hypervisor.look(uuid).here == Here::absent) sum += its;
  return sum;
}

std::string Engine::no_room(const DomainUuid& uuid, std::uint64_t need_kib) const {
  const std::optional<std::uint64_t> free = world_.hypervisor.free_memory_kib();
  if (!free || need_kib == 0) return "";
  const std::uint64_t promised = promised_memory_kib(uuid);
  if (need_kib + promised <= *free) return "";
  return "the domain needs " + std::to_string(need_kib / 1024) + " MiB and " + std::to_string(*free / 1024) +
         " MiB are free, of which " + std::to_string(promised / 1024) + " MiB are promised to others";
}

void Engine::answer_ready(const NodeName& from, const wire::AskReady& question) {
  const auto answer = [this, from, uuid = question.domain, number = question.question,
                       only_asked = question.only_asked](const std::string& why_not, const std::string& doubt = "",
                                                                        bool incompatible = false) {
    if (!why_not.empty() && !only_asked) promises_.erase(uuid);
    world_.peers.send(from, wire::Ready{number, why_not.empty(), why_not.empty() ? doubt : why_not, incompatible});
  };
  // Also when it was started here by hand: a domain that runs twice is never offered.
  if (world_.hypervisor.look(question.domain).here == Here::running) return answer("it runs there, too");
  if (leaving_) return answer("its daemon is being stopped");
  if (!hypervisor_usable_) return answer("its hypervisor does not answer");
  if (const DomainRunner* runner = find(question.domain)) {
    const Phase phase = runner->state().phase;
    if (phase != Phase::gone && phase != Phase::claim && phase != Phase::withdrawn) {
      return answer(std::string("it has the domain as ") + handoff::to_string(phase));
    }
  }
  const std::uint64_t need_kib =
      question.definition.empty() ? question.memory_kib : world_.hypervisor.memory_need_kib(question.definition);
  if (const std::string why_not = no_room(question.domain, need_kib); !why_not.empty()) return answer(why_not);
  if (!question.only_asked) promises_[question.domain] = {need_kib, world_.clock.now() + promise_stands};
  // An offer that the cluster manager here does not live to fetch would stand until its deadline.
  world_.cluster.staying(alive<Outcome>([this, answer, question](Outcome stays) {
    if (!stays.ok()) return answer(stays.error());
    if (question.definition.empty()) return answer("");
    // Asked again meanwhile: the question that had them started is answered when they are.
    if (starting_resources_.contains(question.domain)) return answer(resources_under_way);
    const Departure departure{question.definition, question.host, 0, question.start_resources};
    world_.hypervisor.check(departure, alive<Fitness>([this, answer, question](Fitness fitness) {
      if (!fitness.ok()) return answer(fitness.why_not, "", fitness.incompatible);
      if (!question.start_resources || question.only_asked) return answer("", fitness.doubt);
      if (starting_resources_.contains(question.domain)) return answer(resources_under_way);
      start_resources({question.domain, question.name, question.definition, 0}, [answer, doubt = fitness.doubt](Outcome started) {
        started.ok() ? answer("", doubt) : answer(started.error());
      });
    }));
  }));
}

/// Whether it is booted or fetched. What is here has them, and what can't be told is waited for: a hypervisor that is
/// silent starts nothing.
void Engine::start_resources(handoff::Token token) {
  const auto waiting = [this, token]() -> Pending* {
    const auto found = pending_.find(token);
    return found == pending_.end() || found->second->time_is_up || !found->second->reply ? nullptr : found->second.get();
  };
  const Pending* pending = waiting();
  if (pending == nullptr) return;
  DomainRunner& runner = *find(pending->uuid);
  const Here here = runner.view().here;
  if (here == Here::unknown) {
    pending_.at(token)->doubt = "the hypervisor does not answer, which is to start what the domain needs (is libvirtd up?)";
    world_.clock.schedule(look_again_after, [this, token] { start_resources(token); });
    return;
  }
  // Without a definition nobody knows what it needs; it may be fetched all the same, and a boot says what is missing.
  if (here != Here::absent || runner.record().definition.empty()) return runner.feed(handoff::event::Start{token});
  if (starting_resources_.contains(pending->uuid)) {
    pending_.at(token)->doubt = resources_under_way;
    world_.clock.schedule(look_again_after, [this, token] { start_resources(token); });
    return;
  }
  start_resources({runner.record().uuid, runner.record().name, runner.record().definition, 0}, [this, token, waiting](Outcome started) {
    const Pending* still = waiting();
    if (still == nullptr) return;
    if (!started.ok()) return finish(token, {wire::OcfCode::error, started.error()});
    find(still->uuid)->feed(handoff::event::Start{token});
  });
}

void Engine::start_resources(const Definition& definition, Callback<Outcome> done) {
  starting_resources_.insert(definition.uuid);
  world_.hypervisor.start_resources(definition, alive<Outcome>([this, uuid = definition.uuid, done = std::move(done)](Outcome started) {
    starting_resources_.erase(uuid);
    done(std::move(started));
  }));
}

}  // namespace migrationd::engine
