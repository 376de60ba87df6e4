// SPDX-License-Identifier: GPL-2.0-or-later
// A fresh private directory (0700) for what other programs read from files, removed with all that is in it.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "migrationd/base/result.h"

namespace migrationd::io {

class WorkingDirectory {
 public:
  /// A new one in `under`. Errors: it can't be made.
  static Result<WorkingDirectory> make(const std::string& under) {
    std::string path = under + "/scheduler-XXXXXX";
    if (!mkdtemp(path.data())) return Error{"cannot make a working directory in " + under + ": " + std::strerror(errno)};
    return WorkingDirectory(std::move(path));
  }
  WorkingDirectory(WorkingDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  WorkingDirectory& operator=(WorkingDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~WorkingDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  explicit WorkingDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace migrationd::io
