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
#include "migrationd/resource/parameters.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::io {

/// A refusal, with the code for the agent's exit.
struct Refused {
  wire::OcfCode code = wire::OcfCode::error;
  std::string reason;
};

class OrderIntake {
 public:
  /// `libvirt_uri`: the hypervisor that this node's daemon serves.
  explicit OrderIntake(std::string libvirt_uri) : libvirt_uri_(std::move(libvirt_uri)) {}

  /// The order that `request` means, or why there is none. An unreadable definition is no refusal: a stop,
  /// monitor or reload may do without it (engine::Order::no_definition).
  std::variant<engine::Order, Refused> order(const wire::LocalRequest& request);

  /// What validate-all says.
  Refused validate(const wire::LocalRequest& request);

 private:
  struct Known {
    struct stat file{};
    engine::Definition definition;
  };
  /// Whether the hypervisor that these parameters name is the one that is served here.
  bool serves(const std::map<std::string, std::string>& given) const;
  /// Typed, and for the hypervisor that is served here: of another one nothing would be known, and "not running" said.
  Result<resource::Parameters> parse(const std::map<std::string, std::string>& given) const;
  /// parse, and that the words of migrate_options can be used: before a domain runs or moves. One that runs is not
  /// failed for them, and a reload that fails would have it restarted.
  Result<resource::Parameters> usable(const std::map<std::string, std::string>& given) const;
  engine::Order stop_by_the_good_ones(engine::Order order, const std::string& complaint);
  Result<engine::Definition> definition(const resource::Parameters& parameters);
  std::string libvirt_uri_;
  std::map<std::string, Known> known_;  ///< by path
};

/// `defaults`: the configuration's values for parameters that a resource does not give.
engine::PolicyReader policy_reader(std::map<std::string, std::string> defaults);

}  // namespace migrationd::io
