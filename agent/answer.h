// SPDX-License-Identifier: GPL-2.0-or-later
// Gets an action done: by the daemon, or, where that is safe without it, by `migrationd --direct`.
#pragma once

#include <string>

#include "agent/child.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::agent {

/// Where things are installed.
struct Installation {
  std::string daemon;     ///< the daemon's program
  std::string resources;  ///< directory of the files of init scripts' and AMF's resources
  std::string runtime;    ///< directory of what lasts as long as this boot
};

struct Answer {
  wire::OcfCode code = wire::OcfCode::error;
  std::string reason;  ///< empty: no reason is known, or --direct has given it already
};

/// The daemon's answer, by `deadline`, which the daemon is told but by init scripts: their callers set none. Without a
/// daemon monitor, status and stop are done by `migrationd --direct` (in place of this process when `replace`, which then
/// doesn't return), validate-all always; anything else is an error, because nobody can prove the domain absent elsewhere.
/// Doubt is never "not running".
Answer get_answer(const Installation& installation, wire::LocalRequest request, Deadline deadline, bool replace);

}  // namespace migrationd::agent
