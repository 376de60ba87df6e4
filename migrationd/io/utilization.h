// SPDX-License-Identifier: GPL-2.0-or-later
// The utilization attributes of Pacemaker's resources: kept as this node's domains are, whatever changes them. The whole
// configuration is read once for all of them, and only when a domain or the configuration changed; what differs is set with
// crm_resource, one after another. No action of the agent waits for it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"

namespace migrationd::io {

/// One attribute that is to be set, or, without a value, to be removed.
struct UtilizationChange {
  std::string resource;
  std::string name;
  std::optional<std::uint64_t> value;
  bool operator==(const UtilizationChange&) const = default;
};

/// What differs between `wanted` and the resources of `cib`, as `cibadmin --query --scope resources` prints it. Resources
/// that it does not have, or that are not ocf:migrationd:VirtualDomain, are passed over. Errors: not that kind of XML.
Result<std::vector<UtilizationChange>> utilization_changes(const std::string& cib, const std::map<std::string, engine::Utilization>& wanted);

/// The command that makes the change.
std::vector<std::string> utilization_command(const UtilizationChange& change);

class UtilizationKeeper {
 public:
  UtilizationKeeper(boost::asio::any_io_executor executor, engine::Log& log) : executor_(std::move(executor)), log_(log) {}
  UtilizationKeeper(const UtilizationKeeper&) = delete;
  UtilizationKeeper& operator=(const UtilizationKeeper&) = delete;

  /// Called again and again; does nothing while all is as it was. What fails is said once and tried with the next call.
  void keep(const std::map<std::string, engine::Utilization>& wanted);
  /// The configuration may have others now: the next keep() looks.
  void configuration_changed() { as_wanted_ = false; }

 private:
  void look();
  void looked(const Result<std::vector<UtilizationChange>>& found);
  void change_next();
  void failed(const std::string& why);

  boost::asio::any_io_executor executor_;
  engine::Log& log_;
  std::map<std::string, engine::Utilization> wanted_;
  std::vector<UtilizationChange> changes_;  ///< to be made, the last one first
  bool as_wanted_ = false;                  ///< the configuration was seen to be so, and has not changed since
  bool busy_ = false;
  std::string trouble_;                     ///< said last
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
