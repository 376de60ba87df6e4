// SPDX-License-Identifier: GPL-2.0-or-later
// The scheduler's plan as plain values: which action waits for which. A Pacemaker transition graph is a list
// of synapses, each with one action and the `inputs` that must be done before it; io/scheduler-graph reads it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "migrationd/base/ids.h"

namespace migrationd::intent {

enum class ActionKind {
  resource,  ///< rsc_op: an agent is called on a node
  pseudo,    ///< pseudo_event: nothing is done, others wait for it (also a stop implied by fencing)
  cluster,   ///< crm_event: fencing (stonith), shutdown of a node (do_shutdown)
};

struct PlannedAction {
  int id = 0;
  ActionKind kind = ActionKind::pseudo;
  std::string operation;  ///< start, stop, monitor, migrate_to, stonith, do_shutdown, stopped, running, ...
  std::string resource;   ///< without a clone instance's number; empty when it is no resource's
  NodeName node;          ///< where it is done; empty for most pseudo events
  std::set<int> waits_for;
};

/// By action id.
struct Plan {
  std::map<int, PlannedAction> actions;
};

/// A resource's name without the number of a clone instance: "dlm:1" is "dlm".
std::string without_instance(const std::string& resource);

/// All actions of this operation on this resource; `node` empty: on any node.
std::vector<const PlannedAction*> find(const Plan& plan, const std::string& resource, const std::string& operation,
                                       const NodeName& node = {});

/// Where the plan has the resource run: the node of its start, or of its migrate_from when it would be migrated
/// (its start is a pseudo event without a node then). More than one only when the plan is not understood.
std::set<NodeName> planned_starts(const Plan& plan, const std::string& resource);

/// What waits for action `id`: directly, or through pseudo events that themselves stand for no resource of
/// `primitives` ("the group has stopped"). Pseudo events of a beginning ("the group starts") are not followed.
std::vector<const PlannedAction*> waiting_for(const Plan& plan, int id, const std::set<std::string>& primitives);

}  // namespace migrationd::intent
