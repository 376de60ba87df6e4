// SPDX-License-Identifier: GPL-2.0-or-later
// The one call to libvirt that a migration is, with all that it is given. It blocks until the migration has ended.
#pragma once

#include <atomic>
#include <string>

#include "migrationd/converge/planner.h"
#include "migrationd/engine/world.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// `order`: its URIs are libvirt's. `disks_uri`: for copies of the disks; empty: libvirt's choice. `may_kill`: set where the emulator may be
/// killed when libvirt is about to end it.
Outcome migrate_now(const Connection& connection, const DomainUuid& uuid, const engine::MigrateOrder& order, const std::string& disks_uri,
                    const converge::Opening& opening, std::atomic<bool>& may_kill);

}  // namespace migrationd::io
