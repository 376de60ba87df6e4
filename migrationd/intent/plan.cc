// SPDX-License-Identifier: GPL-2.0-or-later
// Questions to the scheduler's plan.
#include "migrationd/intent/plan.h"

#include <algorithm>
#include <cctype>

namespace migrationd::intent {

namespace {

bool begins_something(const std::string& operation) {
  return operation == "start" || operation == "running" || operation == "promote" || operation == "promoted";
}

}  // namespace

std::string without_instance(const std::string& resource) {
  const auto colon = resource.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == resource.size()) return resource;
  const bool number = std::all_of(resource.begin() + static_cast<std::ptrdiff_t>(colon) + 1, resource.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  return number ? resource.substr(0, colon) : resource;
}

std::vector<const PlannedAction*> find(const Plan& plan, const std::string& resource, const std::string& operation,
                                       const NodeName& node) {
  std::vector<const PlannedAction*> found;
  for (const auto& [id, action] : plan.actions)
    if (action.resource == resource && action.operation == operation && (node.empty() || action.node == node))
      found.push_back(&action);
  return found;
}

std::set<NodeName> planned_starts(const Plan& plan, const std::string& resource) {
  std::set<NodeName> nodes;
  for (const PlannedAction* action : find(plan, resource, "start"))
    if (!action->node.empty()) nodes.insert(action->node);
  for (const PlannedAction* action : find(plan, resource, "migrate_from"))
    if (!action->node.empty()) nodes.insert(action->node);
  return nodes;
}

std::vector<const PlannedAction*> waiting_for(const Plan& plan, int id, const std::set<std::string>& primitives) {
  std::vector<const PlannedAction*> found;
  std::set<int> seen{id};
  std::vector<int> open{id};
  while (!open.empty()) {
    const int awaited = open.back();
    open.pop_back();
    for (const auto& [other, action] : plan.actions) {
      if (!action.waits_for.contains(awaited) || !seen.insert(other).second) continue;
      const bool passes_on = action.kind == ActionKind::pseudo && action.operation != "stonith" &&
                             !primitives.contains(action.resource);
      if (!passes_on)
        found.push_back(&action);
      else if (!begins_something(action.operation))
        open.push_back(other);
    }
  }
  return found;
}

}  // namespace migrationd::intent
