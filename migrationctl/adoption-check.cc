// SPDX-License-Identifier: GPL-2.0-or-later
// See adoption-check.h.
#include "migrationctl/adoption-check.h"

#include <algorithm>

namespace migrationctl {

namespace intent = migrationd::intent;
using intent::ActionKind;

namespace {

/// Whether an agent is called to change something.
bool moves(const intent::PlannedAction& action) {
  static const std::set<std::string> moving = {"start", "stop", "promote", "demote", "migrate_to", "migrate_from"};
  return action.kind == ActionKind::resource && moving.contains(action.operation);
}

std::string on_nodes(const intent::ResourceFacts& resource) {
  std::string text;
  for (const auto& [node, role] : resource.active) text += (text.empty() ? "" : " and ") + node;
  return text;
}

const Domain* find_domain(const Status& status, const BeforeAdoption& before) {
  const auto found = std::find_if(status.domains.begin(), status.domains.end(), [&](const Domain& domain) {
    return domain.resource == before.resource.id || (!before.domain.empty() && domain.name == before.domain);
  });
  return found == status.domains.end() ? nullptr : &*found;
}

/// The nodes where it may run and no daemon can be asked.
std::string without_daemon(const BeforeAdoption& before, const Status& status) {
  std::string nodes;
  for (const auto& [node, facts] : before.facts.nodes) {
    if (node == status.node || before.resource.banned.contains(node)) continue;
    const auto peer = std::find_if(status.peers.begin(), status.peers.end(), [&, &name = node](const Peer& one) { return one.node == name; });
    if (peer == status.peers.end() || !peer->linked) nodes += (nodes.empty() ? "" : ", ") + node;
  }
  return nodes;
}

}  // namespace

std::vector<std::string> obstacles(const BeforeAdoption& before, const intent::Plan& plan, const Status& status, bool undo) {
  std::vector<std::string> found;
  const DomainResource& resource = before.resource;
  const auto say = [&](const std::string& text) { found.push_back(resource.id + ": " + text); };
  if (!resource.clone.empty()) {
    say("it is in " + resource.clone + ", whose instances run on several nodes at once; a domain never does, and ocf:migrationd:VirtualDomain refuses to: "
        "take it out of it first");
    return found;
  }
  if (!undo)
    if (const std::string nodes = without_daemon(before, status); !nodes.empty())
      say("migrationd can't be asked on " + nodes + ", where it may run: start it there, and see migrationctl status; or keep the resource "
          "from there with a location constraint of -INFINITY");
  const auto known = before.facts.resources.find(resource.id);
  if (known == before.facts.resources.end()) {
    say("the cluster's scheduler does not know it");
    return found;
  }
  const auto& active = known->second.active;
  if (active.size() > 1) say("the cluster counts it as active on " + on_nodes(known->second) + ": a domain runs on one node; clear that up first");
  if (!before.failed.empty()) say("it has failed (" + before.failed + "): mend that, then crm_resource --cleanup --resource " + resource.id);
  if (!before.pending.empty()) say(before.pending + " is under way: wait for its end (crm_resource --wait)");
  for (const auto& [id, action] : plan.actions)
    if (action.resource == resource.id && moves(action))
      say("the cluster is about to " + action.operation + " it on " + action.node + ": wait until it is settled (crm_resource --wait)");
  const Domain* domain = find_domain(status, before);
  if (active.contains(status.node)) {
    const bool runs = domain && domain->here == "running";
    if (!runs)
      say("the cluster counts it as active on " + status.node + ", but its domain " + before.domain + " is " +
          (domain ? domain->here : "not known to libvirt there") + ": let the cluster find that out first (crm_resource --refresh --resource " + resource.id + ")");
    else if (!domain->healthy) say("its domain does not run well on " + status.node + ": " + (domain->detail.empty() ? "not healthy" : domain->detail));
  } else if (domain && domain->here != "absent" && domain->phase != "gone") {
    say("its domain " + domain->name + " is " + domain->here + " on " + status.node + ", where the cluster does not count it as active");
  }
  if (domain && (domain->phase == "offered" || domain->phase == "moving" || domain->phase == "claim" || domain->phase == "stopping" || domain->phase == "withdrawn"))
    say("a hand-off of it is not finished (" + domain->phase + " on " + status.node + "): wait for its end, see migrationctl watch");
  return found;
}

std::set<std::string> disturbances(const intent::Plan& plan, const std::set<std::string>& resources, Whose whose) {
  std::set<std::string> found;
  for (const auto& [id, action] : plan.actions) {
    const std::string& what = action.operation;
    const bool begins = what == "start" || what == "promote";
    if (whose == Whose::of_these && !resources.contains(action.resource)) continue;
    if (moves(action) && (!begins || resources.contains(action.resource))) found.insert(what + " of " + action.resource + " on " + action.node);
    if (action.kind == ActionKind::cluster && what == "stonith") found.insert("fencing of " + action.node);
  }
  return found;
}

bool about_to_change(const intent::Plan& plan, const std::string& resource) {
  return std::any_of(plan.actions.begin(), plan.actions.end(), [&](const auto& one) { return one.second.resource == resource && moves(one.second); });
}

std::set<std::string> left_behind(const std::vector<DomainResource>& all, const std::set<std::string>& chosen) {
  std::set<std::string> templates, left;
  for (const DomainResource& one : all)
    if (!one.from.empty() && chosen.contains(one.id)) templates.insert(one.from);
  for (const DomainResource& one : all)
    if (templates.contains(one.from) && !chosen.contains(one.id)) left.insert(one.id);
  return left;
}

}  // namespace migrationctl
