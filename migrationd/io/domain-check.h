// SPDX-License-Identifier: GPL-2.0-or-later
// Can this domain run on this node? Asked before a migration and before a boot, so that what would fail later
// is refused now, with the reason.
#pragma once

#include <string>

#include "migrationd/base/result.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// The first thing that is missing here: emulator, disk, kernel, bridge. Asks no libvirt; touches files only.
Outcome check_files(const DomainXml& domain);

/// check_files, and libvirt's word on machine type, CPU and networks. Blocks.
Outcome check_domain(const Connection& connection, const std::string& xml);

}  // namespace migrationd::io
