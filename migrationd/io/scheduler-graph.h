// SPDX-License-Identifier: GPL-2.0-or-later
// Reads what Pacemaker's scheduler says into the plain values of the room `intent`: the transition graph
// (crm_simulate --save-graph), the CIB, and crm_simulate's own summary (--output-as=xml), which knows what is in force
// after inheritance and rules: managed, target-role, online, where each instance is active.
// All input is taken for hostile: broken, empty or huge text is an Error, never a guess.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"
#include "migrationd/intent/facts.h"
#include "migrationd/intent/plan.h"

namespace migrationd::io {

/// Largest text taken of each, in bytes.
inline constexpr std::size_t scheduler_text_limit = 64 * 1024 * 1024;

/// The `<transition_graph>`.
Result<intent::Plan> read_graph(std::string_view graph);

/// Nodes, resources, orders and the operation history of `resource`, from the CIB and crm_simulate's summary of the
/// same CIB. `resource` without a clone instance's number. `node`: whose record of the resource's agent is compared.
Result<intent::Facts> read_facts(std::string_view cib, std::string_view summary, const std::string& resource,
                                 const NodeName& node);

struct BeforeStop {
  std::string cib;
  std::string transition;  ///< of the pending stop, for Facts::stopping_in; empty: none is pending
};

/// The CIB as it was before a stop of `resource` on `node` that is under way: the controller records a pending
/// stop over the entry that made the resource active, and the scheduler then plans as though it had stopped already,
/// without saying who waits for the stop. The pending entry is turned into the completed start that it
/// replaced (it carries the parameters, and so the digest, of that start). Older than the node's other entries, so
/// that a failed migrate_to after it still counts. Unchanged text when no stop is pending.
Result<BeforeStop> before_pending_stop(std::string_view cib, const std::string& resource, const NodeName& node);

/// What `crm_resource --digests --output-as=xml` says of the parameters in force now, against what the resource was
/// started with on `node` by the CIB. The text for Facts::redefined; empty: the same, or nothing recorded to compare.
Result<std::string> compare_digests(std::string_view cib, std::string_view digests, const std::string& resource,
                                    const NodeName& node);

/// Names for an administrator who mistyped one.
struct Names {
  std::set<std::string> resources;  ///< primitives, also those only in the status section
  std::set<std::string> nodes;
};
Result<Names> read_names(std::string_view cib);

}  // namespace migrationd::io
