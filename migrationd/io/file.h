// SPDX-License-Identifier: GPL-2.0-or-later
// Small files that must be whole and private: the key, the installation's UUID, the incarnation. Read with a
// limit and without waiting on a FIFO; written beside and renamed, so that a crash leaves the old or the new.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"
#include "migrationd/io/fd.h"

namespace migrationd::io {

/// "No such file or directory" and the like, for errno's value `code`.
std::string errno_text(int code);

/// All of an open regular file, at most `limit` bytes (more is an error). `what` names it in the error.
Result<std::string> read_all(const Fd& fd, std::size_t limit, const std::string& what);

/// Opens the directory `path`, making it (mode 0700, its parents must exist) when it's missing. Refuses one that
/// is a symbolic link, is not the process's own, or that others may enter.
Result<Fd> open_private_directory(const std::string& path);

enum class Replace { yes, no };

struct Owner {
  uid_t user;
  gid_t group;
};

/// Writes `content` as `name` in `directory` with exactly `mode` (and owner, where one is given): a temporary file beside it, fsync, rename (or
/// link, when nothing may be replaced), fsync of the directory. `name` must not contain a slash.
/// `what` names the file in the error. On an error the old file is as it was.
Outcome write_whole(const Fd& directory, const std::string& name, mode_t mode, std::string_view content,
                    Replace replace, const std::string& what, std::optional<Owner> owner = std::nullopt);

/// Replaces the content of the regular file `path`, which exists; a symbolic link to it stays one. It keeps its owner and
/// mode. On an error the old file is as it was.
Outcome replace_file(const std::string& path, std::string_view content);

/// Fills `bytes` from the kernel's random source.
Outcome random_bytes(unsigned char* bytes, std::size_t count);

}  // namespace migrationd::io
