// SPDX-License-Identifier: GPL-2.0-or-later
// A cluster manager that can be begun and ended, and tells the addresses of the nodes it knows: what
// Pacemaker, Heartbeat and the configuration file have in common for the daemon.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "migrationd/engine/world.h"

namespace migrationd::io {

class ClusterSource : public engine::ClusterManager {
 public:
  /// Every other configured node with its addresses, in the order to try.
  using NodesChanged = std::function<void(const std::map<NodeName, std::vector<std::string>>&)>;

  virtual void start(NodesChanged nodes_changed) = 0;
  /// Where this node is reached by the others, as the cluster manager has it; empty: it doesn't say.
  virtual std::vector<std::string> own_addresses() const = 0;
  /// Nothing is called back any more.
  virtual void stop() = 0;
};

}  // namespace migrationd::io
