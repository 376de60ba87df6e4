// SPDX-License-Identifier: GPL-2.0-or-later
// What must be true before `adopt` changes anything, and of the scheduler's plan before it lets go. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "migrationctl/adoption-cib.h"
#include "migrationctl/status-view.h"
#include "migrationd/intent/facts.h"
#include "migrationd/intent/plan.h"

namespace migrationctl {

/// What is known of a resource before anything is changed.
struct BeforeAdoption {
  DomainResource resource;
  std::string domain;                ///< its name in libvirt; empty: not known
  migrationd::intent::Facts facts;   ///< with the resource's history
  std::string failed;                ///< an operation that failed, in words; empty: none
  std::string pending;               ///< one that is under way
};

/// Why it can't be adopted (or, `undo`, given back) now, each with what to do about it; empty: it can. `status` is that of this
/// node's daemon: it speaks for the domains of its own node; of the others the cluster's word counts until the new agent is asked.
std::vector<std::string> obstacles(const BeforeAdoption& before, const migrationd::intent::Plan& plan, const Status& status, bool undo);

/// What the plan would take away, each as "stop of vm1 on n1": stops, demotions, migrations, fencing; of `resources` also starts.
/// Of these alone, it is only what happens to `resources`.
enum class Whose { of_all, of_these };
std::set<std::string> disturbances(const migrationd::intent::Plan& plan, const std::set<std::string>& resources, Whose whose = Whose::of_all);

/// Whether the plan starts, stops or moves the resource.
bool about_to_change(const migrationd::intent::Plan& plan, const std::string& resource);

/// Those of a template's resources that are not among `chosen`, although a change of the template changes them, too.
std::set<std::string> left_behind(const std::vector<DomainResource>& all, const std::set<std::string>& chosen);

}  // namespace migrationctl
