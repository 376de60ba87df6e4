// SPDX-License-Identifier: GPL-2.0-or-later
// What a migration job needs of the transport "migrationd"; the transport itself: carrier.h.
#pragma once

#include <memory>
#include <string>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"
#include "migrationd/io/emulator.h"
#include "migrationd/io/post-copy-gate.h"

namespace migrationd::io {

/// The source's end of one migration. Lives on the loop; its destruction ends all its streams and takes away its sockets.
class CarriedMigration {
 public:
  virtual ~CarriedMigration() = default;
  virtual std::string libvirt_uri() const = 0;  ///< the destination's libvirt, for the source's
  virtual std::string memory_uri() const = 0;
  virtual std::string disks_uri() const = 0;
  virtual const NodeName& to() const = 0;
  /// Of the switch to post-copy; see post-copy-gate.h.
  virtual void say(PostCopyGate::Word word) = 0;
  /// Ends all its streams, for that reason, and takes no more: libvirt's call fails, if it still runs.
  virtual void cut(const std::string& why) = 0;
  /// Why a stream could not be carried, or broke; empty: none did.
  virtual const std::string& trouble() const = 0;
};

class MigrationCarrier {
 public:
  virtual ~MigrationCarrier() = default;
  /// Opens the source's end of a migration by `order`. `emulator`: the domain's. Error: why it can't be carried.
  virtual Result<std::shared_ptr<CarriedMigration>> depart(const DomainUuid& domain, const engine::MigrateOrder& order,
                                                           std::shared_ptr<Emulator> emulator) = 0;
  /// The directory of the streams' sockets, which must be the same on both nodes.
  virtual const std::string& streams() const = 0;
  /// See engine::Hypervisor.
  virtual void let_run(const DomainUuid& domain, const NodeName& from, Attempt attempt) = 0;
};

}  // namespace migrationd::io
