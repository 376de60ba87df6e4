// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl adopt: a domain's resource goes over from ocf:heartbeat:VirtualDomain to ocf:migrationd:VirtualDomain, or back with
// --undo, without a stop of the domain:
//
//   check -> unmanaged -> other provider -> looked for by the new agent -> the plan has no stop -> managed as before
//
// Nothing is changed before all checks have passed. What fails or is interrupted after that is put back, step by step, and
// where that fails too, it is said what state it is in; adoption-cib.h tells how the next call finds that out.
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <pugixml.hpp>

#include "migrationctl/adoption-check.h"
#include "migrationctl/adoption-cib.h"
#include "migrationctl/adoption-steps.h"
#include "migrationctl/cluster.h"
#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/words.h"
#include "migrationd/io/scheduler-graph.h"

namespace migrationctl {

namespace {

namespace io = migrationd::io;
using migrationd::Done;
using migrationd::Error;
using migrationd::Outcome;

struct Options {
  std::vector<std::string> resources;
  bool all = false;
  bool undo = false;
  bool dry_run = false;
};

/// The domain's name by the file that the parameter `config` names, if this node has it.
std::string domain_of(const DomainResource& resource) {
  const auto config = resource.parameters.find("config");
  pugi::xml_document document;
  if (config == resource.parameters.end() || !document.load_file(config->second.c_str())) return {};
  return document.child("domain").child("name").child_value();
}

class Adoption {
 public:
  explicit Adoption(Options options) : options_(std::move(options)) {
    order_.from = options_.undo ? new_provider : old_provider;
    order_.to = options_.undo ? old_provider : new_provider;
  }

  int run() {
    if (const Outcome ready = prepare(); !ready) return refuse(ready.error() + "; ");
    if (order_.resources.empty()) {
      say("There is nothing to do.");
      return success;
    }
    if (!checked()) return refuse("");
    AdoptionSteps steps(cluster_, order_);
    if (options_.dry_run) {
      steps.announce();
      return success;
    }
    if (!steps.run()) return failed;
    say(joined(order_.resources) + (order_.resources.size() == 1 ? " is run by " : " are run by ") + agent(order_.to) + " now; no domain was stopped.");
    return success;
  }

 private:
  int refuse(const std::string& why) {
    std::vector<std::string> unmanaged;
    for (const DomainResource& one : all_)
      if (one.under_way) unmanaged.push_back(one.id);
    complain(why + "nothing was changed" + (unmanaged.empty() ? "" : ", and " + joined(unmanaged) + " is still unmanaged since the call that was broken off"));
    return failed;
  }

  /// Reads the cluster and chooses the resources.
  Outcome prepare() {
    if (Outcome read = read_cib(); !read) return read;
    if (Outcome chosen = choose(); !chosen) return chosen;
    if (!probes(before_))
      return Error{"the cluster property enable-startup-probes is false, so the new agent would not be asked where the domains run: set it to true meanwhile"};
    if (Outcome known = look_anew(); !known) return known;
    if (const auto left = left_behind(all_, order_.resources); !left.empty())
      return Error{joined(left) + (left.size() == 1 ? " is" : " are") + " made from the same template, which says the agent: name " +
                   (left.size() == 1 ? "it" : "them") + ", too"};
    return Done{};
  }

  /// What an earlier call that was broken off left behind says nothing of where the domains are.
  Outcome look_anew() {
    for (const DomainResource& one : all_) {
      if (!one.under_way || !order_.resources.contains(one.id) || options_.dry_run) continue;
      order_.resumed = true;
      say("An adoption of " + one.id + " was broken off; it is looked for anew by " + agent(one.provider) + ".");
      if (const Outcome done = cluster_.refresh(one.id); !done) return Error{"crm_resource --refresh of " + one.id + ": " + done.error()};
    }
    if (!order_.resumed) return Done{};
    if (const Outcome settled = settle(cluster_); !settled) return Error{settled.error()};
    return read_cib();
  }

  Outcome read_cib() {
    auto cib = cluster_.cib();
    if (!cib) return Error{"the cluster's configuration can't be read: " + cib.error()};
    before_ = std::move(cib.value());
    auto resources = read_domain_resources(before_);
    if (!resources) return Error{resources.error()};
    all_ = std::move(resources.value());
    return Done{};
  }

  Outcome choose() {
    const auto add = [&](const DomainResource& one) {
      if (one.provider == order_.to && !one.under_way) say(one.id + " is run by " + agent(order_.to) + " already.");
      else order_.resources.insert(one.id);
    };
    if (options_.all) {
      for (const DomainResource& one : all_) {
        if (!one.clone.empty()) say(one.id + " is left out: it is in " + one.clone + ", whose instances run on several nodes at once.");
        else if (one.provider == order_.from || one.under_way) order_.resources.insert(one.id);
      }
      return Done{};
    }
    for (const std::string& name : options_.resources) {
      bool found = false;
      for (const DomainResource& one : all_) {
        if (one.id != name && one.group != name && one.from != name) continue;
        found = true;
        add(one);
      }
      if (!found)
        return Error{"the CIB has no resource, group or template \"" + name + "\" of " + agent(order_.from) +
                     (all_.empty() ? "" : "; domains are: " + joined(ids()))};
    }
    return Done{};
  }

  std::vector<std::string> ids() const {
    std::vector<std::string> names;
    for (const DomainResource& one : all_) names.push_back(one.id);
    return names;
  }

  /// Says all that is in the way.
  bool checked() {
    auto outlook = look_ahead(before_);
    auto status = ask_status();
    if (!outlook || !status) {
      complain(outlook ? status.error() : outlook.error());
      return false;
    }
    order_.planned = disturbances(outlook.value().plan, order_.resources);
    bool good = true;
    for (const DomainResource& one : all_) {
      if (!order_.resources.contains(one.id)) continue;
      std::vector<std::string> found;
      if (const auto known = read_before(one, outlook.value()); known) {
        found = obstacles(known.value(), outlook.value().plan, status.value(), options_.undo);
        if (const auto place = known.value().facts.resources.find(one.id); place != known.value().facts.resources.end())
          for (const auto& [node, role] : place->second.active) order_.places[one.id].insert(node);
      } else {
        found.push_back(one.id + ": " + known.error());
      }
      if (one.clone.empty())
        if (const Outcome accepted = accepts(one, status.value()); !accepted) found.push_back(one.id + ": " + accepted.error());
      for (const std::string& text : found) complain(text);
      good = good && found.empty();
    }
    return good;
  }

  migrationd::Result<Status> ask_status() {
    auto daemon = Daemon::connect();
    if (!daemon) return Error{daemon.error()};
    const auto body = daemon.value().ask("ctl-status");
    if (!body) return Error{body.error()};
    return read_status(body.value());
  }

  migrationd::Result<BeforeAdoption> read_before(const DomainResource& one, const io::Outlook& outlook) {
    auto facts = io::read_facts(outlook.cib, outlook.summary, one.id, "");
    if (!facts) return Error{facts.error()};
    return BeforeAdoption{one, domain_of(one), std::move(facts.value()), failed_operation(before_, one.id), pending_operation(before_, one.id)};
  }

  /// The new agent's word on the parameters; on the way back also which of them it does not know.
  Outcome accepts(const DomainResource& one, const Status& status) {
    auto parameters = one.parameters;
    if (options_.undo) {
      const auto known = cluster_.parameters_of(order_.to);
      if (!known) return Error{agent(order_.to) + " can't be asked for its parameters: " + known.error()};
      for (const auto& [name, value] : one.parameters) {
        if (name == "migration_transport" && value == "migrationd") {  // it would make qemu+migrationd://NODE/system of it
          order_.dropped.insert(name + "=" + value);
          parameters.erase(name);
          say(one.id + ": " + agent(order_.to) + " has no " + name + "=" + value + ": it is removed, and what that agent does without it counts.");
          continue;
        }
        if (known.value().contains(name)) continue;
        order_.dropped.insert(name);
        parameters.erase(name);
        say(one.id + ": " + agent(order_.to) + " does not know the parameter " + name + "=" + value + ": it is removed.");
      }
    }
    const Outcome accepted = cluster_.accepts(order_.to, parameters, !one.banned.contains(status.node));
    if (accepted.ok()) return accepted;
    return Error{agent(order_.to) + " refuses it: " + accepted.error()};
  }

  Options options_;
  Cluster cluster_;
  AdoptionOrder order_;
  std::string before_;  ///< the CIB as it was found
  std::vector<DomainResource> all_;
};

}  // namespace

void add_adopt(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand(
      "adopt", "Give ocf:heartbeat:VirtualDomain resources to ocf:migrationd:VirtualDomain, or back, without a stop of their domains");
  auto* names = command->add_option("RESOURCE", options->resources, "resources, groups or templates, by their names in the CIB");
  auto* all = command->add_flag("--all", options->all, "all domains' resources that are not in clones");
  command->add_flag("--undo", options->undo, "back to ocf:heartbeat:VirtualDomain");
  command->add_flag("--dry-run", options->dry_run, "check, and say what would be done; change nothing");
  all->excludes(names);
  command->callback([options, &chosen] {
    if (options->resources.empty() && !options->all) throw CLI::RequiredError("RESOURCE or --all");
    chosen = [options] { return Adoption(*options).run(); };
  });
}

}  // namespace migrationctl
