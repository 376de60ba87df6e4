// SPDX-License-Identifier: GPL-2.0-or-later
// libqb's poll handlers on Asio.
#include "migrationd/io/qb-loop.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>

namespace migrationd::io {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

namespace {

// How long a listening socket rests after accept() failed: it stays readable, and without a rest the loop
// would spin for as long as descriptors are short.
constexpr std::chrono::milliseconds rest_after_failed_accept{100};

bool is_listening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

}  // namespace

QbLoop* QbLoop::the_loop = nullptr;

QbLoop::QbLoop(asio::io_context& loop, Observer& observer) : loop_(loop), observer_(observer) { the_loop = this; }

QbLoop::~QbLoop() {
  for (auto& [fd, watch] : watches_) watch->descriptor.release();  // they are libqb's to close
  if (the_loop == this) the_loop = nullptr;
}

qb_ipcs_poll_handlers QbLoop::handlers() { return {.job_add = add_job, .dispatch_add = add, .dispatch_mod = modify, .dispatch_del = remove}; }

int32_t QbLoop::add_job(qb_loop_priority, void* data, qb_loop_job_dispatch_fn call) {
  if (!the_loop) return -ESHUTDOWN;
  asio::post(the_loop->loop_, [data, call, alive = std::weak_ptr(the_loop->alive_)] {
    if (!alive.expired()) call(data);
  });
  return 0;
}

int32_t QbLoop::add(qb_loop_priority, int32_t fd, int32_t, void* data, qb_ipcs_dispatch_fn_t call) {
  QbLoop* self = the_loop;
  if (!self) return -ESHUTDOWN;
  if (self->watches_.contains(fd)) return -EEXIST;
  try {
    auto watch = std::make_unique<Watch>(self->loop_, fd);
    watch->number = ++self->numbers_;
    watch->listening = is_listening(fd);
    watch->data = data;
    watch->call = call;
    Watch& placed = *(self->watches_[fd] = std::move(watch));
    self->observer_.added(fd, data);
    self->arm(fd, placed);
    return 0;
  } catch (const boost::system::system_error& error) {
    return -error.code().value();
  }
}

int32_t QbLoop::modify(qb_loop_priority priority, int32_t fd, int32_t events, void* data, qb_ipcs_dispatch_fn_t call) {
  if (!the_loop) return -ESHUTDOWN;
  const auto it = the_loop->watches_.find(fd);
  if (it == the_loop->watches_.end()) return add(priority, fd, events, data, call);
  it->second->data = data;
  it->second->call = call;
  return 0;
}

int32_t QbLoop::remove(int32_t fd) {
  if (!the_loop) return -ESHUTDOWN;
  const auto it = the_loop->watches_.find(fd);
  if (it == the_loop->watches_.end()) return -ENOENT;
  it->second->descriptor.release();
  the_loop->watches_.erase(it);
  the_loop->observer_.removed(fd);
  return 0;
}

QbLoop::Watch* QbLoop::find(int fd, std::uint64_t number) {
  const auto it = watches_.find(fd);
  return it == watches_.end() || it->second->number != number ? nullptr : it->second.get();
}

void QbLoop::arm(int fd, Watch& watch) {
  watch.descriptor.async_wait(Descriptor::wait_read, [this, fd, number = watch.number, alive = std::weak_ptr(alive_)](auto error) {
    if (!error && !alive.expired()) dispatch(fd, number);
  });
}

void QbLoop::arm_later(int fd, Watch& watch) {
  watch.pause.expires_after(rest_after_failed_accept);
  watch.pause.async_wait([this, fd, number = watch.number, alive = std::weak_ptr(alive_)](auto error) {
    if (error || alive.expired()) return;
    if (Watch* still = find(fd, number)) arm(fd, *still);
  });
}

void QbLoop::dispatch(int fd, std::uint64_t number) {
  Watch* watch = find(fd, number);
  if (!watch) return;
  pollfd state{fd, POLLIN | POLLPRI, 0};
  if (::poll(&state, 1, 0) <= 0) return arm(fd, *watch);

  const std::uint64_t added_before = numbers_;
  const std::weak_ptr alive(alive_);
  int result = 0;
  current_ = fd;
  if (observer_.admit(fd, state.revents, watch->data)) {
    watch = find(fd, number);
    if (watch) result = watch->call(fd, state.revents, watch->data);
  }
  if (alive.expired()) return;
  current_ = -1;

  watch = find(fd, number);
  if (!watch) return;
  if (result < 0) remove(fd);
  else if (watch->listening && numbers_ == added_before) arm_later(fd, *watch);
  else arm(fd, *watch);
}

void QbLoop::when_writable(int fd, std::function<void()> call) {
  const auto it = watches_.find(fd);
  if (it == watches_.end()) return;
  it->second->descriptor.async_wait(
      Descriptor::wait_write, [this, fd, number = it->second->number, call = std::move(call), alive = std::weak_ptr(alive_)](auto error) {
        if (!error && !alive.expired() && find(fd, number)) call();
      });
}

void QbLoop::invalidate(int fd) {
  const auto it = watches_.find(fd);
  if (it == watches_.end()) return;
  const Watch& watch = *it->second;
  watch.call(fd, POLLNVAL, watch.data);
}

}  // namespace migrationd::io
