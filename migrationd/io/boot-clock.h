// SPDX-License-Identifier: GPL-2.0-or-later
// The engine's clock on a real node: CLOCK_BOOTTIME, which also counts while the node sleeps, and timers on the
// daemon's loop.
#pragma once

#include <memory>
#include <string>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"

namespace boost::asio {
class io_context;
}

namespace migrationd::io {

class BootClock : public engine::Clock {
 public:
  explicit BootClock(boost::asio::io_context& loop);
  ~BootClock() override;  ///< cancels all that is scheduled
  Instant now() const override;
  engine::TimerId schedule(Milliseconds after, std::function<void()> call) override;
  void cancel(engine::TimerId id) override;

 private:
  struct Timers;
  std::shared_ptr<Timers> timers_;
};

/// CLOCK_BOOTTIME, now.
Instant boot_time();

/// This boot's id, a UUID in lower-case text, from /proc/sys/kernel/random/boot_id (proc_sys_kernel(5)).
Result<std::string> boot_id();

}  // namespace migrationd::io
