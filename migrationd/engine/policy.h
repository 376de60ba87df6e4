// SPDX-License-Identifier: GPL-2.0-or-later
// A resource's parameters as the engine needs them: typed, checked, with the configuration's defaults filled
// in. Made outside (from the resource's parameters and migrationd.conf), so that the engine knows no names.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "migrationd/engine/world.h"

namespace migrationd::engine {

struct Policy {
  enum class Handoff { automatic, off };
  Handoff handoff = Handoff::automatic;
  Milliseconds handoff_timeout{120'000};  ///< how long an offer stands
  Milliseconds start_timeout{90'000};     ///< bounds a start whose caller sets no limit (Heartbeat)
  bool unfenced_membership = false;       ///< a silent non-member counts as absent: against crashes only
  bool unfenced_by_configuration = false; ///< the configuration says so of every resource that does not say otherwise
  bool force_stop = false;                ///< destroy without asking the guest
  std::string shutdown_mode;              ///< libvirt's way to ask the guest; empty: its default
  Milliseconds shutdown_timeout{0};       ///< how long the guest is waited for; 0: what the stop's time allows
  bool start_resources = false;           ///< the hypervisor's pools and networks that it uses are started before it comes
  bool restart_if_incompatible = false;   ///< a node that can't take it running gets it by a stop and a boot
  bool stay_off = false;                  ///< a guest that was powered off is not started again
  std::optional<CopyOnWrite> disk;        ///< made before a boot
  std::string save_config_to;             ///< the file to which a changed definition is written back; empty: it is not
  std::optional<int> priority;            ///< where not all can leave at once; nothing: the cluster manager's
  bool sync_config = false;               ///< and at the other nodes, too
  /// What of a running domain its resource's utilization attributes are to say.
  std::function<Utilization(const DomainView&)> utilization;
  /// How to reach `node` with a migration of `domain`.
  std::function<MigrateOrder(const std::string& domain, const NodeName& node)> way_to;
};

using PolicyReader = std::function<Result<Policy>(const std::map<std::string, std::string>& parameters)>;

}  // namespace migrationd::engine
