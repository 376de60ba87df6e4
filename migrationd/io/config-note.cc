// SPDX-License-Identifier: GPL-2.0-or-later
// The note is one line: an absolute path.
#include "migrationd/io/config-note.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "migrationd/io/config-file.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr const char* note_name = "config-file";
constexpr std::size_t longest_path = 4096;

}  // namespace

Outcome note_config(const std::string& path, const std::string& directory) {
  const std::string note = directory + "/" + note_name;
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(path, error).lexically_normal().string();
  if (error) return Error{"can't tell the absolute path of " + path + ": " + error.message()};
  if (absolute == default_config_path) {
    if (::unlink(note.c_str()) != 0 && errno != ENOENT) return Error{"can't remove " + note + ": " + errno_text(errno)};
    return Done{};
  }
  auto opened = open_private_directory(directory);
  if (!opened) return Error{opened.error()};
  return write_whole(opened.value(), note_name, 0600, absolute + "\n", Replace::yes, note);
}

std::string noted_config(const std::string& directory) {
  const std::string note = directory + "/" + note_name;
  const Fd fd(::open(note.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return default_config_path;
  if (status.st_uid != ::geteuid() || (status.st_mode & 022) != 0) return default_config_path;
  auto text = read_all(fd, longest_path, note);
  if (!text || !text.value().starts_with('/') || !text.value().ends_with('\n')) return default_config_path;
  text.value().pop_back();
  return text.value();
}

}  // namespace migrationd::io
