// SPDX-License-Identifier: GPL-2.0-or-later
// See post-copy-gate.h.
#include "migrationd/io/post-copy-gate.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <chrono>

namespace migrationd::io {

PostCopyGate::PostCopyGate() : changed_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void PostCopyGate::say(Word word) {
  {
    std::lock_guard held(lock_);
    word_ = word;
  }
  ::eventfd_write(changed_.get(), 1);
}

PostCopyGate::Word PostCopyGate::said() const {
  std::lock_guard held(lock_);
  return word_;
}

bool PostCopyGate::wait(Word word, Milliseconds limit, int stop) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (said() < word) {
    const auto left = std::chrono::duration_cast<Milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 2> polled = {pollfd{changed_.get(), POLLIN, 0}, pollfd{stop, POLLIN, 0}};
    ::poll(polled.data(), polled.size(), static_cast<int>(left.count()) + 1);
    if (polled[1].revents != 0) return false;
    eventfd_t ignored;
    ::eventfd_read(changed_.get(), &ignored);
  }
  return true;
}

}  // namespace migrationd::io
