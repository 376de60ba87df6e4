// SPDX-License-Identifier: GPL-2.0-or-later
// The cluster manager's orders: the time each has, and the answer. Who may run the domain is not decided here
// but in the room `handoff`; what a stop means is in stops.cc.
#include <algorithm>

#include "migrationd/engine/engine.h"
#include "migrationd/engine/pending.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;
using handoff::StopMeaning;
using wire::OcfCode;
namespace event = handoff::event;

namespace {

/// For callers that set no limit (Heartbeat, init scripts). Of a stop it is the time to move the domain; its real end comes on top.
constexpr Milliseconds stop_without_limit = 900s;
constexpr Milliseconds longest_stop = 110min;  ///< shorter than the agent waits
constexpr Milliseconds push_without_limit = 120s;
/// A claim that was released is made again after this.
constexpr Milliseconds retry_after = 1s;
/// After its time is up, an order's orderly end is waited for so long.
constexpr Milliseconds last_words = 800ms;

/// What is kept of an order's time for the answer, and for a push also for its abort.
Milliseconds margin(Order::Kind kind, Milliseconds timeout) {
  const bool push = kind == Order::Kind::migrate_to;
  return std::min(timeout / 4, std::max<Milliseconds>(push ? 5s : 2s, timeout / 20));
}

const char* word(Order::Kind kind) {
  switch (kind) {
    case Order::Kind::start: return "start";
    case Order::Kind::stop: return "stop";
    case Order::Kind::monitor: return "monitor";
    case Order::Kind::migrate_to: return "migrate_to";
    case Order::Kind::migrate_from: return "migrate_from";
    case Order::Kind::reload: return "reload-agent";
  }
  return "?";
}

std::string given_name(const Order& order) {
  const auto named = order.parameters.find("name");
  return named == order.parameters.end() ? "" : named->second;
}

/// What a domain without definition or record is called that a stop is to end; empty: nobody says. A resource's id is no
/// domain's name, and a stranger may be called so, as by a name that the definition contradicts; but an init script or
/// haresources line names the domain by itself.
std::string name_to_stop(const Order& order) {
  if (order.misnamed) return "";
  const std::string name = given_name(order);
  return name.empty() && order.face == "lsb" ? order.resource : name;
}

/// Whether the record of an order's resource tells which domain is meant; not if the resource was given another one since.
bool is_of(const Order& order, const DomainRunner& known) {
  const std::string name = given_name(order);
  return name.empty() || known.record().name == name;
}

}  // namespace

OrderId Engine::order(Order order, Callback<OrderReply> reply) {
  const bool kept = use_kept(order);
  if (!kept) saw_file(order);
  if (order.kind == Order::Kind::monitor) {
    if (waits_for_definition(order)) {
      wait_for_definition(std::move(order), std::move(reply));
      return 0;
    }
    if (DomainRunner* known = order.definition ? find(order.definition->uuid) : nullptr) note_definition(*known, order, kept);
    answer_monitor(std::move(order), std::move(reply));
    return 0;
  }
  if (order.kind == Order::Kind::reload) {
    reply(reload(order));
    return 0;
  }
  OrderReply why_not;
  DomainRunner* runner = runner_of(order, why_not);
  if (runner == nullptr) {
    reply(why_not);
    return 0;
  }
  if (order.definition) {
    runner->define(*order.definition);
    runner->clear(AlarmKind::definition_unreadable, "it can be read");
  }
  note_definition(*runner, order, kept);
  if (!order.resource.empty()) runner->describe(order.resource, order.parameters, policy_of(order.parameters));

  auto owned = std::make_unique<Pending>();
  Pending& pending = *owned;
  const handoff::Token token = next_token_++;
  pending.token = token;
  pending.order = std::move(order);
  pending.uuid = runner->record().uuid;
  pending.reply = std::move(reply);
  Milliseconds timeout = pending.order.timeout;
  pending.without_limit = timeout.count() <= 0;
  if (pending.without_limit) {
    switch (pending.order.kind) {
      case Order::Kind::start: timeout = runner->policy().start_timeout; break;
      case Order::Kind::stop: timeout = std::min(stop_without_limit + real_stop_time(*runner), longest_stop); break;
      case Order::Kind::monitor:
      case Order::Kind::reload:
      case Order::Kind::migrate_to:
      case Order::Kind::migrate_from: timeout = push_without_limit; break;
    }
  }
  const Milliseconds time = timeout - margin(pending.order.kind, timeout);
  pending.ends = world_.clock.now() + time;
  pending.end_timer = world_.clock.schedule(time, [this, token] { time_up(token); });
  pending_[token] = std::move(owned);
  runner->remark(std::string(word(pending.order.kind)) + " asked for by the cluster manager", EventKind::action_begun);
  if (!pending.order.complaint.empty()) runner->remark("stopped all the same: " + pending.order.complaint);
  switch (pending.order.kind) {
    case Order::Kind::start:
    case Order::Kind::migrate_from: begin_start(pending); break;
    case Order::Kind::stop: begin_stop(pending); break;
    case Order::Kind::migrate_to: begin_push(pending); break;
    case Order::Kind::monitor:
    case Order::Kind::reload: break;
  }
  return token;
}

DomainRunner* Engine::runner_of(const Order& order, OrderReply& why_not) {
  if (order.definition) {
    const auto unreadable = unreadable_.find(order.definition->uuid);
    if (unreadable != unreadable_.end() && order.kind != Order::Kind::stop) {
      why_not = {OcfCode::error, "its journal record can't be read (" + unreadable->second +
                                     "), so it isn't known who may run it: repair the record, or remove it if the "
                                     "domain surely runs nowhere"};
      return nullptr;
    }
    DomainRunner& one = runner(order.definition->uuid, order.definition->name);
    return &one;
  }
  DomainRunner* known = find_resource(order.resource);  // its definition is kept here
  if (known != nullptr && (order.kind == Order::Kind::stop || is_of(order, *known))) return known;
  if (order.kind == Order::Kind::stop) {
    const std::string name = name_to_stop(order);
    if (!name.empty()) {
      for (const auto& [uuid, view] : world_.hypervisor.all())
        if (view.name == name) return &runner(uuid, view.name);
    }
    // Without a name no answer of the hypervisor could tell which domain is meant. Should it run here all the same, the
    // other nodes hear of it by its UUID before they boot it.
    if (name.empty() || hypervisor_usable_) {
      world_.log.write(Log::Level::warning, order.resource,
                       "stop: " + order.no_definition.reason + "; nothing of it was ever known here, so nothing is stopped");
      why_not = {OcfCode::success, ""};
      return nullptr;
    }
    why_not = {OcfCode::error, order.no_definition.reason + "; and the hypervisor does not say what runs here"};
    return nullptr;
  }
  why_not = order.no_definition;
  return nullptr;
}

OrderReply Engine::monitor(const Order& order) {
  if (order.definition) return monitor_of(order.definition->uuid);
  const DomainRunner* known = find_resource(order.resource);
  if (known != nullptr && is_of(order, *known)) return monitor_of(known->record().uuid);
  const std::string name = given_name(order);
  return name.empty() || order.misnamed ? order.no_definition : monitor_named(name);
}

/// A domain of which only the name is known, as at a probe before the storage with its definition is mounted.
OrderReply Engine::monitor_named(const std::string& name) {
  if (!hypervisor_usable_) return {OcfCode::error, "can't tell whether domain " + name + " runs: the hypervisor does not answer (is libvirtd up?)"};
  std::set<DomainUuid> meant;
  for (const auto& [uuid, runner] : runners_)
    if (runner->record().name == name) meant.insert(uuid);
  OrderReply answer{OcfCode::not_running, ""};
  for (const auto& [uuid, view] : world_.hypervisor.all()) {
    if (view.name == name) meant.insert(uuid);
    if (view.name.empty() && view.here != Here::absent)
      answer = {OcfCode::error, "can't tell whether domain " + name + " runs: the name of the domain " + uuid.str() + ", which is here, is not known"};
  }
  for (const DomainUuid& uuid : meant) {
    const OrderReply one = monitor_of(uuid);
    if (one.code == OcfCode::success) return one;
    if (one.code != OcfCode::not_running) answer = one;
  }
  return answer;
}

/// Changed parameters count from now on, also after a restart of the daemon; what is under way keeps the time it was given. Of
/// a domain that isn't here nothing is to be changed: the next start brings its own.
OrderReply Engine::reload(const Order& order) {
  DomainRunner* one = order.definition ? find(order.definition->uuid) : find_resource(order.resource);
  if (one == nullptr && order.definition && world_.hypervisor.look(order.definition->uuid).here == Here::running) {
    one = &runner(order.definition->uuid, order.definition->name);  // runs here without us having been asked
  }
  if (one == nullptr) return {OcfCode::success, ""};
  if (order.definition) one->define(*order.definition);
  one->describe(order.resource, order.parameters, policy_of(order.parameters));
  one->keep();
  one->remark("its parameters were changed");
  if (!order.no_definition.reason.empty()) {
    one->alarm(AlarmKind::definition_unreadable, "the changed parameters are accepted, but " + order.no_definition.reason);
  } else {
    one->clear(AlarmKind::definition_unreadable, "it can be read");
  }
  return {OcfCode::success, ""};
}

OrderReply Engine::monitor_of(const DomainUuid& uuid) {
  const DomainRunner* known = find(uuid);
  const DomainView view = world_.hypervisor.look(uuid);
  const handoff::State state = known != nullptr ? known->state() : handoff::State{};
  switch (handoff::monitor(state, view.here)) {
    case handoff::Monitor::running:
      if (!view.healthy && view.here == Here::running && state.phase != Phase::moving) {
        return {OcfCode::error, "the domain is " + (view.detail.empty() ? std::string("not healthy") : view.detail)};
      }
      return {OcfCode::success, ""};
    case handoff::Monitor::not_running:
      return {OcfCode::not_running, ""};
    case handoff::Monitor::failed:
      return {OcfCode::error, "the domain is " + (view.detail.empty() ? std::string("stopped") : view.detail)};
    case handoff::Monitor::unknown:
      // libvirt is restarted or upgraded now and then; a failed monitor would restart a healthy domain for that.
      if (state.phase == Phase::held && view.lives_on) return {OcfCode::success, ""};
      return {OcfCode::error, "can't tell whether the domain runs: the hypervisor does not answer (is libvirtd up?)"};
  }
  return {OcfCode::error, ""};
}

// ---------------------------------------------------------------- start, migrate_from, migrate_to

/// What comes anew must have room: what is here has it already, and what is just coming was asked about before.
bool Engine::refused_for_memory(const Pending& pending) {
  const DomainRunner& runner = *find(pending.uuid);
  if (runner.state().phase != Phase::gone || runner.view().here != Here::absent) return false;
  const std::string why_not = no_room(pending.uuid, world_.hypervisor.memory_need_kib(runner.record().definition));
  if (why_not.empty()) return false;
  finish(pending.token, {OcfCode::error, why_not + ": free some, or start it on another node"});
  return true;
}

/// Also migrate_from's: the domain is here, or is fetched; a push that failed is made good by a pull.
void Engine::begin_start(Pending& pending) {
  if (refused_for_memory(pending)) return;
  DomainRunner& runner = *find(pending.uuid);
  runner.start_by(pending.ends);
  if (runner.policy().start_resources) return start_resources(pending.token);
  runner.feed(event::Start{pending.token});
}

void Engine::begin_push(Pending& pending) {
  const handoff::Token token = pending.token;
  const NodeName to = pending.order.target;
  DomainRunner& runner = *find(pending.uuid);
  if (!cluster_.others.contains(to)) {
    finish(token, {OcfCode::bad_arguments, "'" + to + "' is not another node of this cluster"});
    return;
  }
  const Phase phase = runner.state().phase;
  if (phase == Phase::given || phase == Phase::moving) {  // an earlier migrate_to is still at it
    runner.feed(event::Push{token, to});
    return;
  }
  runner.job_by(pending.ends);
  ask_ready(to, runner, pending.ends, pending.ends - world_.clock.now(), alive<Fitness>([this, token, to](Fitness ready) {
    const auto found = pending_.find(token);
    if (found == pending_.end()) return;
    DomainRunner& runner = *find(found->second->uuid);
    if (ready.incompatible && runner.policy().restart_if_incompatible) return move_cold(*found->second, ready.error());
    if (!ready.ok()) {
      runner.remark("not migrated: " + ready.error());
      finish(token, {OcfCode::error, ready.error()});
      return;
    }
    runner.feed(event::Push{token, to});
  }));
}

void Engine::retry_start(handoff::Token token) {
  const auto found = pending_.find(token);
  if (found == pending_.end()) return;
  found->second->doubt = find(found->second->uuid)->state().doubt;
  world_.clock.schedule(retry_after, [this, token] {
    const auto still = pending_.find(token);
    if (still == pending_.end() || still->second->time_is_up || !still->second->reply) return;
    find(still->second->uuid)->feed(event::Start{token});
  });
}

// ---------------------------------------------------------------- the end of an order

void Engine::answered(handoff::Token token, bool ok, const std::string& why) {
  const auto found = pending_.find(token);
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  if (pending.pushing) {
    pending.pushing = false;
    DomainRunner& runner = *find(pending.uuid);
    if (ok) {
      runner.feed(event::Stop{token, StopMeaning::real, {}});  // gone from here: done
    } else {
      real_stop(pending, "the push failed: " + why);
    }
    return;
  }
  if (ok && !pending.parted.empty() && find(pending.uuid)->state().phase == Phase::offered) find(pending.uuid)->remark(pending.parted);
  finish(token, {ok ? OcfCode::success : OcfCode::error, why});
}

void Engine::finish(handoff::Token token, OrderReply reply) {
  auto node = pending_.extract(token);
  if (node.empty()) return;
  Pending& pending = *node.mapped();
  for (TimerId timer : {pending.end_timer, pending.short_timer}) {
    if (timer != 0) world_.clock.cancel(timer);
  }
  if (DomainRunner* runner = find(pending.uuid)) {
    const std::string what = word(pending.order.kind);
    const bool well = reply.code == OcfCode::success;
    runner->remark(well ? what + " succeeded" : what + " failed: " + reply.reason, EventKind::action_ended);
  }
  if (pending.reply) pending.reply(std::move(reply));
}

void Engine::time_up(handoff::Token token) {
  const auto found = pending_.find(token);
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  pending.end_timer = 0;
  DomainRunner& runner = *find(pending.uuid);
  const std::string& known = runner.state().doubt;
  const std::string doubt = known.empty() ? pending.doubt : known;
  const std::string left = uncounted_farewells(runner);
  const std::string nearly_up = "the time of this action is nearly up" + (left.empty() ? "" : " (" + left + ")");
  const std::string why = nearly_up + (doubt.empty() ? "" : ": " + doubt);
  if (!pending.time_is_up) {
    pending.time_is_up = true;
    if (pending.order.kind == Order::Kind::start && wants_proof(runner)) unproven_starts_.insert(pending.uuid);
    switch (pending.order.kind) {
      case Order::Kind::start:
      case Order::Kind::migrate_from:
        runner.feed(event::StartEnded{token, known.empty() ? why : nearly_up});  // it adds its doubt itself
        break;
      case Order::Kind::migrate_to:
        runner.feed(event::PushEnded{token, why});
        break;
      case Order::Kind::stop:
      case Order::Kind::monitor:
      case Order::Kind::reload:
        break;
    }
    const auto still = pending_.find(token);
    if (still == pending_.end()) return;
    const bool push = still->second->order.kind == Order::Kind::migrate_to;
    still->second->end_timer =
        world_.clock.schedule(push ? Milliseconds{3500} : last_words, [this, token] { time_up(token); });
    still->second->doubt = why;
    return;
  }
  finish(token, {OcfCode::error, pending.doubt});
}

void Engine::caller_gone(OrderId id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  pending.reply = nullptr;
  DomainRunner& runner = *find(pending.uuid);
  const std::string why = "the agent was killed";
  switch (pending.order.kind) {
    case Order::Kind::start:
    case Order::Kind::migrate_from:
      runner.feed(event::StartEnded{id, why});
      break;
    case Order::Kind::migrate_to:
      runner.feed(event::PushEnded{id, why});
      break;
    case Order::Kind::stop:
    case Order::Kind::monitor:
    case Order::Kind::reload:
      break;  // goes on to its end
  }
}

}  // namespace migrationd::engine
