// SPDX-License-Identifier: GPL-2.0-or-later
// Where the sockets of carried migrations lie. The paths of a guest's memory and disks must be the same on both nodes, and its
// QEMU, which is not root, must reach them:
//
//   RUNTIME_DIR                         0700 root   MIGRATION.libvirt.sock: root's alone, taken away once libvirt has connected
//   RUNTIME_DIR.streams                 0711 root   passed through, never listed
//   RUNTIME_DIR.streams/MIGRATION/      source: 0711 root, its sockets the domain's QEMU's own;
//                                       destination: that QEMU's from Prepare until its answer, root's alone before and after
//
// MIGRATION is 32 random hexadecimal digits. All QEMUs of a node may be one user's, so a name that leaked is not enough:
// who connects at the source, or listens at the destination, must be the domain's own emulator (or root).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/file.h"
#include "migrationd/wire/peer-message.h"

namespace migrationd::io {

/// Whose the emulators are: the DAC label of the domain's own XML if it has one, else the base label of libvirt's capabilities.
/// Error: neither says it in numbers or in names that this node knows.
Result<Owner> emulator_owner(const std::string& domain_xml, const std::string& capabilities);

/// The owner of a DAC label such as +64055:+64055 or libvirt-qemu:libvirt-qemu; nothing: it is none.
std::optional<Owner> owner_of_label(const std::string& label);

/// 32 hexadecimal digits that nobody can guess. Error: the kernel gives no random bytes.
Result<std::string> new_migration_name();

class CarriedPlace {
 public:
  explicit CarriedPlace(std::string runtime_dir) : runtime_dir_(std::move(runtime_dir)), streams_(runtime_dir_ + ".streams") {}

  /// Makes the directory for the streams, and takes away what an earlier daemon left there: its streams ended with it. Error: it is not
  /// root's own directory, or its name is so long that no socket fits in.
  Outcome prepare() const;

  /// Takes it away, unless a migration is still in it.
  void close() const;

  /// The directory of all streams, as the other node is told.
  const std::string& streams() const { return streams_; }
  std::string directory(const std::string& migration) const { return streams_ + "/" + migration; }
  std::string socket(const std::string& migration, wire::CarriedStream stream) const;

  /// Makes the directory of one migration.
  Outcome make(const std::string& migration, mode_t mode) const;
  /// Changes it to be `owner`'s and nobody else's.
  Outcome give(const std::string& migration, Owner owner) const;
  /// Takes it away with all its sockets.
  void remove(const std::string& migration) const;

 private:
  std::string runtime_dir_;
  std::string streams_;
};

/// A listening unix socket that only `owner` may connect to. Not inherited, non-blocking.
Result<Fd> listen_at(const std::string& path, Owner owner);
/// A connection to a unix socket. Never waits: a listener that does not accept is an error.
Result<Fd> connect_to(const std::string& path);
/// Where the libvirt daemon listens that `uri` means: its own socket=, else that of the modular daemon of the driver if it is there, else
/// the monolithic one's.
std::string libvirt_socket(const std::string& uri);

}  // namespace migrationd::io
