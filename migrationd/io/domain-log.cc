// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-log.h. (No inotify: the kernel takes 20 ms for the end of a watch, and this is read when every one of them counts.)
#include "migrationd/io/domain-log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace migrationd::io {

DomainLog::DomainLog(const std::string& directory, const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) return;
  Fd file(::open((directory + "/" + name + ".log").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file && ::lseek(file.get(), 0, SEEK_END) >= 0) file_ = std::move(file);
}

bool DomainLog::says(const std::string& text) {
  if (!file_) return false;
  std::array<char, 4096> buffer;
  for (ssize_t got; (got = ::read(file_.get(), buffer.data(), buffer.size())) > 0;) {
    tail_.append(buffer.data(), static_cast<std::size_t>(got));
    if (tail_.find(text) != std::string::npos) return true;
    tail_.erase(0, tail_.size() - std::min(tail_.size(), text.size()));
  }
  return false;
}

}  // namespace migrationd::io
