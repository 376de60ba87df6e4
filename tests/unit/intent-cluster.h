// SPDX-License-Identifier: GPL-2.0-or-later
// A cluster as plain values, for the tests of what a stop means.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "migrationd/intent/intent.h"

namespace migrationd::intent {

inline bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Two nodes, vm active on n1; the plan stops it there.
struct Cluster {
  Plan plan;
  Facts facts;
  int next = 1;
  int stop = 0;

  Cluster() {
    facts.nodes["n1"].online = facts.nodes["n2"].online = true;
    resource("vm", {}, {"n1"});
    stop = act(ActionKind::resource, "stop", "vm", "n1");
  }
  void resource(const std::string& name, const std::string& clone, const std::set<NodeName>& active) {
    ResourceFacts& known = facts.resources[name];
    known.configured = true;
    known.clone = clone;
    for (const NodeName& node : active) known.active[node] = Role::started;
  }
  int act(ActionKind kind, const std::string& operation, const std::string& name, const NodeName& node, std::set<int> after = {}) {
    plan.actions[next] = {next, kind, operation, name, node, std::move(after)};
    return next++;
  }
  int start(const NodeName& node) { return act(ActionKind::resource, "start", "vm", node, {stop}); }
  /// `name` stops on `node` once vm has stopped.
  int stops_after(const std::string& name, const NodeName& node) { return act(ActionKind::resource, "stop", name, node, {stop}); }
  Decision decide(const NodeName& node = "n1") const { return intent::decide(plan, facts, "vm", node); }
  Judged judge() const { return judge_offer(plan, facts, "vm", "n1"); }
};

inline HistoryEntry migration(const char* operation, const char* node, int call, int code, bool failed) {
  HistoryEntry entry;
  entry.node = node;
  entry.operation = operation;
  entry.call_id = call;
  entry.code = code;
  entry.failed = failed;
  entry.source = "n1";
  entry.target = "n2";
  return entry;
}

inline HistoryEntry done(const char* operation, const char* node, int call, bool failed = false) {
  HistoryEntry entry;
  entry.node = node;
  entry.operation = operation;
  entry.call_id = call;
  entry.failed = failed;
  return entry;
}

}  // namespace migrationd::intent
