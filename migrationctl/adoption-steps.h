// SPDX-License-Identifier: GPL-2.0-or-later
// What `adopt` does once all checks have passed, and how it is put back.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "migrationctl/cluster.h"
#include "migrationd/base/result.h"
#include "migrationd/io/crm-simulate.h"

namespace migrationctl {

struct AdoptionOrder {
  std::set<std::string> resources;
  std::string from, to;                                 ///< providers
  std::set<std::string> dropped;                        ///< parameters that the agent of `to` does not know, for with_provider
  std::map<std::string, std::set<std::string>> places;  ///< where the cluster counts each as active
  std::set<std::string> planned;                        ///< what the scheduler would take away in any case
  bool resumed = false;                                 ///< an earlier call was broken off
};

/// What the scheduler would do with this CIB. Errors: it can't be asked.
migrationd::Result<migrationd::io::Outlook> look_ahead(const std::string& cib);

/// Waits until the cluster has nothing left to do, as each step does before its result is looked at.
migrationd::Outcome settle(Cluster& cluster);

class AdoptionSteps {
 public:
  AdoptionSteps(Cluster& cluster, AdoptionOrder order) : cluster_(cluster), order_(std::move(order)) {}

  /// Says each step. False: one failed or was interrupted; why, and what state it is in now, has been said.
  bool run();
  /// Says them without doing them.
  void announce() const;

 private:
  migrationd::Outcome forward();
  migrationd::Outcome unmanage();
  migrationd::Outcome change_provider();
  migrationd::Outcome all_marked(const std::string& cib) const;
  migrationd::Outcome look_for_it(const std::string& provider);
  migrationd::Outcome still_in_place();
  migrationd::Outcome plan_is_quiet();
  migrationd::Outcome manage();
  void put_back(const std::string& why);
  migrationd::Outcome back();
  migrationd::Outcome definition_back();
  void say_state(const std::string& why);

  using Definitions = std::map<std::string, std::pair<std::string, std::map<std::string, std::string>>>;
  Definitions definitions(const std::string& cib) const;
  std::string numbered(const char* number, const std::string& text) const;
  template <class F>
  migrationd::Outcome edit(F how);

  Cluster& cluster_;
  AdoptionOrder order_;
  bool marked_ = false;
  bool putting_back_ = false;
  std::string old_definition_, new_definition_;  ///< the CIB before and after the change of the provider; empty: not changed
};

}  // namespace migrationctl
