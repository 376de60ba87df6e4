// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/cluster.h"

#include "tests/sim/node.h"
#include "tests/sim/simulation.h"

namespace migrationd::sim {

bool ClusterStack::active(const NodeName& node) const {
  return sim_.settings.manager && sim_.node(node)->powered && !without_cluster.contains(node);
}

bool ClusterStack::reachable(const NodeName& a, const NodeName& b) const {
  return active(a) && active(b) && !sim_.network.cut(Channel::cluster, a, b) &&
         !sim_.network.cut(Channel::cluster, b, a);
}

std::set<NodeName> ClusterStack::membership(const NodeName& node) const {
  std::set<NodeName> all{node};
  for (const NodeName& other : sim_.node_names()) {
    if (member(node, other)) all.insert(other);
  }
  return all;
}

bool ClusterStack::quorate(const std::set<NodeName>& members) const {
  const std::size_t all = sim_.node_names().size();
  return !sim_.settings.manager || all <= 2 || members.size() * 2 > all;
}

void ClusterStack::forget_view(const NodeName& node) {
  std::erase_if(sees_, [&](const auto& pair) { return pair.first == node; });
}

void ClusterStack::update() {
  for (const NodeName& a : sim_.node_names()) {
    for (const NodeName& b : sim_.node_names()) {
      if (a == b || !active(a) || changing_.contains({a, b}) || reachable(a, b) == sees_.contains({a, b})) continue;
      changing_.insert({a, b});
      const Time after = reachable(a, b) ? sim_.settings.member_join : sim_.settings.member_timeout;
      sim_.queue.after(after, [this, a, b] {
        changing_.erase({a, b});
        const bool now = reachable(a, b);
        if (active(a) && now != sees_.contains({a, b})) {
          if (now) {
            sees_.insert({a, b});
          } else {
            sees_.erase({a, b});
          }
          sim_.log(a, b + (now ? " is a member" : " is no member any more"));
          Node* node = sim_.node(a);
          if (node->daemon) {
            if (now) node->daemon->looks_wanted.insert(b);
            sim_.to_daemon(0, node->daemon, [node, b, now] {
              if (!node->daemon->cluster_listener) return;
              if (now) node->daemon->cluster_listener->joined(b);
              node->daemon->cluster_listener->members_changed();
            });
          }
        }
        update();
      });
    }
  }
}

void ClusterStack::fence(const NodeName& node, const NodeName& by, std::function<void(Outcome)> done) {
  if (!sim_.settings.fencing) {
    sim_.queue.after(1000, [done, fails = sim_.settings.fencing_fails] { done(Error{fails ? "no device answers" : "no fencing is configured"}); });
    return;
  }
  auto& waiting = fencing_[node];
  waiting.emplace_back(by, std::move(done));
  if (waiting.size() > 1) return;
  sim_.log(node, "is being fenced");
  sim_.queue.after(sim_.settings.fence, [this, node] {
    auto askers = std::move(fencing_[node]);
    fencing_.erase(node);
    bool somebody = false;
    for (const auto& [by, done] : askers) somebody = somebody || by.empty() || sim_.node(by)->powered;
    if (!somebody) return;
    note_fencing(node, askers.front().first);
    sim_.log(node, "was fenced");
    fenced_at_[node] = sim_.now();
    sim_.crash(node, false);
    if (sim_.settings.reboot > 0) {
      sim_.queue.after(sim_.settings.reboot, [this, node] { sim_.boot(node); });
    }
    for (const auto& [by, done] : askers) done(Done{});
  });
}

void ClusterStack::note_fencing(const NodeName& node, NodeName by) {
  // For an administrator it is done by whichever node is left.
  for (const NodeName& other : sim_.node_names()) {
    if (by.empty() && other != node && active(other)) by = other;
  }
  if (by.empty()) return;
  auto& history = history_[node];
  history.push_back({sim_.node(by)->wall_time(), "number " + std::to_string(history.size() + 1) + ", noted by " + by});
}

Time ClusterStack::fenced_at(const NodeName& node) const {
  const auto found = fenced_at_.find(node);
  return found == fenced_at_.end() ? -1 : found->second;
}

}  // namespace migrationd::sim
