// SPDX-License-Identifier: GPL-2.0-or-later
// Can this domain run on this node? Asked before a migration, so that what would fail later is refused now, with the
// reason, while nothing is parted with.
#pragma once

#include <map>
#include <string>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// The first thing that is missing here: emulator, disk, kernel, bridge. Asks no libvirt; touches files only.
Outcome check_files(const DomainXml& domain);

/// What of this node matters to a domain that leaves it, for check_domain on the other: its storage (not if migrate_options
/// have it copied, or say that it is safe), and the host's CPU if the domain has it whole. Blocks.
std::map<std::string, std::string> host_facts(const Connection& connection, const std::string& xml, const std::string& migrate_options);

/// check_files, whether the disks are those of the node that it leaves, and libvirt's word on machine type, CPU,
/// its pools and networks, which must be active unless they `may_start`. Blocks.
engine::Fitness check_domain(const Connection& connection, const std::string& xml, const std::map<std::string, std::string>& host,
                             bool may_start_resources);

/// Beside the other facts of a domain that leaves: the directory of the sockets of carried migrations there.
inline constexpr const char* streams_key = "streams";

/// Whether a migration can be carried to this node. `streams`: that directory here; `capabilities`: of this node's libvirt.
Outcome check_carried_way(const engine::Departure& departure, const std::string& streams, const std::string& capabilities);

/// libvirt's capabilities of this host; empty: it does not say (libvirt_error() tells why). Blocks.
std::string read_host_capabilities(const Connection& connection);

// --- pieces of the above ---

/// What libvirt is asked about this host for a domain: virConnectGetDomainCapabilities, or one of the comparisons of CPUs.
enum class HostQuestion { capabilities, cpu };

/// Whether this error (a virErrorNumber) says that the host can't take the domain as it is: waiting changes nothing then.
/// Any other (a libvirtd that is being restarted, an internal error) is only no answer.
bool lasting_refusal(int libvirt_error, HostQuestion question);

/// The host's <cpu> in libvirt's capabilities; empty: it has none.
std::string host_cpu(const std::string& capabilities);

/// What differs between two hosts' <cpu>: model or microcode; empty: nothing.
std::string cpu_difference(const std::string& there, const std::string& here);

}  // namespace migrationd::io
