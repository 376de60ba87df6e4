// SPDX-License-Identifier: GPL-2.0-or-later
// From what the agent says to what the engine does: parameters are checked, the domain's definition is read
// (and remembered as long as the file stays the same, so that a monitor costs a stat and no parsing).
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "migrationd/base/result.h"
#include "migrationd/engine/engine.h"
#include "migrationd/engine/policy.h"
#include "migrationd/io/configuration-check.h"
#include "migrationd/resource/parameters.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::io {

class OrderIntake {
 public:
  /// `libvirt_uri`: the hypervisor that this node's daemon serves.
  explicit OrderIntake(std::string libvirt_uri) : libvirt_uri_(std::move(libvirt_uri)) {}

  /// The order that `request` means, or why there is none. An unreadable definition is no refusal: a stop,
  /// monitor or reload may do without it (engine::Order::no_definition). The words of migrate_options are looked at before a
  /// domain runs or moves; one that runs is not failed for them, and a reload that fails would have it restarted.
  std::variant<engine::Order, Refused> order(const wire::LocalRequest& request);

 private:
  struct Known {
    struct stat file{};
    engine::Definition definition;
  };
  /// `refused`: why the parameters as a whole are not taken.
  engine::Order stop_by_the_good_ones(engine::Order order, const Refused& refused);
  /// Adds the definition, or why there is none.
  void define(engine::Order& order, const resource::Parameters& parameters);
  std::string libvirt_uri_;
  std::map<std::string, Known> known_;  ///< by path
};

/// `defaults`: the configuration's values for parameters that a resource does not give.
engine::PolicyReader policy_reader(std::map<std::string, std::string> defaults);

}  // namespace migrationd::io
