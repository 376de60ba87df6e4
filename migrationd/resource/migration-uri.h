// SPDX-License-Identifier: GPL-2.0-or-later
// Where a migration goes, in libvirt's words: the URI of the other node's libvirt, and the one for the
// guest's memory. Built from the parameters as ocf:heartbeat:VirtualDomain builds them, so that a resource
// that moves over keeps its way through the network.
#pragma once

#include <string>
#include <string_view>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/resource/parameters.h"

namespace migrationd::resource {

/// Whether the daemons carry the migration themselves: migration_transport=migrationd, or nothing names another way. Else libvirt
/// goes by the URIs below.
bool carried(const Parameters& parameters);

/// Error: migration_transport=migrationd stands beside something that names a way of libvirt's own, or beside a hypervisor of
/// which it can't be had.
Outcome check_carried(const Parameters& parameters);

/// The host to which a carried migration is dialed, such as node2-mig; empty: where the link to `destination` goes.
std::string carried_via(const Parameters& parameters, const NodeName& destination);

/// The libvirt URI of `destination`, such as qemu+ssh://node2/system. Errors: `hypervisor` has no place for a
/// host (it isn't SCHEME://[HOST][:PORT]/PATH).
Result<std::string> migration_uri(const Parameters& parameters, const NodeName& destination);

/// The URI for the guest's memory, such as tcp://node2-mig:49152; empty: libvirt's choice.
std::string migrate_uri(const Parameters& parameters, const NodeName& destination);

/// Whether both libvirt URIs mean the same hypervisor of one node, by whatever connection: qemu:///system and
/// qemu+unix:///system do, qemu:///system and qemu:///session don't.
bool same_hypervisor(std::string_view a, std::string_view b);

}  // namespace migrationd::resource
