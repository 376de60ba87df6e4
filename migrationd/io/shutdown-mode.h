// SPDX-License-Identifier: GPL-2.0-or-later
// The parameter shutdown_mode: how a guest is asked to power off, in virsh's words.
#pragma once

#include <string>

#include "migrationd/base/result.h"

namespace migrationd::io {

/// Flags of virDomainShutdownFlags for a comma-separated list of acpi, agent, initctl, signal, paravirt; empty:
/// libvirt's choice.
Result<unsigned> shutdown_flags(const std::string& mode);

}  // namespace migrationd::io
