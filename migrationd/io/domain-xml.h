// SPDX-License-Identifier: GPL-2.0-or-later
// A libvirt domain's XML, read as XML: what the project needs to know of it, and errors that say where it is
// broken. Names are data: spaces, quotes, newlines and UTF-8 pass through unchanged; whether libvirt accepts
// them is libvirt's business.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

/// Larger files are refused, in bytes.
inline constexpr std::size_t domain_xml_limit = 4 * 1024 * 1024;

struct Disk {
  std::string type;      ///< file, block, network, volume, dir, ...
  std::string source;    ///< path of a file, block device or directory; empty for others
  std::string target;    ///< such as vda
  bool optional = false;  ///< an empty drive, or one that may be missing (startupPolicy)
  bool shareable = false;
  bool read_only = false;
  std::string protocol{};  ///< of type network: nbd, rbd, ...; else empty
};

struct Interface {
  std::string type;    ///< bridge, network, direct, ethernet, hostdev, ...
  std::string source;  ///< bridge, network or device it is attached to
  std::string bridge;  ///< type bridge, or a network's in a live definition; else empty
  std::string mac;     ///< as libvirt writes it; empty: it has none yet
  std::string target;  ///< the host's device, in a live definition; else empty
};

struct DomainXml {
  std::string name;
  DomainUuid uuid;              ///< from the XML, or made from the name (see uuid_from_name)
  bool uuid_made = false;       ///< the XML has none
  std::string virt_type;        ///< kvm, qemu, xen
  std::uint64_t memory_kib = 0;  ///< <memory>, the most it can have
  bool huge_pages = false;       ///< its memory comes from a reserve of the node's
  std::string emulator;         ///< path; empty: libvirt's choice
  std::string arch;
  std::string machine;
  std::string cpu;              ///< the <cpu> element as XML; empty: none
  std::vector<Disk> disks;
  std::vector<Interface> interfaces;
  std::vector<std::string> pools;     ///< of libvirt, by name, that its disks' volumes are in; each once
  std::vector<std::string> networks;  ///< of libvirt, by name, that it is attached to or listens in; each once
  std::vector<std::string> files;  ///< kernel, initrd, loader: must exist on a node that starts it
  /// What forbids a live migration, each as a sentence; empty: nothing that can be seen in the XML.
  std::vector<std::string> obstacles;
  /// The whole document, with the UUID in it.
  std::string xml;
};

/// UUIDv5 (RFC 4122, section 4.3) of a domain's name in the namespace 9ad4e9b8-0f5b-5d6e-8a0c-3f1a6b7c2d10,
/// which is this project's own. So all nodes that read the same file without <uuid> mean the same domain.
DomainUuid uuid_from_name(std::string_view name);

/// Whether the end of the emulator alone, even by SIGKILL, leaves nothing held of the disks: the kernel closes files, devices and NBD
/// connections, but a lock of Ceph, say, would stand until its server misses the emulator.
bool kernel_lets_go(const DomainXml& domain);

/// Reads a definition. `where` is used in the error's text, such as the file's path.
Result<DomainXml> parse_domain_xml(std::string_view text, const std::string& where);

/// Reads the file that the parameter `config` names.
Result<DomainXml> read_domain_xml(const std::string& path);

}  // namespace migrationd::io
