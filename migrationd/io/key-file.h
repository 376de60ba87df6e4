// SPDX-License-Identifier: GPL-2.0-or-later
// The cluster's shared key: who has it may speak as any node of the cluster. A text file, so that it can be
// copied through any channel and looked at:
//
//   migrationd-key 1
//   key 64-hex-digits
//   key 64-hex-digits        (only while a key is being replaced)
//
// Lines that begin with # and empty lines are skipped. The first key is the one to dial with, both are
// accepted. Replacing a key: rotate on one node, copy the file to the others one after another, and when all
// have it, drop the old key the same way. No link is lost on the way.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "migrationd/base/result.h"

namespace migrationd::io {

inline constexpr const char* default_key_path = "/etc/migrationd/key";

/// 256 random bits.
using Key = std::array<unsigned char, 32>;

/// The one or two keys in the file, the one to dial with first. A symbolic link is followed; what it leads to must
/// be a regular file of the process's own user (root's, for the daemon) that nobody else can read or write.
/// The error says what is wrong with which file and what to do.
Result<std::vector<Key>> read_key_file(const std::string& path);

enum class KeyChange {
  create,    ///< a new file with one key; an existing one is never touched
  rotate,    ///< a new first key, the former first key stays as the second
  drop_old,  ///< only the first key stays
};

/// Changes the file, with the mode 0400: whole or not at all, on disk when it returns. Says what was done and what is to
/// be done next.
Result<std::string> change_key_file(const std::string& path, KeyChange change);

}  // namespace migrationd::io
