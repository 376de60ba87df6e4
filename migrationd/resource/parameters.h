// SPDX-License-Identifier: GPL-2.0-or-later
// The resource's parameters, checked and typed. A value that isn't understood, or that asks for something
// which this version doesn't do, is refused with the reason; it is never ignored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"

namespace migrationd::resource {

enum class Handoff { automatic, off };
enum class Unfenced { refuse, membership };
/// `automatic`: carried by the daemons, unless another parameter names libvirt's own way; that is then a plain URI without a
/// transport.
enum class Transport { automatic, migrationd, ssh, tls, tcp };

struct Parameters {
  std::string config;                             ///< absolute path
  std::string name;                               ///< of the domain; empty: as the file says
  std::string hypervisor = "qemu:///system";      ///< libvirt URI of this node
  bool force_stop = false;
  std::string shutdown_mode;                      ///< words of libvirt, separated by commas; empty: its choice
  std::optional<Milliseconds> shutdown_timeout;   ///< nothing: what the action's time allows; 0: at once
  Transport migration_transport = Transport::automatic;
  std::string migration_user;
  Milliseconds migration_downtime{0};             ///< 0: the default
  std::optional<int> priority;                    ///< where there is no cluster manager that has one
  std::uint64_t migration_speed = 0;              ///< MiB/s; 0: no limit
  std::string migration_network_suffix;
  std::string migrateuri;                         ///< of the parameter, or else of --migrateuri= in migrate_options
  std::string remoteuri;
  std::optional<std::uint16_t> migrateport;
  bool auto_converge = true;
  bool post_copy = false;
  std::string migrate_options;                    ///< without --migrateuri=; its words are io/migrate-options' to judge
  Handoff handoff = Handoff::automatic;
  Milliseconds handoff_timeout{120'000};
  Milliseconds start_timeout{90'000};
  Unfenced unfenced = Unfenced::refuse;
  bool restart_if_incompatible = false;
  bool stay_off = false;                 ///< a guest that was powered off
  std::string backingfile;               ///< absolute path
  bool stateless = false;
  std::vector<std::string> copyindirs;   ///< absolute paths
  bool start_resources = false;
  bool save_config = false;  ///< also when only sync_config_on_stop is given
  bool sync_config = false;
  /// Attributes of the cluster manager, after ocf:heartbeat:VirtualDomain: cpu, host_memory, hv_memory.
  enum class Attribute { set, unset, leave };
  Attribute cpu = Attribute::set;
  Attribute host_memory = Attribute::set;
  Attribute hv_memory = Attribute::set;
};

/// Types the parameters, given by name without the prefix OCF_RESKEY_. An empty value counts as not given.
/// Names that the cluster manager itself adds (CRM_meta_..., crm_feature_set, trace_...) are passed over.
/// Errors: a name that isn't in the table, a value that isn't of its type, a value that this version doesn't
/// implement, config missing. All of them are OCF_ERR_CONFIGURED: no node could do it.
Result<Parameters> parse(const std::map<std::string, std::string>& given);

/// What is good of a resource's parameters: a stop is carried out by it, whatever else is wrong.
struct GoodParameters {
  Parameters parsed;                         ///< `config` is empty when it is missing or refused
  std::map<std::string, std::string> given;  ///< those that were not refused
  std::string complaint;                     ///< why `parse` refuses the whole; empty: it does not
};
GoodParameters good_parameters(const std::map<std::string, std::string>& given);

/// Why `value` can't be migration_transport, for a resource or as the configuration's default for all; ok when it can.
Outcome check_transport(std::string_view value);

/// Whether the cluster manager itself adds a parameter of this name.
bool added_by_cluster_manager(std::string_view name);

const char* to_string(Transport transport);

}  // namespace migrationd::resource
