// SPDX-License-Identifier: GPL-2.0-or-later
// libvirt's own log of one QEMU domain, followed while it is written. It has the reason of the emulator's end before libvirt ends it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "migrationd/io/fd.h"

namespace migrationd::io {

inline constexpr const char* libvirt_log_directory = "/var/log/libvirt/qemu";

class DomainLog {
 public:
  /// Follows the log of the domain `name` in `directory` from its present end. Where that can't be done, nothing is ever heard of it.
  DomainLog(boost::asio::io_context& loop, const std::string& directory, const std::string& name);
  ~DomainLog();
  DomainLog(const DomainLog&) = delete;
  DomainLog& operator=(const DomainLog&) = delete;

  /// Calls `said` once, on the loop, when a line with `text` in it has been written; not after this object's end.
  void when_said(std::string text, std::function<void()> said);

 private:
  struct Follower;
  std::shared_ptr<Follower> follower_;
};

}  // namespace migrationd::io
