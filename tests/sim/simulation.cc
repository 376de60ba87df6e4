// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/simulation.h"

#include <cstdio>

namespace migrationd::sim {

const char* to_string(OrderKind kind) {
  switch (kind) {
    case OrderKind::start: return "start";
    case OrderKind::stop: return "stop";
    case OrderKind::monitor: return "monitor";
    case OrderKind::migrate_to: return "migrate_to";
    case OrderKind::migrate_from: return "migrate_from";
    case OrderKind::reload: return "reload-agent";
  }
  return "?";
}

Simulation::Simulation() = default;

Simulation::~Simulation() {
  for (auto& [name, node] : nodes_) node->daemon.reset();
}

// ---------------------------------------------------------------- what there is

void Simulation::add_node(const NodeName& name) { nodes_[name] = std::make_unique<Node>(*this, name); }

void Simulation::add_domain(const std::string& name, std::uint64_t memory_kib) {
  domains_.push_back(name);
  memory_[uuid_of(name)] = memory_kib;
}

Node* Simulation::node(const NodeName& name) const {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : found->second.get();
}

std::set<NodeName> Simulation::node_names() const {
  std::set<NodeName> all;
  for (const auto& [name, node] : nodes_) all.insert(name);
  return all;
}

DomainUuid Simulation::uuid_of(const std::string& domain) const {
  for (std::size_t i = 0; i < domains_.size(); ++i) {
    if (domains_[i] != domain) continue;
    char text[48];
    std::snprintf(text, sizeof text, "00000000-0000-4000-8000-%012zx", i + 1);
    return *DomainUuid::parse(text);
  }
  return {};
}

std::string Simulation::name_of(const DomainUuid& uuid) const {
  for (const std::string& name : domains_) {
    if (uuid_of(name) == uuid) return name;
  }
  return uuid.str();
}

std::uint64_t Simulation::memory_of(const DomainUuid& uuid) const {
  const auto found = memory_.find(uuid);
  return found == memory_.end() ? 0 : found->second;
}

// ---------------------------------------------------------------- what happens

std::uint64_t Simulation::to_daemon(Time after, const DaemonRef& daemon, std::function<void()> call) {
  return queue.after(after, [daemon, call = std::move(call)] {
    const auto alive = daemon.lock();
    if (!alive) return;
    if (alive->frozen) {
      alive->backlog.push_back(call);
    } else {
      call();
    }
  });
}

int Simulation::order(Action given) {
  actions_.push_back(std::make_unique<Action>(std::move(given)));
  Action& action = *actions_.back();
  action.number = static_cast<int>(actions_.size());
  action.began = now();
  std::string text = to_string(action.kind) + (" " + name_of(action.uuid));
  if (!action.target.empty()) text += " to " + action.target;
  if (action.kind != OrderKind::monitor) log(action.node, "order: " + text);
  Node& at = *node(action.node);
  if (!at.daemon) {
    queue.after(1, [this, &action] { answered(action, {wire::OcfCode::error, "the daemon is not running"}); });
    return action.number;
  }
  action.daemon_life = at.daemon->life;
  to_daemon(1, at.daemon, [this, &action, &at] {
    engine::Order order;
    order.kind = action.kind;
    order.face = action.face;
    order.resource = name_of(action.uuid);
    order.parameters = parameters;
    if (settings.config_files) order.parameters["config"] = name_of(action.uuid);
    order.no_file = settings.config_files && at.file == ConfigFile::missing;
    if (settings.config_files && at.file != ConfigFile::there) {
      order.no_definition = {wire::OcfCode::not_installed, order.no_file ? "there is no file of its definition" : "the file of its definition is broken"};
    } else {
      order.definition = engine::Definition{action.uuid, name_of(action.uuid), definition_of(name_of(action.uuid)), memory_of(action.uuid)};
    }
    order.timeout = Milliseconds{action.timeout};
    order.target = action.target;
    const engine::OrderId id = at.daemon->engine->order(
        order, [this, &action](engine::OrderReply reply) { answered(action, std::move(reply)); });
    action.id = id;
    step(std::string("ordered ") + to_string(action.kind) + " " + at.name);
  });
  Time patience = action.timeout;
  if (patience == 0) patience = action.kind == OrderKind::start ? 90'000 : 180'000;
  queue.after(patience + 1, [this, &action, &at, began_with = at.daemon->life] {
    if (action.answered) return;
    if (at.daemon && at.daemon->life == began_with && !at.daemon->frozen) {
      violated(std::string(to_string(action.kind)) + " on " + at.name + " was not answered within its time");
    }
    answered(action, {wire::OcfCode::error, "the agent was killed at its timeout"});
  });
  return action.number;
}

void Simulation::answered(Action& action, engine::OrderReply reply) {
  if (action.answered) {
    if (node(action.node)->daemon && reply.reason != "the daemon died") {
      violated(std::string(to_string(action.kind)) + " on " + action.node + " was answered twice");
    }
    return;
  }
  action.answered = true;
  action.reply = reply;
  if (action.kind != OrderKind::monitor) {
    std::string text = std::string("answer: ") + to_string(action.kind) + " " + name_of(action.uuid);
    text += reply.code == wire::OcfCode::success ? " success"
                                                 : " code " + std::to_string(static_cast<int>(reply.code));
    log(action.node, text + (reply.reason.empty() ? "" : ": " + reply.reason));
  }
  check_answer(action);
  if (action.kind != OrderKind::monitor) step(std::string("answered ") + to_string(action.kind) + " " + action.node);
  if (action.done) {
    queue.after(1, [done = action.done, reply] { done(reply); });
  }
}

void Simulation::daemon_died(Node& at) {
  for (auto& action : actions_) {
    if (action->answered || action->node != at.name) continue;
    queue.after(1, [this, one = action.get()] {
      if (!one->answered) answered(*one, {wire::OcfCode::error, "the daemon died"});
    });
  }
}

void Simulation::kill_agents(const NodeName& name) {
  Node& at = *node(name);
  for (auto& action : actions_) {
    if (action->answered || action->node != name) continue;
    action->answered = true;
    action->reply = {wire::OcfCode::error, "the agent was killed"};
    log(name, std::string("the agent of ") + to_string(action->kind) + " is killed");
    if (at.daemon && action->id != 0) {
      to_daemon(0, at.daemon, [&at, id = action->id] { at.daemon->engine->caller_gone(id); });
    }
    if (action->done) queue.after(1, [done = action->done, reply = action->reply] { done(reply); });
  }
}

void Simulation::crash(const NodeName& name, bool landed) { node(name)->power_off(landed); }

void Simulation::jump_boot_clock(const NodeName& name, Time by) {
  Node& at = *node(name);
  at.clock_ahead += by;
  if (!at.daemon) return;
  for (auto& [id, timer] : at.daemon->timers) {
    queue.cancel(timer.event);
    timer.event = 0;
  }
  at.daemon->push_timers();
}

void Simulation::paths_changed() {
  for (auto& [name, one] : nodes_) one->libvirt.path_changed();
}

engine::StopIntent Simulation::intent_of_stop(const NodeName& name, const DomainUuid& uuid) {
  engine::StopIntent intent{engine::Intent::stop, "", "by hand", false};
  const auto scripted = intents.find({name, uuid});
  if (scripted != intents.end()) {
    intent = scripted->second;
  } else if (plan) {
    intent = plan(name, uuid);
  }
  if (intent.intent == engine::Intent::stop) real_stops_.insert({name, uuid});
  return intent;
}

engine::OfferJudgement Simulation::judge_offer(const NodeName& name, const DomainUuid& uuid) {
  const auto scripted = judgements.find({name, uuid});
  if (scripted == judgements.end()) return {};
  if (scripted->second == handoff::Judgement::real_stop) real_stops_.insert({name, uuid});
  return {scripted->second, "scripted"};
}

Result<engine::Policy> Simulation::policy_of(const std::map<std::string, std::string>& given) const {
  engine::Policy policy;
  policy.handoff_timeout = Milliseconds{settings.handoff_timeout};
  policy.unfenced_membership = settings.unfenced_membership;
  const auto handoff = given.find("handoff");
  if (handoff != given.end() && handoff->second == "off") policy.handoff = engine::Policy::Handoff::off;
  const auto incompatible = given.find("on_incompatible");
  const auto off = given.find("on_poweroff");
  policy.stay_off = off != given.end() && off->second == "stay-off";
  policy.restart_if_incompatible = incompatible != given.end() && incompatible->second == "restart";
  if (const auto speed = given.find("migration_speed"); speed != given.end()) {
    policy.way_to = [mib = std::stoull(speed->second)](const std::string&, const NodeName& to) {
      engine::MigrateOrder order;
      order.to = to;
      order.speed_mib = mib;
      return order;
    };
  }
  if (settings.post_copy) {
    policy.way_to = [](const std::string&, const NodeName& to) {
      engine::MigrateOrder order;
      order.to = to;
      order.carried = order.post_copy = true;
      return order;
    };
  }
  return policy;
}

// ---------------------------------------------------------------- what ended by itself

/// By what was ordered there since the node's boot, as Pacemaker's own history has it.
bool Simulation::believed_on(const NodeName& name, const DomainUuid& uuid) const {
  for (auto action = actions_.rbegin(); action != actions_.rend(); ++action) {
    const Action& one = **action;
    if (one.uuid != uuid || one.kind == OrderKind::monitor || one.kind == OrderKind::reload) continue;
    if (!one.answered) return false;  // something is under way
    if (one.reply.code != wire::OcfCode::success) continue;
    const bool begins = one.kind == OrderKind::start || one.kind == OrderKind::migrate_from;
    return begins && one.node == name && one.began >= node(name)->booted_at;
  }
  return false;
}

/// As Pacemaker does it: it is stopped where it failed, then started there again.
void Simulation::failure_reported(const NodeName& name, const DomainUuid& uuid, const std::string& what) {
  log(name, "the cluster manager is told of the failure of " + name_of(uuid) + ": " + what);
  ++failure_reports[{name, uuid}];
  if (on_failure) return on_failure(name);
  Action stop;
  stop.kind = OrderKind::stop;
  stop.uuid = uuid;
  stop.node = name;
  stop.timeout = 60'000;
  stop.done = [this, name, uuid](const engine::OrderReply& reply) {
    if (reply.code != wire::OcfCode::success) return;
    Action start;
    start.uuid = uuid;
    start.node = name;
    start.timeout = 60'000;
    order(std::move(start));
  };
  order(std::move(stop));
}

void Simulation::stays_off(const NodeName& name, const DomainUuid& uuid) {
  log(name, "the cluster manager is to keep " + name_of(uuid) + " off");
  Action stop;
  stop.kind = OrderKind::stop;
  stop.uuid = uuid;
  stop.node = name;
  stop.timeout = 60'000;
  order(std::move(stop));
}

// ---------------------------------------------------------------- log and steps

void Simulation::log(const NodeName& name, const std::string& text) {
  if (!keep_log) return;
  char time[32];
  std::snprintf(time, sizeof time, "%8lld.%03lld ", static_cast<long long>(now() / 1000),
                static_cast<long long>(now() % 1000));
  lines_.push_back(time + name + ": " + text);
}

void Simulation::log_step(const NodeName& name, const std::string& text) {
  const std::size_t arrow = text.rfind(" -> ");
  if (arrow == std::string::npos) return;
  const std::string to = text.substr(arrow + 4);
  const std::size_t colon = text.rfind(": ", arrow);
  const std::string from = text.substr(colon + 2, arrow - colon - 2);
  if (from == to) return;
  log(name, text);
  step("phase " + name + " " + to);
}

void Simulation::step(const std::string& what) {
  if (on_step) on_step(what);
}

// ---------------------------------------------------------------- running

bool Simulation::run_next(Time limit) {
  if (!violation_.empty() || queue.empty() || queue.next() > limit) return false;
  queue.run_one();
  check_invariants();
  if (after_event) after_event();
  return true;
}

void Simulation::run_until(Time when) {
  while (run_next(when)) {
  }
}

}  // namespace migrationd::sim
