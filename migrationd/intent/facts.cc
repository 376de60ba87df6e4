// SPDX-License-Identifier: GPL-2.0-or-later
// Conclusions from the cluster's facts: what lies beneath a domain, and whether its last migration failed.
#include "migrationd/intent/facts.h"

#include <algorithm>
#include <limits>

namespace migrationd::intent {

namespace {

long order_of(const HistoryEntry& entry) {
  return entry.pending ? std::numeric_limits<long>::max() : entry.call_id;
}

bool changes_state(const HistoryEntry& entry) {
  return entry.operation == "start" || entry.operation == "stop" || entry.operation == "migrate_to" ||
         entry.operation == "migrate_from";
}

/// The last operation on `node` that changes where the resource runs.
const HistoryEntry* latest(const Facts& facts, const NodeName& node) {
  const HistoryEntry* last = nullptr;
  for (const HistoryEntry& entry : facts.history)
    if (entry.node == node && changes_state(entry) && (!last || order_of(entry) >= order_of(*last))) last = &entry;
  return last;
}

bool ailing_since(const Facts& facts, const HistoryEntry& migration, const NodeName& node) {
  for (const HistoryEntry& entry : facts.history) {
    if (entry.operation != "monitor" || !entry.failed || entry.node != node) continue;
    if (entry.node == migration.node ? order_of(entry) > order_of(migration)
                                     : migration.seconds != 0 && entry.seconds > migration.seconds)
      return true;
  }
  return false;
}

}  // namespace

std::set<std::string> beneath(const Facts& facts, const std::string& resource) {
  std::set<std::string> found;
  std::vector<std::string> open{resource};
  while (!open.empty()) {
    const std::string upper = open.back();
    open.pop_back();
    for (const auto& [first, then] : facts.orders)
      if (then == upper && first != resource && found.insert(first).second) open.push_back(first);
  }
  return found;
}

std::optional<std::string> failed_migration(const Facts& facts, const NodeName& node) {
  std::set<NodeName> nodes;
  for (const HistoryEntry& entry : facts.history) nodes.insert(entry.node);
  for (const NodeName& at : nodes) {
    const HistoryEntry* last = latest(facts, at);
    if (!last) continue;
    const bool to = last->operation == "migrate_to", from = last->operation == "migrate_from";
    if (!to && !from) continue;
    const NodeName& other = to ? last->target : last->source;
    if (at != node && other != node) continue;
    std::string what = last->operation + " on " + at + (to ? " to " : " from ") + (other.empty() ? "?" : other);
    if (last->failed) {
      what += " failed with code " + std::to_string(last->code);
    } else if (last->pending) {
      what += " was never finished";
    } else if (to) {
      const HistoryEntry* arrival = latest(facts, other);
      if (arrival && arrival->operation == "migrate_from" && !arrival->failed && !arrival->pending) continue;
      what += " was never completed by migrate_from";
    } else {
      continue;
    }
    if (!ailing_since(facts, *last, node)) return what;
  }
  return std::nullopt;
}

bool ailing(const Facts& facts, const NodeName& node) {
  const HistoryEntry* last = latest(facts, node);
  return std::any_of(facts.history.begin(), facts.history.end(), [&](const HistoryEntry& entry) {
    return entry.node == node && entry.operation == "monitor" && entry.failed && (!last || order_of(entry) > order_of(*last));
  });
}

NodeName stopped_elsewhere_too(const Facts& facts, const NodeName& node) {
  if (facts.stopping_in.empty()) return {};
  for (const HistoryEntry& entry : facts.history) {
    if (entry.node == node || entry.operation != "stop" || entry.transition != facts.stopping_in) continue;
    if (latest(facts, entry.node) == &entry) return entry.node;
  }
  return {};
}

}  // namespace migrationd::intent
