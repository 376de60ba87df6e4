// SPDX-License-Identifier: GPL-2.0-or-later
// What migrationctl shows, as JSON text: the state of the node's domains, offers and links, and a domain's
// recent decisions. The names are an interface for scripts and only ever grow.
#pragma once

#include <string>

#include "migrationd/engine/engine.h"
#include "migrationd/io/job-progress.h"

namespace migrationd::io {

/// {"node", "hypervisor", "warnings", "domains": [...], "peers": [...]}; a domain of `jobs` has a "job".
std::string status_json(const engine::Engine& engine, const NodeName& self, bool unfenced_membership, const JobsProgress& jobs);

/// {"domain", "resource", "phase", "here", "doubt", "history": [{"ago_ms", "text", "alarm"}]}, of the domain or
/// resource of this name; an empty text when there is none.
std::string explain_json(const engine::Engine& engine, const std::string& name, Instant now);

}  // namespace migrationd::io
