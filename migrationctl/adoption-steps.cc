// SPDX-License-Identifier: GPL-2.0-or-later
// See adoption-steps.h.
#include "migrationctl/adoption-steps.h"

#include <algorithm>
#include <vector>

#include "migrationctl/adoption-check.h"
#include "migrationctl/adoption-cib.h"
#include "migrationctl/decision.h"
#include "migrationctl/words.h"
#include "migrationd/io/scheduler-graph.h"

namespace migrationctl {

namespace io = migrationd::io;
using migrationd::Done;
using migrationd::Error;
using migrationd::Outcome;

namespace {
constexpr std::chrono::seconds settle_time{90};
constexpr Milliseconds simulate_time{120'000};
}  // namespace

migrationd::Result<io::Outlook> look_ahead(const std::string& cib) { return io::outlook_now(cib, temporary_directory(), simulate_time); }

Outcome settle(Cluster& cluster) { return cluster.settle(settle_time); }

template <class F>
Outcome AdoptionSteps::edit(F how) {
  auto cib = cluster_.cib();
  if (!cib) return Error{cib.error()};
  const auto changed = how(cib.value());
  if (!changed) return Error{changed.error()};
  return cluster_.change(cib.value(), changed.value());
}

std::string AdoptionSteps::numbered(const char* number, const std::string& text) const { return putting_back_ ? text : number + text; }

bool AdoptionSteps::run() {
  const Outcome done = forward();
  if (!done) put_back(done.error());
  return done.ok();
}

void AdoptionSteps::announce() const {
  say("This would be done:");
  say("  1. " + joined(order_.resources) + ": unmanaged, so that the cluster stops and starts nothing of it meanwhile");
  say("  2. " + agent(order_.from) + " becomes " + agent(order_.to) + (order_.dropped.empty() ? "" : ", without " + joined(order_.dropped)));
  say("  3. crm_resource --refresh: it is looked for on all nodes by the new agent, and must be found where it runs");
  say("  4. crm_simulate: the plan must have no stop, else all is put back");
  say("  5. managed again, as it was before");
}

Outcome AdoptionSteps::forward() {
  if (Outcome done = unmanage(); !done) return done;
  if (Outcome done = change_provider(); !done) return done;
  if (Outcome done = look_for_it(order_.to); !done) return done;
  if (Outcome done = plan_is_quiet(); !done) return done;
  if (cluster_.interrupted()) return Error{"it was interrupted"};
  return manage();
}

Outcome AdoptionSteps::unmanage() {
  if (cluster_.interrupted()) return Error{"it was interrupted"};
  say("1. unmanaged: the cluster stops and starts nothing of " + joined(order_.resources) + " meanwhile");
  marked_ = true;  // also when the answer is lost
  if (Outcome done = edit([&](const std::string& cib) { return with_mark(cib, order_.resources); }); !done) return done;
  if (const Outcome settled = settle(cluster_); !settled) return Error{settled.error()};
  return still_in_place();
}

Outcome AdoptionSteps::change_provider() {
  if (cluster_.interrupted()) return Error{"it was interrupted"};
  say("2. " + agent(order_.from) + " becomes " + agent(order_.to) + (order_.dropped.empty() ? "" : ", without " + joined(order_.dropped)));
  auto cib = cluster_.cib();
  if (!cib) return Error{cib.error()};
  if (Outcome all = all_marked(cib.value()); !all) return all;
  const auto changed = with_provider(cib.value(), order_.resources, order_.to, order_.dropped);
  if (!changed) return Error{changed.error()};
  old_definition_ = std::move(cib.value());
  new_definition_ = changed.value();
  return cluster_.change(old_definition_, new_definition_);
}

/// Of a resource that is managed, another agent would be a restart: somebody may have taken our set away meanwhile.
Outcome AdoptionSteps::all_marked(const std::string& cib) const {
  const auto resources = read_domain_resources(cib);
  if (!resources) return Error{resources.error()};
  const auto marked = std::count_if(resources.value().begin(), resources.value().end(),
                                    [&](const DomainResource& one) { return one.under_way && order_.resources.contains(one.id); });
  if (static_cast<std::size_t>(marked) == order_.resources.size()) return Done{};
  return Error{"somebody else has made them managed again, or removed one"};
}

/// Has the agent of `provider`, which is in force, look for the domains on all nodes.
Outcome AdoptionSteps::look_for_it(const std::string& provider) {
  say(numbered("3. ", "looked for on all nodes by " + agent(provider)));
  for (const std::string& id : order_.resources)
    if (const Outcome done = cluster_.refresh(id); !done) return Error{"crm_resource --refresh of " + id + ": " + done.error()};
  if (const Outcome settled = settle(cluster_); !settled) return Error{settled.error()};
  return still_in_place();
}

/// Whether the cluster sees each of them where it was, unmanaged, and no operation of it has failed.
Outcome AdoptionSteps::still_in_place() {
  auto cib = cluster_.cib();
  if (!cib) return Error{cib.error()};
  auto outlook = look_ahead(cib.value());
  if (!outlook) return Error{outlook.error()};
  for (const std::string& id : order_.resources) {
    if (const std::string what = failed_operation(cib.value(), id); !what.empty()) return Error{what};
    auto facts = io::read_facts(outlook.value().cib, outlook.value().summary, id, "");
    if (!facts) return Error{facts.error()};
    const auto& resource = facts.value().resources[id];
    if (resource.managed) return Error{id + " is managed although it was set to be unmanaged"};
    std::set<std::string> now;
    for (const auto& [node, role] : resource.active) now.insert(node);
    if (now != order_.places[id])
      return Error{id + " is " + (now.empty() ? "not found running" : "found on " + joined(now)) + ", and was " +
                   (order_.places[id].empty() ? "stopped" : "on " + joined(order_.places[id])) + " before"};
  }
  return Done{};
}

Outcome AdoptionSteps::plan_is_quiet() {
  auto cib = cluster_.cib();
  if (!cib) return Error{cib.error()};
  const auto managed = without_mark(cib.value(), order_.resources);
  if (!managed) return Error{managed.error()};
  auto outlook = look_ahead(managed.value());
  if (!outlook) return Error{outlook.error()};
  std::vector<std::string> fresh;
  // What comes upon others meanwhile is no reason to leave these unmanaged.
  const Whose whose = putting_back_ ? Whose::of_these : Whose::of_all;
  for (const std::string& one : disturbances(outlook.value().plan, order_.resources, whose))
    if (!order_.planned.contains(one)) fresh.push_back(one);
  if (!fresh.empty()) return Error{"once managed again, the cluster would do this: " + joined(fresh)};
  say(numbered("4. ", "the scheduler's plan has no stop"));
  return Done{};
}

Outcome AdoptionSteps::manage() {
  say(numbered("5. ", "managed as before"));
  if (Outcome done = edit([&](const std::string& cib) { return without_mark(cib, order_.resources); }); !done) return done;
  marked_ = false;
  return Done{};
}

// ---- back

void AdoptionSteps::put_back(const std::string& why) {
  complain(why + "; it is put back");
  cluster_.put_back();
  putting_back_ = true;
  const Outcome done = marked_ ? back() : Outcome(Done{});
  if (!done) return say_state(done.error());
  complain(joined(order_.resources) + (order_.resources.size() == 1 ? " is" : " are") + " as before: " + agent(order_.from) + ", and nothing was stopped");
}

Outcome AdoptionSteps::back() {
  if (new_definition_.empty() && !order_.resumed) return manage();  // all is as it was, but for our set
  if (Outcome done = definition_back(); !done) return done;
  if (Outcome done = look_for_it(order_.from); !done) return done;
  if (Outcome done = plan_is_quiet(); !done) return done;
  return manage();
}

/// By the reverse of what was changed, which also brings back parameters. What an earlier, interrupted call changed is known
/// only by its provider.
Outcome AdoptionSteps::definition_back() {
  auto cib = cluster_.cib();
  if (!cib) return Error{cib.error()};
  if (Outcome all = all_marked(cib.value()); !all) return all;
  const auto now = definitions(cib.value());
  if (now == definitions(new_definition_) && now != definitions(old_definition_)) {
    say(agent(order_.to) + " becomes " + agent(order_.from));
    if (Outcome done = cluster_.change(new_definition_, old_definition_); !done) return done;
  }
  return edit([&](const std::string& text) { return with_provider(text, order_.resources, order_.from, {}); });
}

/// Provider and parameters of each.
AdoptionSteps::Definitions AdoptionSteps::definitions(const std::string& cib) const {
  Definitions found;
  if (const auto resources = read_domain_resources(cib); resources)
    for (const DomainResource& one : resources.value())
      if (order_.resources.contains(one.id)) found[one.id] = {one.provider, one.parameters};
  return found;
}

void AdoptionSteps::say_state(const std::string& why) {
  complain("it could not be put back: " + why);
  auto cib = cluster_.cib();
  const auto now = cib ? read_domain_resources(cib.value()) : migrationd::Result<std::vector<DomainResource>>(Error{cib.error()});
  if (!now) complain("what state it is in is not known: " + now.error());
  else
    for (const DomainResource& one : now.value())
      if (order_.resources.contains(one.id))
        complain(one.id + " is " + agent(one.provider) + (one.under_way ? ", and unmanaged: the cluster leaves its domain alone" : ", and managed as before"));
  std::string words;
  for (const std::string& id : order_.resources) words += " " + id;
  complain("once the reason is mended, `migrationctl adopt" + words + "` goes on, and `migrationctl adopt --undo" + words +
           "` leads back to " + agent(old_provider));
}

}  // namespace migrationctl
