// SPDX-License-Identifier: GPL-2.0-or-later
// Asks libvirt for what the registry keeps of a domain.
#pragma once

#include <optional>

#include "migrationd/base/result.h"
#include "migrationd/io/domain-registry.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// Nothing: libvirt has no such active domain (not known, or defined but shut off). `before`: the job known so
/// far, believed when libvirt could only say by waiting for another call that hangs in QEMU; nothing: this is the
/// first sight of the domain (then a copy mark that was left on a running domain is removed). Blocks.
Result<std::optional<DomainFacts>> read_domain_facts(const Connection& connection, const DomainUuid& uuid,
                                                     std::optional<DomainJob> before);

}  // namespace migrationd::io
