// SPDX-License-Identifier: GPL-2.0-or-later
// The memory of a domain that was really stopped, as a file, and its way back (the parameter snapshot).
//
//   stop in epoch 7:  virDomainSave -> .UUID.7.memory.new -> UUID.7.memory
//   boot in epoch 8:  UUID.7.memory -> paused domain; the file is removed; it runs
//
// Memory that is older than the disks destroys them. So an image counts only in the very next epoch after its own, which
// nobody can have had who booted the domain in between, and it is gone before the guest executes an instruction. Any other
// image of the domain is older, or from a journal of before, and is removed by the boot that finds it.
#pragma once

#include <optional>
#include <string>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// Saves the memory of a running domain, which ends it. Error: it runs on, or it ended without a good image; there is none
/// then. Blocks, for as long as it takes to write the memory.
Outcome save_memory(const Connection& connection, const DomainUuid& uuid, const engine::MemoryImage& image);

/// How a boot found its directory.
struct FoundImage {
  std::string path;  ///< of the image that counts; empty: there is none
  std::string note;  ///< what was removed, for the log; empty: nothing
};
/// Looks for the image and removes all others of the domain. Errors: the directory can't be read, or one can't be removed,
/// so that nobody knows whether it would be taken for a good one later. Blocks.
Result<FoundImage> find_image(const DomainUuid& uuid, const engine::MemoryImage& image);

/// Has the domain go on from the image at `path`, which is removed. Error: it does not run; the image is kept for the next
/// epoch where the guest has not executed since. Blocks.
Outcome restore_memory(const Connection& connection, const DomainUuid& uuid, const engine::MemoryImage& image, const std::string& path);

/// Removes all images of the domain in the directory: it ran without them. Blocks.
Result<FoundImage> discard_images(const DomainUuid& uuid, const std::string& directory);

}  // namespace migrationd::io
