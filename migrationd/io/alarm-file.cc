// SPDX-License-Identifier: GPL-2.0-or-later
// See alarm-file.h.
#include "migrationd/io/alarm-file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "migrationd/io/alarm-json.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr const char* name = "alarms";
constexpr const char* aside = "alarms.refused";
/// Of two thousand alarms with the longest texts, and what JSON adds.
constexpr std::size_t size_limit = 32 * 1024 * 1024;

Result<alarms::AlarmBook> read(const Fd& directory, bool& there) {
  const Fd fd(::openat(directory.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  there = fd || errno != ENOENT;
  if (!there) return alarms::AlarmBook();
  if (!fd) return Error{"it can't be opened: " + errno_text(errno)};
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error{"it can't be examined: " + errno_text(errno)};
  if (!S_ISREG(status.st_mode)) return Error{"it is not a regular file"};
  const Result<std::string> content = read_all(fd, size_limit, "it");
  if (!content) return Error{content.error()};
  return decode_alarms(content.value());
}

}  // namespace

LoadedAlarms load_alarms(const std::string& state_dir) {
  LoadedAlarms loaded;
  const Result<Fd> directory = open_private_directory(state_dir);
  if (!directory) {
    loaded.complaint = "the alarms of before are not known: " + directory.error();
    return loaded;
  }
  bool there = false;
  Result<alarms::AlarmBook> book = read(directory.value(), there);
  if (book) {
    loaded.book = std::move(book.value());
    return loaded;
  }
  const bool moved = ::renameat(directory.value().get(), name, directory.value().get(), aside) == 0;
  loaded.complaint = "the alarms of before are not known: " + state_dir + "/" + name + ": " + book.error() + "; " +
                     (moved ? std::string("it is kept as ") + aside : "it can't be put aside: " + errno_text(errno));
  return loaded;
}

Outcome save_alarms(const std::string& state_dir, const std::string& content) {
  const Result<Fd> directory = open_private_directory(state_dir);
  if (!directory) return Error{directory.error()};
  return write_whole(directory.value(), name, 0600, content, Replace::yes, state_dir + "/" + name);
}

}  // namespace migrationd::io
