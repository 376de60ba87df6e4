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

}  // namespace migrationd::io
