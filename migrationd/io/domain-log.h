// SPDX-License-Identifier: GPL-2.0-or-later
// libvirt's own log of one QEMU domain, read while it is written. It has the reason of the emulator's end before libvirt ends it.
#pragma once

#include <string>

#include "migrationd/io/fd.h"

namespace migrationd::io {

inline constexpr const char* libvirt_log_directory = "/var/log/libvirt/qemu";

/// The last `bytes` of the log of the domain `name` in `directory`; empty where it can't be read.
std::string end_of_domain_log(const std::string& directory, const std::string& name, std::size_t bytes);

class DomainLog {
 public:
  /// Reads the log of the domain `name` in `directory` from its present end on. Where that can't be done, nothing is found in it.
  DomainLog(const std::string& directory, const std::string& name);
  /// Whether `text` has been written since; asked again and again, for the same text. Does not block.
  bool says(const std::string& text);

 private:
  Fd file_;
  std::string tail_;  ///< the end of what was read, which may be the beginning of the text
};

}  // namespace migrationd::io
