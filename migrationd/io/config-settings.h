// SPDX-License-Identifier: GPL-2.0-or-later
// The configuration in the words of the parts that it is for.
#pragma once

#include <map>
#include <string>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/config-file.h"
#include "migrationd/io/link-authentication.h"
#include "migrationd/io/log-sink.h"

namespace migrationd::io {

/// What is configured to prove to the other nodes who this one is; never the other way instead. Error: its files can't be used.
Result<LinkAuthenticationPtr> read_authentication(const Config& config, const NodeName& self);

LogSettings log_settings(const Config& config);

/// Parameters for resources that don't say them themselves.
std::map<std::string, std::string> resource_defaults(const Config& config);

}  // namespace migrationd::io
