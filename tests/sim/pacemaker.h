// SPDX-License-Identifier: GPL-2.0-or-later
// What Pacemaker does with one resource, as far as hand-offs see it: one planner per partition; lost nodes are
// fenced where fencing exists; a planned move is a list of actions; whatever fails is stopped, on every node
// where it failed, and then started somewhere. It is deliberately stubborn: it goes on until one node runs it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/simulation.h"

namespace migrationd::sim {

class Pacemaker {
 public:
  struct Op {
    OrderKind kind;
    NodeName node;
    NodeName to;
    bool failure_ignored = false;  ///< on-fail=ignore
  };

  /// `prefer`: where it shall run; the flow brings it there, and recovery starts it there first.
  Pacemaker(Simulation& simulation, std::string domain, std::vector<Op> flow, NodeName prefer);

  void begin();
  /// One partition of all nodes, exactly one of which answered that it runs, and nothing under way.
  bool settled() const;
  Time settled_since() const { return settled_since_; }
  engine::StopIntent plan(const NodeName& node) const;
  NodeName first_to_fence;  ///< in a partition the other side waits; empty: the smaller name

 private:
  enum class Status { unknown, running, stopped, failed };
  struct Planner {
    std::set<NodeName> members;
    std::map<NodeName, Status> status;
    std::size_t next = 0;        ///< of the flow
    bool recovering = false;
    bool migration_failed = false;  ///< and nothing was started since
    NodeName target;
    Time not_before = 0;
    Time probed_at = 0;
    Time since = 0;
  };

  void tick();
  void think(const NodeName& at, Planner& planner);
  void issue(const NodeName& at, Op op, Time timeout);
  void done(const NodeName& at, Op op, const engine::OrderReply& reply);
  bool fence_lost(const NodeName& at, Planner& planner);
  NodeName next_target(const Planner& planner) const;

  Simulation& sim_;
  std::string domain_;
  DomainUuid uuid_;
  std::vector<Op> flow_;
  NodeName prefer_;
  std::map<NodeName, Planner> planners_;
  std::set<NodeName> busy_;   ///< an action of this resource is under way there
  Time settled_since_ = -1;
};

}  // namespace migrationd::sim
