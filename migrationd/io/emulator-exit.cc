// SPDX-License-Identifier: GPL-2.0-or-later
// See emulator-exit.h.
#include "migrationd/io/emulator-exit.h"

#include <signal.h>

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/io/domain-log.h"

namespace migrationd::io {

namespace {

/// Nothing tells what is looked for, not without costing more than a look.
constexpr Milliseconds look_again{1};

}  // namespace

struct EmulatorExit::Watch : std::enable_shared_from_this<Watch> {
  Watch(boost::asio::io_context& loop, std::shared_ptr<Emulator> of, const std::string& log_directory, const std::string& name)
      : emulator(std::move(of)), log(log_directory, name), timer(loop) {}

  void look() {
    if (!has_migrated && log.says("shutting down, reason=migrated")) {
      has_migrated = true;
      // One that can't be killed ends as libvirt wants it.
      if (may_kill()) static_cast<void>(emulator->signal(SIGKILL));
    }
    if (has_migrated && emulator->executes_no_more()) return std::exchange(over, [] {})();
    timer.expires_after(look_again);
    timer.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      if (const auto self = weak.lock(); self && !error) self->look();
    });
  }

  std::shared_ptr<Emulator> emulator;
  DomainLog log;
  boost::asio::steady_timer timer;
  std::function<bool()> may_kill;
  std::function<void()> over;
  bool has_migrated = false;
};

EmulatorExit::EmulatorExit(boost::asio::io_context& loop, std::shared_ptr<Emulator> emulator, const std::string& log_directory,
                           const std::string& name, std::function<bool()> may_kill, std::function<void()> over)
    : watch_(std::make_shared<Watch>(loop, std::move(emulator), log_directory, name)) {
  watch_->may_kill = std::move(may_kill);
  watch_->over = std::move(over);
  boost::asio::post(loop, [weak = std::weak_ptr(watch_)] {
    if (const auto watch = weak.lock()) watch->look();
  });
}

EmulatorExit::~EmulatorExit() {
  watch_->timer.cancel();
  watch_->over = [] {};
  watch_->may_kill = [] { return false; };
}

}  // namespace migrationd::io
