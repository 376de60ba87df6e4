// SPDX-License-Identifier: GPL-2.0-or-later
// The parameter migrate_options: words of `virsh migrate`, as VirtualDomain takes them. What contradicts the way
// migrationd moves a domain is refused with the reason, never ignored.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "migrationd/base/result.h"

namespace migrationd::io {

/// A typed parameter of virDomainMigrateToURI3.
struct MigrateParameter {
  std::string field;                                           ///< VIR_MIGRATE_PARAM_...
  std::variant<int, unsigned long long, std::string> value;
};

struct MigrateOptions {
  unsigned flags = 0;  ///< VIR_MIGRATE_...
  std::vector<MigrateParameter> parameters;
};

/// `text`: words split at white space, "--word value" and "--word=value" both.
Result<MigrateOptions> parse_migrate_options(const std::string& text);

/// Lets the hypervisor slow a guest that does not converge, by `first` per cent and then by `step` more each time; 0: not. Where
/// the administrator's words say how, they count.
void allow_throttling(MigrateOptions& options, int first, int step);

}  // namespace migrationd::io
