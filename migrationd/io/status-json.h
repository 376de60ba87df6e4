// SPDX-License-Identifier: GPL-2.0-or-later
// What migrationctl shows, as JSON text: the state of the node's domains, offers and links, and a domain's
// recent decisions. The names are an interface for scripts and only ever grow.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "migrationd/engine/engine.h"
#include "migrationd/io/job-progress.h"

namespace migrationd::io {

/// What the status says beside the engine's own state.
struct StatusFacts {
  NodeName self;
  bool unfenced_membership = false;    ///< the configuration's word, for resources that don't say it themselves
  std::vector<std::string> warnings;   ///< further ones
  JobsProgress jobs;
  std::string cluster;                 ///< pacemaker, heartbeat or none
};

/// {"node", "cluster", "hypervisor", "warnings", "domains": [...], "peers": [...]}; a domain of `jobs` has a "job".
std::string status_json(const engine::Engine& engine, const StatusFacts& facts);

/// The domain or resource of this name or UUID; nothing: there is none.
std::optional<engine::DomainStatus> domain_named(const engine::Engine& engine, const std::string& name);

/// The domains that this node knows `node` to have held last.
std::vector<std::string> held_last_by(const engine::Engine& engine, const NodeName& node);

/// {"domains"}: of which domains the last holder was forgotten.
std::string forgotten_json(const std::vector<std::string>& domains);

/// A domain as in status_json, without "job" but with "real_stop" and "history": [{"ago_ms", "text", "alarm"}].
std::string explain_json(const engine::DomainStatus& domain, Instant now);

/// {"ready", "why", "takes_ms", "priority"}: what a destination answered, and what is known of the way there.
std::string ready_json(const engine::WouldTake& answer);

}  // namespace migrationd::io
