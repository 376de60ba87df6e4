// SPDX-License-Identifier: GPL-2.0-or-later
// The simulated cluster stack below the resources: who is a member, and power fencing.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/fencing-memory.h"
#include "tests/sim/event-queue.h"

namespace migrationd::sim {

class Simulation;

class ClusterStack {
 public:
  explicit ClusterStack(Simulation& simulation) : sim_(simulation) {}

  bool active(const NodeName& node) const;
  bool member(const NodeName& seen_by, const NodeName& node) const { return sees_.contains({seen_by, node}); }
  /// `node` and those it counts as members.
  std::set<NodeName> membership(const NodeName& node) const;
  /// Whether a membership of these may start something; two nodes always may (two_node).
  bool quorate(const std::set<NodeName>& members) const;
  /// A cut, a crash, a boot, a cluster manager's start or end.
  void update();
  /// A dead node's view of the others is nobody's.
  void forget_view(const NodeName& node);

  /// `by`: who asks, and must live until it is done; empty: the administrator.
  void fence(const NodeName& node, const NodeName& by, std::function<void(Outcome)> done);
  /// The history of successful fencings, with times of the wall clocks of who noted them.
  const std::vector<io::Fencing>& fencings(const NodeName& node) { return history_[node]; }
  bool fencing_pending(const NodeName& node) const { return fencing_.contains(node); }
  Time fenced_at(const NodeName& node) const;

  std::set<NodeName> without_cluster;  ///< nodes whose cluster manager is not running
  std::set<NodeName> leaving;          ///< nodes whose cluster manager is being stopped: a member still

 private:
  void note_fencing(const NodeName& node, NodeName by);
  bool reachable(const NodeName& a, const NodeName& b) const;

  Simulation& sim_;
  std::set<std::pair<NodeName, NodeName>> sees_;
  std::set<std::pair<NodeName, NodeName>> changing_;
  std::map<NodeName, Time> fenced_at_;
  std::map<NodeName, std::vector<io::Fencing>> history_;
  std::map<NodeName, std::vector<std::pair<NodeName, std::function<void(Outcome)>>>> fencing_;
};

}  // namespace migrationd::sim
