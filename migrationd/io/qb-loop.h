// SPDX-License-Identifier: GPL-2.0-or-later
// libqb's IPC server on our event loop: its poll handlers, mapped onto waits of Asio.
//
// libqb calls these handlers without any context of ours, so there is one QbLoop at a time in a process, and
// it is found through a static pointer. Everything runs on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <qb/qbipcs.h>

namespace migrationd::io {

class QbLoop {
 public:
  /// Sees what libqb watches.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void added(int fd, void* data) = 0;
    virtual void removed(int fd) = 0;
    /// Whether libqb may handle what came in on `fd`. The observer may have taken it, or closed the connection.
    virtual bool admit(int fd, int revents, void* data) = 0;
  };

  QbLoop(boost::asio::io_context& loop, Observer& observer);
  ~QbLoop();
  QbLoop(const QbLoop&) = delete;
  QbLoop& operator=(const QbLoop&) = delete;

  /// Whether this process has one already.
  static bool in_use() { return the_loop != nullptr; }
  /// To be given to qb_ipcs_poll_handlers_set.
  static qb_ipcs_poll_handlers handlers();
  /// The descriptor whose input is being handled right now; -1: none.
  int current() const { return current_; }
  /// Calls back once when `fd`, which libqb watches, can be written to; never if it is removed before.
  void when_writable(int fd, std::function<void()> call);
  /// Lets libqb clean up after `fd` as if it had become invalid.
  void invalidate(int fd);

 private:
  struct Watch {
    Watch(boost::asio::io_context& loop, int fd) : descriptor(loop, fd), pause(loop) {}
    boost::asio::posix::stream_descriptor descriptor;
    boost::asio::steady_timer pause;
    std::uint64_t number = 0;  // tells a descriptor from a later one with the same value
    bool listening = false;
    void* data = nullptr;
    qb_ipcs_dispatch_fn_t call = nullptr;
  };

  static int32_t add_job(qb_loop_priority priority, void* data, qb_loop_job_dispatch_fn call);
  static int32_t add(qb_loop_priority priority, int32_t fd, int32_t events, void* data, qb_ipcs_dispatch_fn_t call);
  static int32_t modify(qb_loop_priority priority, int32_t fd, int32_t events, void* data, qb_ipcs_dispatch_fn_t call);
  static int32_t remove(int32_t fd);

  Watch* find(int fd, std::uint64_t number);
  void arm(int fd, Watch& watch);
  void arm_later(int fd, Watch& watch);
  void dispatch(int fd, std::uint64_t number);

  static QbLoop* the_loop;

  boost::asio::io_context& loop_;
  Observer& observer_;
  std::map<int, std::unique_ptr<Watch>> watches_;
  std::uint64_t numbers_ = 0;
  int current_ = -1;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // handlers still queued hold it weakly
};

}  // namespace migrationd::io
