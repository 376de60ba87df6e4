// SPDX-License-Identifier: GPL-2.0-or-later
// One of three cluster managers.
#include "migrationd/io/cluster-choice.h"

#include <unistd.h>

#include "migrationd/io/configured-nodes.h"
#include "migrationd/io/heartbeat-files.h"
#include "migrationd/io/pacemaker.h"

namespace migrationd::io {

namespace {

constexpr const char* corosync_conf = "/etc/corosync/corosync.conf";
constexpr const char* haresources = "/etc/ha.d/haresources";
constexpr const char* ha_cf = "/etc/ha.d/ha.cf";

bool there(const char* path) { return access(path, R_OK) == 0; }

ClusterKind find_out() {
  if (there(ha_cf) && there(haresources)) return ClusterKind::heartbeat;
  if (there(corosync_conf)) return ClusterKind::pacemaker;
  return ClusterKind::none;
}

}  // namespace

Result<ClusterChoice> choose_cluster(boost::asio::io_context& loop, const Config& config, const NodeName& self,
                                     engine::Log& log) {
  const bool automatic = config.cluster == ClusterKind::automatic;
  const ClusterKind kind = automatic ? find_out() : config.cluster;
  ClusterChoice choice;
  choice.self = self;
  switch (kind) {
    case ClusterKind::automatic:
      break;
    case ClusterKind::pacemaker: {
      choice.name = "pacemaker";
      PacemakerSettings settings;
      settings.self = self;
      settings.runtime_dir = config.runtime_dir;
      choice.source = std::make_unique<PacemakerCluster>(loop, std::move(settings), log);
      break;
    }
    case ClusterKind::heartbeat: {
      choice.name = "heartbeat";
      choice.self = heartbeat_name(self);
      HeartbeatSettings settings;
      settings.self = choice.self;
      auto source = std::make_unique<HeartbeatCluster>(loop, std::move(settings), log);
      choice.heartbeat = source.get();
      choice.source = std::move(source);
      break;
    }
    case ClusterKind::none: {
      choice.name = "none";
      if (config.nodes.empty()) {
        return Error{automatic ? std::string("no cluster manager was found: neither ") + ha_cf + " with " + haresources +
                                     " nor " + corosync_conf + " can be read, and migrationd.conf names no nodes"
                               : std::string("cluster = none needs the nodes: node = NAME ADDRESS, a line for each")};
      }
      auto others = config.nodes;
      auto own = others.extract(self);
      if (own.empty()) {  // it would take its own line for another node's, and that node would never speak
        return Error{"none of the node lines is for this node, \"" + self + "\": add one, or say with node_name which of them it is"};
      }
      choice.source = std::make_unique<ConfiguredNodes>(loop, std::move(others), std::move(own.mapped()));
      break;
    }
  }
  return choice;
}

}  // namespace migrationd::io
