// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-log.h. (No inotify: the kernel takes 20 ms for the end of a watch, and this is read when every one of them counts.)
#include "migrationd/io/domain-log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace migrationd::io {

namespace {

Fd open_log(const std::string& directory, const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) return {};
  return Fd(::open((directory + "/" + name + ".log").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

}  // namespace

std::string end_of_domain_log(const std::string& directory, const std::string& name, std::size_t bytes) {
  const Fd file = open_log(directory, name);
  if (!file) return {};
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size <= 0) return {};
  const off_t from = std::max<off_t>(0, size - static_cast<off_t>(bytes));
  std::string text(static_cast<std::size_t>(size - from), '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

DomainLog::DomainLog(const std::string& directory, const std::string& name) {
  Fd file = open_log(directory, name);
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
