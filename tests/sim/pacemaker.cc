// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/pacemaker.h"

#include <algorithm>

namespace migrationd::sim {

namespace {
constexpr Time tick_every = 250;
constexpr Time monitor_every = 5000;
constexpr Time dc_deadtime = 3000;  ///< a node that comes up waits for the others before it calls them lost
constexpr Time pause_after_failure = 2000;
}  // namespace

Pacemaker::Pacemaker(Simulation& simulation, std::string domain, std::vector<Op> flow, NodeName prefer)
    : sim_(simulation), domain_(std::move(domain)), uuid_(sim_.uuid_of(domain_)), flow_(std::move(flow)),
      prefer_(std::move(prefer)) {}

void Pacemaker::begin() {
  sim_.plan = [this](const NodeName& node, const DomainUuid&) { return plan(node); };
  sim_.on_failure = [this](const NodeName& node) {
    for (auto& [at, planner] : planners_)
      if (planner.recovering && planner.members.contains(node) && planner.status[node] == Status::running) planner.status[node] = Status::failed;
  };
  tick();
}

engine::StopIntent Pacemaker::plan(const NodeName& node) const {
  for (const auto& [at, planner] : planners_) {
    if (!planner.members.contains(node)) continue;
    NodeName to = planner.target.empty() ? prefer_ : planner.target;
    if (to == node) return {engine::Intent::keep, to, "only because a migration failed"};
    if (!planner.members.contains(to)) return {engine::Intent::stop, "", "nowhere to start it"};
    engine::StopIntent offer{engine::Intent::offer, to, "started on " + to + " next"};
    offer.after_failed_migration = planner.migration_failed;
    return offer;
  }
  return {engine::Intent::stop, "", "no plan"};
}

bool Pacemaker::settled() const {
  if (planners_.size() != 1 || !busy_.empty()) return false;
  const Planner& planner = planners_.begin()->second;
  if (planner.members != sim_.node_names()) return false;
  int running = 0;
  for (const auto& [node, status] : planner.status) {
    if (status == Status::unknown || status == Status::failed) return false;
    running += status == Status::running ? 1 : 0;
  }
  return planner.status.size() == planner.members.size() && running == 1 && planner.recovering;
}

void Pacemaker::tick() {
  std::map<NodeName, Planner> now;
  for (const NodeName& node : sim_.node_names()) {
    if (!sim_.cluster.active(node)) continue;
    const std::set<NodeName> members = sim_.cluster.membership(node);
    if (*members.begin() != node) continue;
    const auto before = planners_.find(node);
    if (before != planners_.end() && before->second.members == members) {
      now[node] = before->second;
      continue;
    }
    Planner planner;
    planner.members = members;
    planner.since = sim_.now();
    planner.recovering = members != sim_.node_names() || !planners_.empty();
    now[node] = planner;
  }
  planners_ = std::move(now);
  if (!settled()) {  // before thinking: a recurring monitor does not unsettle anything
    settled_since_ = -1;
  } else if (settled_since_ < 0) {
    settled_since_ = sim_.now();
  }
  for (auto& [at, planner] : std::map(planners_)) think(at, planners_.at(at));
  sim_.queue.after(tick_every, [this] { tick(); });
}

bool Pacemaker::fence_lost(const NodeName& at, Planner& planner) {
  if (!sim_.settings.fencing) return false;
  if (planner.members.size() < sim_.node_names().size() && sim_.now() < planner.since + dc_deadtime) return true;
  bool waits = false;
  for (const NodeName& node : sim_.node_names()) {
    if (planner.members.contains(node) || sim_.cluster.fenced_at(node) >= planner.since - 2 * dc_deadtime) {
      continue;
    }
    waits = true;
    const NodeName first = first_to_fence.empty() ? *sim_.node_names().begin() : first_to_fence;
    const bool may = planner.members.contains(first) || sim_.now() > planner.since + 10'000;
    if (may && !sim_.cluster.fencing_pending(node)) sim_.cluster.fence(node, at, [](Outcome) {});
  }
  return waits;
}

NodeName Pacemaker::next_target(const Planner& planner) const {
  if (planner.members.contains(prefer_)) return prefer_;
  return *planner.members.begin();
}

void Pacemaker::think(const NodeName& at, Planner& planner) {
  if (sim_.now() < planner.not_before) return;
  for (const NodeName& node : planner.members) {
    if (busy_.contains(node)) return;
  }
  if (!planner.recovering && planner.next < flow_.size()) {
    return issue(at, flow_[planner.next], 60'000);
  }
  planner.recovering = true;
  if (!sim_.cluster.quorate(planner.members)) return;
  if (fence_lost(at, planner)) return;
  int running = 0;
  NodeName runs;
  for (const NodeName& node : planner.members) {
    if (planner.status[node] == Status::unknown) return issue(at, {OrderKind::monitor, node, ""}, 20'000);
  }
  for (const NodeName& node : planner.members) {
    if (planner.status[node] == Status::running) {
      ++running;
      runs = node;
    }
  }
  if (planner.target.empty()) planner.target = running == 1 ? runs : next_target(planner);
  for (const NodeName& node : planner.members) {
    const bool too_many = running > 1 && planner.status[node] == Status::running;
    if (planner.status[node] == Status::failed || too_many) return issue(at, {OrderKind::stop, node, ""}, 60'000);
  }
  if (running == 1) {
    planner.target.clear();
    if (sim_.now() >= planner.probed_at + monitor_every) {
      planner.probed_at = sim_.now();
      issue(at, {OrderKind::monitor, runs, ""}, 20'000);
    }
    return;
  }
  issue(at, {OrderKind::start, planner.target, ""}, 40'000);
}

void Pacemaker::issue(const NodeName& at, Op op, Time timeout) {
  busy_.insert(op.node);
  Action action;
  action.kind = op.kind;
  action.uuid = uuid_;
  action.node = op.node;
  action.target = op.to;
  action.timeout = timeout;
  action.done = [this, at, op](const engine::OrderReply& reply) { done(at, op, reply); };
  sim_.order(std::move(action));
}

void Pacemaker::done(const NodeName& at, Op op, const engine::OrderReply& reply) {
  busy_.erase(op.node);
  const auto found = planners_.find(at);
  if (found == planners_.end() || !found->second.members.contains(op.node)) return;
  Planner& planner = found->second;
  const bool success = reply.code == wire::OcfCode::success;
  if (!success && op.kind != OrderKind::monitor) planner.not_before = sim_.now() + pause_after_failure;
  if (!planner.recovering) {
    if (success || op.failure_ignored) {
      if (++planner.next < flow_.size()) return;
      planner.recovering = true;  // done; from here on it is only watched
      for (const NodeName& node : planner.members) planner.status[node] = Status::unknown;
      return;
    }
    planner.recovering = true;
    planner.migration_failed = op.kind == OrderKind::migrate_to || op.kind == OrderKind::migrate_from;
    for (const NodeName& node : planner.members) planner.status[node] = Status::unknown;
    planner.status[op.node] = Status::failed;
    if (!op.to.empty()) planner.status[op.to] = Status::failed;
    planner.target = prefer_;
    return;
  }
  switch (op.kind) {
    case OrderKind::monitor:
      planner.status[op.node] = success ? Status::running
                                : reply.code == wire::OcfCode::not_running ? Status::stopped
                                                                           : Status::failed;
      return;
    case OrderKind::stop:
      planner.status[op.node] = success ? Status::stopped : Status::failed;
      return;
    case OrderKind::start:
    case OrderKind::migrate_from: {
      planner.status[op.node] = success ? Status::running : Status::failed;
      if (success) {
        planner.migration_failed = false;
        return;
      }
      // The next node, so that a failed one doesn't hold it for ever.
      auto next = planner.members.upper_bound(op.node);
      planner.target = next == planner.members.end() ? *planner.members.begin() : *next;
      return;
    }
    case OrderKind::migrate_to:
    case OrderKind::reload:
      return;
  }
}

}  // namespace migrationd::sim
