// SPDX-License-Identifier: GPL-2.0-or-later
// Which cluster manager this node has, when the configuration says `auto`.
#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/cluster-source.h"
#include "migrationd/io/config-file.h"
#include "migrationd/io/heartbeat.h"

namespace migrationd::io {

struct ClusterChoice {
  std::unique_ptr<ClusterSource> source;
  std::string name;                       ///< pacemaker, heartbeat or none
  NodeName self;                          ///< this node's name as the cluster manager has it
  HeartbeatCluster* heartbeat = nullptr;  ///< the source, when it is Heartbeat
};

/// auto: Heartbeat where ha.cf says `crm no` or nothing of crm and there is a haresources file; else Pacemaker
/// where there's a corosync.conf; else the nodes of the configuration. Errors: none of them can be used.
Result<ClusterChoice> choose_cluster(boost::asio::io_context& loop, const Config& config, const NodeName& self,
                                     engine::Log& log);

}  // namespace migrationd::io
