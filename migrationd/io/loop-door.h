// SPDX-License-Identifier: GPL-2.0-or-later
// How another's thread comes to a loop that may be taken down at any moment: libvirt can be in the middle of telling
// an event then.
#pragma once

#include <functional>
#include <mutex>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace migrationd::io {

class LoopDoor {
 public:
  explicit LoopDoor(boost::asio::io_context& loop) : loop_(&loop) {}
  /// From any thread; nothing happens once it is closed.
  void post(std::function<void()> call) {
    std::lock_guard held(lock_);
    if (loop_ != nullptr) boost::asio::post(*loop_, std::move(call));
  }
  /// When it returns no thread uses the loop any more.
  void close() {
    std::lock_guard held(lock_);
    loop_ = nullptr;
  }

 private:
  std::mutex lock_;
  boost::asio::io_context* loop_;
};

}  // namespace migrationd::io
