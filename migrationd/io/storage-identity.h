// SPDX-License-Identifier: GPL-2.0-or-later
// Is what a disk's path names on this node the same storage as on the node that the domain leaves? A migration onto
// another disk of the same name would end in a guest whose file systems are not those in its memory.
//
// A network disk is the same by its URL. A file on a file system of many nodes is known by its inode number, a block
// device by the serial number that its hardware or volume manager gives it. What can't be told is not refused: libvirt
// refuses by itself what it does not know to be shared, but only when the domain has been parted with already.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "migrationd/base/result.h"
#include "migrationd/io/domain-xml.h"

namespace migrationd::io {

/// What a path names on this node.
struct StorageIdentity {
  std::string kind;            ///< "file", "block" or "other"
  std::string file_system;     ///< of a file: its name, when it is known; empty: it can't be told whether it is shared
  bool shared = false;         ///< that file system is one of many nodes
  std::string id;              ///< the same on all nodes: inode or serial number; empty: not known
  std::uint64_t size = 0;      ///< of a block device, in bytes; 0: not known
  bool operator==(const StorageIdentity&) const = default;
};

/// Error: it isn't there. Blocks as long as its file system does. `sys`: where sysfs is.
Result<StorageIdentity> storage_identity(const std::string& path, const std::string& sys = "/sys");

/// As it is sent to the other node.
std::string to_text(const StorageIdentity& identity);
/// Error: not such a text.
Result<StorageIdentity> storage_identity_of_text(const std::string& text);

/// Why `here` is not the storage that the leaving node calls `there`; empty: it is, or it can't be told.
std::string other_storage(const StorageIdentity& there, const StorageIdentity& here);

/// The disks that matter, by path: written to, local paths. A path that isn't there is left out.
std::map<std::string, std::string> storage_of(const DomainXml& domain);

/// Ok: nothing contradicts that the domain's disks are here what they are on the node that it leaves, `there` being
/// storage_of that node. Touches files only; blocks as they do.
Outcome check_storage(const DomainXml& domain, const std::map<std::string, std::string>& there);

}  // namespace migrationd::io
