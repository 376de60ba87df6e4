// SPDX-License-Identifier: GPL-2.0-or-later
// The end of the emulator of a guest that has migrated, as early as it is certain. The guest stands still at the destination until
// its emulator here executes no more. libvirt asks that one to end, and then it gives its memory back to the kernel: some 80 ms per GiB
// of small pages. Neither has to be waited for.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/emulator.h"

namespace migrationd::io {

class EmulatorExit {
 public:
  /// Once libvirt has written into the log of the domain `name` that it has migrated, before it ends the emulator, that is killed where
  /// `may_kill()` says so: nothing is lost by it. `over`: called once, on the loop, when it executes no more; not after this object's end, and
  /// never where libvirt's log can't be followed.
  EmulatorExit(boost::asio::io_context& loop, std::shared_ptr<Emulator> emulator, const std::string& log_directory, const std::string& name,
               std::function<bool()> may_kill, std::function<void()> over);
  ~EmulatorExit();
  EmulatorExit(const EmulatorExit&) = delete;
  EmulatorExit& operator=(const EmulatorExit&) = delete;

 private:
  struct Watch;
  std::shared_ptr<Watch> watch_;
};

}  // namespace migrationd::io
