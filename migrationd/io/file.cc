// SPDX-License-Identifier: GPL-2.0-or-later
// Files that are whole or not there.
#include "migrationd/io/file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace migrationd::io {

std::string errno_text(int code) { return std::generic_category().message(code); }

Result<std::string> read_all(const Fd& fd, std::size_t limit, const std::string& what) {
  std::string content;
  char chunk[4096];
  for (;;) {
    const ssize_t got = ::read(fd.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{"can't read " + what + ": " + errno_text(errno)};
    if (got == 0) return content;
    content.append(chunk, static_cast<std::size_t>(got));
    if (content.size() > limit)
      return Error{what + " is larger than " + std::to_string(limit) + " bytes, so it can't be what it should be"};
  }
}

namespace {

/// What a directory that was just made holds survives a power failure only when its own name does.
Outcome flush_parent(const std::string& path) {
  const std::string parent = path + "/..";
  const Fd fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) == 0) return Done{};
  return Error{"made the directory " + path + ", but fsync of " + parent + " failed: " + errno_text(errno) +
               "; it would not be sure to survive a power failure"};
}

}  // namespace

Result<Fd> open_private_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    if (const Outcome flushed = flush_parent(path); !flushed) {
      ::rmdir(path.c_str());  // so that the next attempt flushes it
      return Error{flushed.error()};
    }
  } else if (errno != EEXIST) {
    return Error{"can't make the directory " + path + ": " + errno_text(errno) +
                 "; make it with: install -d -m 0700 " + path};
  }
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    // Linux says ENOTDIR, not ELOOP, for a symbolic link opened with O_DIRECTORY | O_NOFOLLOW.
    return Error{"can't open " + path + " as a directory: " + errno_text(errno) +
                 "; it must be a directory itself, not a symbolic link to one"};
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error{"can't examine " + path + ": " + errno_text(errno)};
  if (status.st_uid != ::geteuid())
    return Error{path + " belongs to the user id " + std::to_string(status.st_uid) + ", not to " +
                 std::to_string(::geteuid()) + ": do chown " + std::to_string(::geteuid()) + " " + path};
  if (status.st_mode & 077) return Error{"others may enter " + path + ": do chmod 0700 " + path};
  return fd;
}

Outcome write_whole(const Fd& directory, const std::string& name, mode_t mode, std::string_view content,
                    Replace replace, const std::string& what, std::optional<Owner> owner) {
  // Only one process writes these files, and what a crashed one left is of no use: the name can be fixed.
  const std::string temporary = "." + name + ".new";
  const auto fail = [&](const char* step) -> Outcome {
    const int code = errno;
    ::unlinkat(directory.get(), temporary.c_str(), 0);
    return Error{"can't write " + what + ": " + step + ": " + errno_text(code) + "; it was left as it was"};
  };
  if (::unlinkat(directory.get(), temporary.c_str(), 0) != 0 && errno != ENOENT)
    return fail("removing an unfinished one");
  Fd fd(::openat(directory.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd) return fail("making a new file beside it");
  if (owner && ::fchown(fd.get(), owner->user, owner->group) != 0) return fail("giving it its owner");
  if (::fchmod(fd.get(), mode) != 0) return fail("setting its mode");
  for (std::size_t written = 0; written < content.size();) {
    const ssize_t got = ::write(fd.get(), content.data() + written, content.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("writing");
    written += static_cast<std::size_t>(got);
  }
  if (::fsync(fd.get()) != 0) return fail("fsync");
  if (replace == Replace::yes) {
    if (::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0) return fail("rename");
  } else {
    // link, unlike rename, fails when the name is taken.
    if (::linkat(directory.get(), temporary.c_str(), directory.get(), name.c_str(), 0) != 0) {
      if (errno == EEXIST) {
        ::unlinkat(directory.get(), temporary.c_str(), 0);
        return Error{what + " exists already and is not overwritten"};
      }
      return fail("naming it");
    }
    ::unlinkat(directory.get(), temporary.c_str(), 0);
  }
  if (::fsync(directory.get()) != 0)
    return Error{"wrote " + what + ", but fsync of its directory failed: " + errno_text(errno) +
                 "; it may not survive a power failure"};
  return Done{};
}

Outcome replace_file(const std::string& path, std::string_view content) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return Error{"can't replace " + path + ": " + error.message()};
  const Fd directory(::open(real.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error{"can't replace " + path + ": open its directory: " + errno_text(errno)};
  struct stat status {};
  if (::fstatat(directory.get(), real.filename().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return Error{"can't replace " + path + ": " + errno_text(errno)};
  if (!S_ISREG(status.st_mode)) return Error{"can't replace " + path + ": it is not a regular file"};
  return write_whole(directory, real.filename(), status.st_mode & 07777, content, Replace::yes, path, Owner{status.st_uid, status.st_gid});
}

Outcome random_bytes(unsigned char* bytes, std::size_t count) {
  for (std::size_t have = 0; have < count;) {
    const ssize_t got = ::getrandom(bytes + have, count - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{"the kernel gives no random bytes: " + errno_text(errno)};
    have += static_cast<std::size_t>(got);
  }
  return Done{};
}

}  // namespace migrationd::io
