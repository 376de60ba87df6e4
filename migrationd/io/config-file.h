// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon's configuration file, /etc/migrationd/migrationd.conf: lines "key = value", # begins a comment.
// Everything has a default, so that an empty file is a good one under Pacemaker and Heartbeat.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/alert-config.h"
#include "migrationd/io/certificate-files.h"

namespace migrationd::io {

inline constexpr const char* default_config_path = "/etc/migrationd/migrationd.conf";

enum class ClusterKind { automatic, pacemaker, heartbeat, none };
enum class Unfenced { refuse, membership };
enum class Handoff { automatic, off };
enum class LogLevel { debug, info, notice, warning, error };
enum class Authentication { key, certificate };
enum class LogTarget { journal, syslog, file, standard_error };

struct Config {
  ClusterKind cluster = ClusterKind::automatic;
  NodeName node_name;                                 ///< empty: the cluster manager's name of this node, or uname -n
  std::map<NodeName, std::vector<std::string>> nodes; ///< only with cluster = none; may hold this node, too
  std::uint16_t port = 6415;
  std::vector<std::string> listen;                    ///< addresses; empty: the cluster's addresses of this node
  bool listen_everywhere = false;                     ///< listen = any
  Authentication authentication = Authentication::key; ///< on the links to the other nodes
  CertificateFiles certificates;                      ///< with authentication = certificate
  std::string key = "/etc/migrationd/key";
  std::string state_dir = "/var/lib/migrationd";
  std::string runtime_dir = "/run/migrationd";
  Unfenced unfenced = Unfenced::refuse;
  std::string migration_transport;                    ///< default of the resource parameter of this name
  int migrations_at_once = 2;                         ///< that leave this node
  Handoff handoff = Handoff::automatic;               ///< default of the resource parameter of this name
  Milliseconds handoff_timeout{120'000};
  Milliseconds start_timeout{90'000};
  LogLevel log_level = LogLevel::notice;
  LogTarget log_target = LogTarget::journal;
  std::string log_file;                               ///< with log_target = file
  std::vector<AlertAgent> alert_agents;
  std::string libvirt_uri = "qemu:///system";         ///< the one hypervisor of this daemon
};

/// The file's content. The error says FILE:LINE: what is wrong and what is allowed instead.
Result<Config> parse_config(const std::string& content, const std::string& path);

/// Reads the file. A missing one is an error only when `must_exist` (it was named on the command line); otherwise
/// the defaults count.
Result<Config> read_config_file(const std::string& path, bool must_exist);

/// What can be read of a file that may be broken, for what must work then, too (`migrationd --direct`): a line that
/// is wrong counts as absent. `complaint`: the first error; empty: there's none.
struct ConfigRest {
  Config config;
  std::string complaint;
};
ConfigRest read_rest_of_config_file(const std::string& path);

}  // namespace migrationd::io
