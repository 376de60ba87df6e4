// SPDX-License-Identifier: GPL-2.0-or-later
// What the agent and migrationctl say to the daemon of their node over the local IPC, and what it answers.
// Plain values; local-codec.h turns them into bytes and back.
#pragma once

#include <map>
#include <string>

#include "migrationd/base/clock.h"

namespace migrationd::wire {

/// Exit codes of the OCF resource agent API, section "Return codes".
enum class OcfCode {
  success = 0,
  error = 1,
  bad_arguments = 2,
  unimplemented = 3,
  no_permission = 4,
  not_installed = 5,
  not_configured = 6,
  not_running = 7,
};

/// Why Heartbeat calls, as its script's ancestry shows (none under Pacemaker).
enum class HeartbeatCause { none, shutdown, standby, peer_request, roll_back, by_hand };

struct LocalRequest {
  /// start, stop, monitor, status, migrate_to, migrate_from, validate-all, reload-agent; for migrationctl:
  /// ctl-status, ctl-explain, ctl-ready (with the parameter node), ctl-watch, ctl-forget; of alarms and events
  /// what io/alarm-service.h has.
  std::string operation;
  /// ocf, lsb or ctl.
  std::string face;
  /// The resource's name (OCF_RESOURCE_INSTANCE, or the init script's), or migrationctl's operand.
  std::string resource;
  /// The resource's parameters by name, without the prefix OCF_RESKEY_; meta attributes of the action keep
  /// their name with the prefix CRM_meta_.
  std::map<std::string, std::string> parameters;
  /// How long the caller will wait; 0: it doesn't say.
  Milliseconds timeout{0};
  HeartbeatCause cause = HeartbeatCause::none;
};

struct LocalReply {
  OcfCode code = OcfCode::error;
  /// Why, for ocf-exit-reason; empty on success.
  std::string reason;
  /// migrationctl: the answer as JSON text. Empty otherwise.
  std::string body;
  /// migrationctl watch and events: more replies follow.
  bool more = false;
};

/// Name of the libqb IPC service (qb_ipcs_create, QB_IPC_SOCKET).
inline constexpr const char* local_service_name = "migrationd";
/// Largest request or reply in bytes.
inline constexpr std::size_t local_message_limit = 1024 * 1024;

}  // namespace migrationd::wire
