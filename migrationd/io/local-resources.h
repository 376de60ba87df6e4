// SPDX-License-Identifier: GPL-2.0-or-later
// The storage pools and networks of libvirt that a domain's definition names: libvirt starts a domain, or lets one come,
// only where they are active. The parameter start_resources has them started first.
#pragma once

#include <string>

#include "migrationd/base/result.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// Error: the first that libvirt does not know here, or, unless `may_start`, that is not active. Ok: those that are to be
/// started, as a sentence; empty: all are active. Blocks.
Result<std::string> check_resources(const Connection& connection, const DomainXml& domain, bool may_start);

/// Starts those that are not active; pools that are look for volumes that came since. Ok: what was started, and what of no
/// consequence failed, as a sentence; empty: nothing was to be done. Error: the first that can't be started. Blocks.
Result<std::string> start_resources(const Connection& connection, const DomainXml& domain);

}  // namespace migrationd::io
