// SPDX-License-Identifier: GPL-2.0-or-later
// The rules of intent.h, one after the other, each with its reason.
#include "migrationd/intent/intent.h"

#include <algorithm>
#include <cctype>

namespace migrationd::intent {

namespace {

Decision real_stop(std::string reason) { return {Intent::stop, {}, std::move(reason)}; }

bool same_word(const std::string& text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  });
}

const ResourceFacts* resource_facts(const Facts& facts, const std::string& resource) {
  const auto found = facts.resources.find(resource);
  return found == facts.resources.end() ? nullptr : &found->second;
}

bool active_on(const Facts& facts, const std::string& resource, const NodeName& node) {
  const ResourceFacts* known = resource_facts(facts, resource);
  return known && known->active.contains(node);
}

std::set<std::string> primitives(const Facts& facts) {
  std::set<std::string> names;
  for (const auto& [name, resource] : facts.resources) names.insert(name);
  return names;
}

bool fenced(const Plan& plan, const NodeName& node) {
  return std::any_of(plan.actions.begin(), plan.actions.end(), [&](const auto& entry) {
    return entry.second.operation == "stonith" && entry.second.node == node;
  });
}

bool planned_shutdown(const Plan& plan, const NodeName& node) {
  return std::any_of(plan.actions.begin(), plan.actions.end(), [&](const auto& entry) {
    return entry.second.operation == "do_shutdown" && entry.second.node == node;
  });
}

bool shutting_down(const Plan& plan, const Facts& facts, const NodeName& node) {
  const auto found = facts.nodes.find(node);
  return (found != facts.nodes.end() && found->second.shutting_down) || planned_shutdown(plan, node);
}

/// Why nothing can be handed to `node`; empty when it is live as far as the cluster knows.
std::string not_live(const Plan& plan, const Facts& facts, const NodeName& node) {
  const auto found = facts.nodes.find(node);
  if (found == facts.nodes.end() || !found->second.online) return node + " is not online";
  if (fenced(plan, node)) return node + " is to be fenced";
  if (shutting_down(plan, facts, node)) return node + " is shutting down itself";
  return {};
}

std::string no_start_reason(const Facts& facts, const std::string& resource, const NodeName& node) {
  std::string elsewhere;
  if (const ResourceFacts* known = resource_facts(facts, resource))
    for (const auto& [other, role] : known->active)
      if (other != node) elsewhere = other;
  if (!elsewhere.empty()) return "no start of it is planned: the cluster counts it as running on " + elsewhere + " already";
  if (!facts.quorum) return "no start of it is planned on any node: the cluster has no quorum";
  const bool room = std::any_of(facts.nodes.begin(), facts.nodes.end(), [&](const auto& entry) {
    return entry.first != node && entry.second.online && !entry.second.standby && !entry.second.shutting_down;
  });
  if (!room) return "no start of it is planned on any node: no other node is online and out of standby";
  return "no start of it is planned on any node";
}

/// Another node on which the cluster stops it, too: it counts it as active on several. Empty: none, or it ails here.
NodeName active_on_another(const Plan& plan, const Facts& facts, const std::string& resource, const NodeName& node) {
  if (ailing(facts, node)) return {};
  for (const PlannedAction* action : find(plan, resource, "stop"))
    if (action->kind == ActionKind::resource && !action->node.empty() && action->node != node) return action->node;
  return stopped_elsewhere_too(facts, node);
}

Decision keep_the_one(const NodeName& node, const NodeName& other) {
  Decision decision{Intent::keep, node, "the cluster counts it as active on " + other + ", too, and stops it on both"};
  decision.also_on = other;
  return decision;
}

/// What waits for the stop in order to stop or to be demoted.
struct Beneath {
  std::vector<const PlannedAction*> going;
  bool node_leaves = false;  ///< the connection of the Pacemaker Remote node itself
};

Beneath find_beneath(const std::vector<const PlannedAction*>& waiters, const Facts& facts, const std::string& resource,
                     const NodeName& node) {
  Beneath result;
  for (const PlannedAction* action : waiters) {
    if (action->operation != "stop" && action->operation != "demote") continue;
    if (action->resource == resource) continue;
    const ResourceFacts* known = resource_facts(facts, action->resource);
    if (known && known->agent == "ocf:pacemaker:remote" && action->resource == node)
      result.node_leaves = true;
    else
      result.going.push_back(action);
  }
  return result;
}

/// Why the instance on `destination` can't take the place of the one that goes; empty when it can.
std::string missing_there(const PlannedAction& going, const Plan& plan, const Facts& facts, const NodeName& destination) {
  const ResourceFacts* known = resource_facts(facts, going.resource);
  if (!known || known->clone.empty()) return going.resource + " is not a clone";
  const auto there = known->active.find(destination);
  if (there == known->active.end()) return going.resource + " is not active on " + destination;
  if (going.operation == "demote" && there->second != Role::promoted)
    return going.resource + " is not promoted on " + destination;
  if (!find(plan, going.resource, "stop", destination).empty())
    return going.resource + " is to be stopped on " + destination + " too";
  return {};
}

}  // namespace

Decision decide(const Plan& plan, const Facts& facts, const std::string& resource, const NodeName& node) {
  const ResourceFacts* known = resource_facts(facts, resource);
  const std::string place = resource + " on " + node;

  // 1. It is meant to be stopped.
  if (!known || !known->configured) return real_stop(resource + " is no longer configured (deleted)");
  if (same_word(known->target_role, "stopped"))
    return real_stop("its target-role is Stopped: it, its group or the default is disabled");
  if (!facts.redefined.empty()) return real_stop("its definition changed: " + facts.redefined);
  if (!find(plan, resource, "delete", node).empty())
    return real_stop("its definition changed: the cluster removes its operation history on " + node);

  const auto stops = find(plan, resource, "stop", node);
  if (stops.empty()) {
    const auto pseudo = find(plan, resource, "stop");
    const bool implied = std::any_of(pseudo.begin(), pseudo.end(),
                                     [](const PlannedAction* a) { return a->kind == ActionKind::pseudo; });
    if (implied && fenced(plan, node)) return real_stop(node + " is to be fenced: nothing can be handed over from it");
    // What may be beneath it is not known from such a plan.
    const std::set<std::string> under = beneath(facts, resource);
    const bool free = known->clone.empty() && !fenced(plan, node) && !shutting_down(plan, facts, node) &&
                      std::none_of(under.begin(), under.end(), [&](const auto& name) { return active_on(facts, name, node); });
    if (const NodeName other = active_on_another(plan, facts, resource, node); free && known->active.contains(node) && !other.empty())
      return keep_the_one(node, other);
    // The record of the stop is in the very CIB of this plan, so the plan is newer than the one that asked for the stop.
    if (free && known->active.contains(node) && known->active.size() == 1 && known->managed && !facts.stopping_in.empty() && !ailing(facts, node))
      return {Intent::keep, node, "the plan that asked for this stop is out of date: the cluster wants " + place + " by now"};
    Decision decision = known->active.contains(node)
                            ? real_stop("the scheduler plans no stop of " + place + ": nobody knows what this stop is for")
                            : real_stop("the cluster doesn't count it as active on " + node + ": there is nothing to hand over");
    decision.plan_lacks_stop = true;
    return decision;
  }

  const std::set<NodeName> starts = planned_starts(plan, resource);
  if (starts.empty()) return real_stop(no_start_reason(facts, resource, node));
  const auto waiters = waiting_for(plan, stops.front()->id, primitives(facts));
  for (const PlannedAction* action : waiters)
    if (action->operation == "stonith")
      return real_stop("the fencing of " + (action->node.empty() ? std::string("a node") : action->node) + " waits for this stop");

  // What the rules below can't be applied to.
  if (fenced(plan, node)) return real_stop(node + " is to be fenced: nothing can be handed over from it");
  if (!known->clone.empty()) return real_stop("it is an instance of " + known->clone + ", and clones are not handed over");
  if (starts.size() > 1) return real_stop("the scheduler plans starts of it on several nodes, which is not understood");
  const NodeName to = *starts.begin();
  const std::string obstacle = to == node ? "it is to be started on this node again" : not_live(plan, facts, to);

  // 2. What is beneath goes.
  const Beneath under = find_beneath(waiters, facts, resource, node);
  if (!under.going.empty()) {
    const PlannedAction& first = *under.going.front();
    const std::string goes = first.resource + (first.operation == "stop" ? " stops" : " is demoted") +
                             (first.node.empty() ? "" : " on " + first.node) + " once it has stopped";
    if (!obstacle.empty()) return real_stop(goes + ", and " + obstacle);
    for (const PlannedAction* action : under.going)
      if (const std::string missing = missing_there(*action, plan, facts, to); !missing.empty())
        return real_stop(goes + ", and " + missing);
    return {Intent::push, to, goes + "; the clone " + resource_facts(facts, first.resource)->clone + " is active on " + to + " too"};
  }

  // 3. The node goes.
  if (under.node_leaves || shutting_down(plan, facts, node)) {
    if (!obstacle.empty()) return real_stop(node + " is shutting down, and " + obstacle);
    return {Intent::push, to, node + " is shutting down, and it is to be started on " + to};
  }

  // 4. A move.
  if (to != node) {
    if (!obstacle.empty()) return real_stop("it is to be started on " + to + ", but " + obstacle);
    Decision decision{Intent::offer, to, "it is to be started on " + to};
    decision.after_failed_migration = failed_migration(facts, node).has_value();
    for (const std::string& name : beneath(facts, resource)) {
      if (!active_on(facts, name, node)) continue;
      decision.short_offer = true;
      decision.reason += "; " + name + " is active beneath it on " + node + ", so the offer is short";
      break;
    }
    return decision;
  }

  // 5. The aftermath of a failed migration, or of a partition.
  if (const auto migration = failed_migration(facts, node))
    return {Intent::keep, node, "it is to be started on this node again only because a migration failed (" + *migration + ")"};

  if (const NodeName other = active_on_another(plan, facts, resource, node); !other.empty()) return keep_the_one(node, other);

  // 6. Anything else.
  return real_stop("it is to be restarted on " + node + ", and no failed migration explains it");
}

Decision with_destination(Decision decision, bool ready, const std::string& why_not) {
  if (ready || (decision.intent != Intent::push && decision.intent != Intent::offer)) return decision;
  const std::string reason = decision.reason + ", but " + decision.to + " is not ready" + (why_not.empty() ? "" : ": " + why_not);
  if (decision.intent != Intent::offer || !decision.after_failed_migration) return real_stop(reason);
  decision.intent = Intent::keep;
  decision.to.clear();
  decision.reason = reason + "; a migration failed before, which is no reason to restart it";
  return decision;
}

Decision unsure(const std::string& why) { return real_stop("the scheduler's plan is not known: " + why); }

Judged judge_offer(const Plan& plan, const Facts& facts, const std::string& resource, const NodeName& node) {
  const ResourceFacts* known = resource_facts(facts, resource);
  if (!known || !known->configured) return {Judgement::real_stop, resource + " is no longer configured (deleted)"};
  if (facts.maintenance_mode) return {Judgement::take_back, "the cluster is in maintenance mode"};
  const auto here = facts.nodes.find(node);
  if (here != facts.nodes.end() && here->second.maintenance) return {Judgement::take_back, node + " is in maintenance"};
  if (!known->managed) return {Judgement::take_back, "it is unmanaged"};
  if (same_word(known->target_role, "stopped")) return {Judgement::real_stop, "its target-role is Stopped"};
  for (const std::string& name : beneath(facts, resource))
    if (!find(plan, name, "stop", node).empty() && find(plan, resource, "stop", node).empty())
      return {Judgement::real_stop, name + ", which is beneath it, is to be stopped on " + node};
  const std::set<NodeName> starts = planned_starts(plan, resource);
  if (!starts.empty()) return {Judgement::stands, "it is to be started on " + *starts.begin()};
  for (const auto& [other, role] : known->active)
    if (other != node) return {Judgement::stands, "it is being started on " + other};
  if (known->active.contains(node) && find(plan, resource, "stop", node).empty())
    return {Judgement::stands, "the cluster has not recorded its stop yet"};
  return {Judgement::real_stop, no_start_reason(facts, resource, node)};
}

const char* to_string(Intent intent) {
  switch (intent) {
    case Intent::stop: return "stop";
    case Intent::push: return "push";
    case Intent::offer: return "offer";
    case Intent::keep: return "keep";
  }
  return "?";
}

const char* to_string(Judgement judgement) {
  switch (judgement) {
    case Judgement::stands: return "stands";
    case Judgement::real_stop: return "real stop";
    case Judgement::take_back: return "take back";
  }
  return "?";
}

}  // namespace migrationd::intent
