// SPDX-License-Identifier: GPL-2.0-or-later
// See storage-identity.h.
#include "migrationd/io/storage-identity.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace migrationd::io {

namespace {

struct FileSystem {
  std::uint32_t magic;  // of statfs(2)
  const char* name;
  bool shared;
};

/// Of one node or of many for certain; of others, such as FUSE's, it can't be told.
const FileSystem file_systems[] = {
    {0x6969, "nfs", true},        {0x01161970, "gfs2", true},  {0x7461636f, "ocfs2", true}, {0x00c36400, "ceph", true},
    {0xef53, "ext4", false},      {0x58465342, "xfs", false},  {0x9123683e, "btrfs", false}, {0x2fc12fc1, "zfs", false},
    {0xf2f52010, "f2fs", false},  {0x01021994, "tmpfs", false}, {0x858458f6, "ramfs", false}, {0x4d44, "vfat", false},
};

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  const std::size_t end = line.find_last_not_of(" \t\r\n");
  line.resize(end == std::string::npos ? 0 : end + 1);
  return line;
}

/// What hardware, multipath or LVM call the device; not what the node itself numbers it.
std::string serial_of(const std::string& device) {
  for (const char* where : {"/dm/uuid", "/wwid", "/device/wwid", "/serial", "/device/serial"})
    if (std::string id = first_line(device + where); !id.empty()) return id;
  return "";
}

std::string name_of(const StorageIdentity& one) {
  if (one.kind == "block") return "a block device";
  if (one.kind != "file") return "neither file nor block device";
  if (one.file_system.empty()) return "a file";
  return std::string("a file on a ") + (one.shared ? "shared" : "local") + " file system (" + one.file_system + ")";
}

/// An empty drive has nothing in it, and what is only read may be a copy on each node.
bool matters(const Disk& disk) { return !disk.source.empty() && !disk.optional && !disk.read_only && disk.type != "dir"; }

}  // namespace

Result<StorageIdentity> storage_identity(const std::string& path, const std::string& sys) {
  StorageIdentity found;
  struct stat status {};
  if (::stat(path.c_str(), &status) < 0) return Error{"look at " + path + ": " + std::strerror(errno)};
  if (S_ISBLK(status.st_mode)) {
    found.kind = "block";
    const std::string device = sys + "/dev/block/" + std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
    found.id = serial_of(device);
    const std::string sectors = first_line(device + "/size");
    found.size = std::strtoull(sectors.c_str(), nullptr, 10) * 512;
    return found;
  }
  found.kind = S_ISREG(status.st_mode) ? "file" : "other";
  struct statfs system {};
  if (found.kind != "file" || ::statfs(path.c_str(), &system) < 0) return found;
  const auto magic = static_cast<std::uint32_t>(system.f_type);
  const auto known = std::find_if(std::begin(file_systems), std::end(file_systems), [&](const FileSystem& one) { return one.magic == magic; });
  if (known == std::end(file_systems)) return found;
  found.file_system = known->name;
  found.shared = known->shared;
  if (found.shared) found.id = std::to_string(status.st_ino);  // given by the server, or the same for all mounts
  return found;
}

std::string to_text(const StorageIdentity& identity) {
  return identity.kind + "\n" + identity.file_system + "\n" + (identity.shared ? "shared" : "") + "\n" + std::to_string(identity.size) + "\n" + identity.id;
}

Result<StorageIdentity> storage_identity_of_text(const std::string& text) {
  StorageIdentity found;
  std::istringstream lines(text);
  std::string shared, size;
  const bool complete = std::getline(lines, found.kind) && std::getline(lines, found.file_system) && std::getline(lines, shared) && std::getline(lines, size);
  std::getline(lines, found.id);
  if (!complete || size.empty() || size.find_first_not_of("0123456789") != std::string::npos) return Error{"what the other node says of a disk is not understood"};
  found.shared = shared == "shared";
  found.size = std::strtoull(size.c_str(), nullptr, 10);
  return found;
}

std::string other_storage(const StorageIdentity& there, const StorageIdentity& here) {
  if (there.kind != here.kind) return "it is " + name_of(there) + " on the node that the domain leaves, and " + name_of(here) + " on this one";
  if (there.kind == "file") {
    const bool known = !there.file_system.empty() && !here.file_system.empty();
    if (!there.file_system.empty() && !there.shared) {
      return "it is " + name_of(there) + " on the node that the domain leaves, so no other node has it; put it on shared "
             "storage, or have it copied (migrate_options=--copy-storage-all)";
    }
    if (!here.file_system.empty() && !here.shared) return "it is " + name_of(here) + " on this node: is its shared file system mounted?";
    if (known && there.file_system != here.file_system)
      return "it is " + name_of(there) + " on the node that the domain leaves, and " + name_of(here) + " on this one";
    if (!there.id.empty() && !here.id.empty() && there.id != here.id)
      return "it is another file on this node (inode " + here.id + ", and " + there.id + " on the node that the domain leaves)";
  }
  if (there.kind == "block") {
    if (!there.id.empty() && !here.id.empty() && there.id != here.id)
      return "it is another device on this node (" + here.id + ", and " + there.id + " on the node that the domain leaves)";
    if (there.size != 0 && here.size != 0 && there.size != here.size)
      return "it has another size on this node (" + std::to_string(here.size) + " bytes, and " + std::to_string(there.size) + " on the node that the domain leaves)";
  }
  return "";
}

std::map<std::string, std::string> storage_of(const DomainXml& domain) {
  std::map<std::string, std::string> all;
  for (const Disk& disk : domain.disks) {
    if (!matters(disk)) continue;
    if (auto found = storage_identity(disk.source)) all[disk.source] = to_text(found.value());
  }
  return all;
}

Outcome check_storage(const DomainXml& domain, const std::map<std::string, std::string>& there) {
  for (const Disk& disk : domain.disks) {
    const auto known = there.find(disk.source);
    if (!matters(disk) || known == there.end()) continue;
    const std::string what = "disk " + disk.target + ": " + disk.source + ": ";
    const auto theirs = storage_identity_of_text(known->second);
    if (!theirs) return Error{what + theirs.error()};
    const auto ours = storage_identity(disk.source);
    if (!ours) return Error{what + ours.error()};
    if (const std::string why = other_storage(theirs.value(), ours.value()); !why.empty()) return Error{what + why};
  }
  return Done{};
}

}  // namespace migrationd::io
