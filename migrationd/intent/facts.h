// SPDX-License-Identifier: GPL-2.0-or-later
// What the cluster information base says of the nodes and resources, as plain values; io/scheduler-graph reads
// it. Resources are primitives, named without a clone instance's number.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "migrationd/base/ids.h"

namespace migrationd::intent {

struct NodeFacts {
  bool online = false;  ///< member, its cluster manager running, and the scheduler uses it
  bool standby = false;
  bool maintenance = false;
  bool shutting_down = false;
};

enum class Role { started, promoted };

struct ResourceFacts {
  bool configured = false;            ///< false: known only from the status section (deleted meanwhile)
  bool managed = true;                ///< false: is-managed=false or maintenance in force for it
  std::string target_role;            ///< in force for it (own, its group's or the default); empty: none
  std::string agent;                  ///< class:provider:type
  std::string clone;                  ///< the clone or bundle that it is an instance of; empty: none
  std::map<NodeName, Role> active;    ///< where the cluster counts it as active or being started
};

/// An entry of the asked resource's operation history.
struct HistoryEntry {
  NodeName node;
  std::string operation;
  int call_id = 0;                    ///< order on its node; a pending operation is the last
  int code = 0;                       ///< of the OCF API
  bool pending = false;
  bool failed = false;                ///< neither pending nor done as the cluster expected
  std::int64_t seconds = 0;           ///< since the epoch, when it ended; 0: not known
  NodeName source, target;            ///< migrations only
  std::string transition;             ///< whose action it was; empty: not known
};

struct Facts {
  bool maintenance_mode = false;
  bool quorum = true;
  std::map<NodeName, NodeFacts> nodes;
  std::map<std::string, ResourceFacts> resources;
  /// (first, then): `then` needs `first` beneath it, from ordering constraints and groups.
  std::set<std::pair<std::string, std::string>> orders;
  /// Of the asked resource only.
  std::vector<HistoryEntry> history;
  /// The transition that the stop under way belongs to; empty: no stop is recorded as being under way.
  std::string stopping_in;
  /// Why its definition is not the one that it was started with; empty: it is the same.
  std::string redefined;
};

/// Everything that `resource` stands on, through any number of orders.
std::set<std::string> beneath(const Facts& facts, const std::string& resource);

/// In words, the migration that failed or was never completed and has `node` as one of its ends, when it is
/// the last thing that happened to the resource there. Nothing once the resource was started or stopped since,
/// or when its monitor failed since: then it isn't only the migration that ails.
std::optional<std::string> failed_migration(const Facts& facts, const NodeName& node);

/// Whether a monitor of it failed on `node` since it was last started, stopped or migrated there.
bool ailing(const Facts& facts, const NodeName& node);

/// Another node on which the transition of the stop under way stops the resource, too, by the operation history: the
/// cluster counted it as active on several nodes. Empty: none.
NodeName stopped_elsewhere_too(const Facts& facts, const NodeName& node);

}  // namespace migrationd::intent
