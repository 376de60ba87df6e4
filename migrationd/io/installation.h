// SPDX-License-Identifier: GPL-2.0-or-later
// Who this daemon is, beyond its node's name: an installation UUID, made once (a reinstalled node has another and
// can't speak for the old one), and an incarnation, which grows with each start of the daemon, so that an attempt
// of an earlier life is never taken for a newer one. Two files in the state directory, each with a checksum:
// a wrong incarnation would be worse than a daemon that doesn't start.
#pragma once

#include <cstdint>
#include <string>

#include "migrationd/base/result.h"

namespace migrationd::io {

struct Identity {
  std::string installation;       ///< UUID in lower-case text
  std::uint64_t incarnation = 0;  ///< of this start; the first is 1
};

/// Reads or makes the installation UUID and counts this start: the new incarnation is on disk (file and directory
/// fsynced) when it returns. Call it once per start, with the journal's lock held. `state_dir` is made with mode 0700
/// when missing; its files have the mode 0600. A damaged file is refused, never made anew: the error says what to do.
Result<Identity> begin_incarnation(const std::string& state_dir);

/// A random UUID (RFC 4122, version 4) in lower-case text.
Result<std::string> random_uuid();

}  // namespace migrationd::io
