// SPDX-License-Identifier: GPL-2.0-or-later
// The loop of a carried stream.
#include "migrationd/io/stream-pump.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <vector>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr std::size_t piece = 256 * 1024;
constexpr int socket_room = 1024 * 1024;
constexpr int unsent_most = 64 * 1024;
constexpr std::string_view ready = "r";

void prepare(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  // With room for a few pieces the two ends of it need not take turns. Root may exceed the system's limit; else that counts.
  for (int option : {SO_SNDBUFFORCE, SO_RCVBUFFORCE}) ::setsockopt(fd, SOL_SOCKET, option, &socket_room, sizeof socket_room);
}

class Pump {
 public:
  Pump(StreamPump::Ends ends, int stop) : local_(std::move(ends.local)), remote_(std::move(ends.remote)), guard_(std::move(ends.guard)), stop_(stop), may_send_(ends.dialed) {
    prepare(local_.get());
    if (guard_) guard_->stopped_by(stop_);
    if (ends.prompt) ::setsockopt(remote_.fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_most, sizeof unsent_most);
  }

  /// Until the end; why, or nothing when it is one in order.
  std::string run() {
    if (may_send_)
      if (auto said = remote_.write(ready); !said) return said.error();
    for (;;) {
      if (auto moved = move(); !moved) return moved.error();
      if (local_ended_ && remote_ended_ && remote_.unsent() == 0 && outward_begin_ == outward_end_) return "";
      if (!wait()) return "it was stopped";
    }
  }

 private:
  bool wait() {
    std::array<pollfd, 3> polled = {pollfd{local_.get(), 0, 0}, pollfd{remote_.fd(), 0, 0}, pollfd{stop_, POLLIN, 0}};
    const bool to_local = outward_begin_ != outward_end_;
    if (reads_local()) polled[0].events |= POLLIN;
    if (to_local) polled[0].events |= POLLOUT;
    if (!to_local && !remote_ended_) polled[1].events |= POLLIN;
    if (remote_.unsent() > 0) polled[1].events |= POLLOUT;
    // Without an event asked for, poll still reports a hang-up, again and again.
    for (pollfd& one : polled)
      if (one.events == 0) one.fd = -1;
    while (::poll(polled.data(), polled.size(), more_ && !to_local ? 0 : -1) < 0 && errno == EINTR) {}
    return polled[2].revents == 0;
  }

  bool reads_local() const { return may_send_ && !local_ended_ && remote_.unsent() == 0; }

  Outcome move() {
    if (auto sent = remote_.send(); !sent) return Error{"to the other node: " + sent.error()};
    if (auto out = outward(); !out) return out;
    if (reads_local()) return inward();
    return Done{};
  }

  /// From the local socket to the other node.
  Outcome inward() {
    const ssize_t count = ::recv(local_.get(), inward_.data(), inward_.size(), 0);
    if (count < 0) return errno == EAGAIN || errno == EINTR ? Outcome(Done{}) : Error{"from the local side: " + errno_text(errno)};
    Outcome passed = Done{};
    if (count == 0) {
      local_ended_ = true;
      passed = remote_.finish();
    } else if (const std::string_view bytes(inward_.data(), static_cast<std::size_t>(count)); guard_) {
      std::string may_pass;
      passed = guard_->from_local(bytes, may_pass);
      if (passed) passed = remote_.write(may_pass);
    } else {
      passed = remote_.write(bytes);
    }
    if (!passed) return passed;
    auto sent = remote_.send();
    return sent ? sent : Error{"to the other node: " + sent.error()};
  }

  /// From the other node to the local socket.
  Outcome outward() {
    if (outward_begin_ == outward_end_ && !remote_ended_) {
      auto came = remote_.read(outward_);
      if (!came.ok()) return Error{"from the other node: " + came.error()};
      outward_begin_ = 0;
      outward_end_ = came.value();
      more_ = outward_end_ == outward_.size();
      remote_ended_ = remote_.ended();
      if (outward_end_ > 0 && !may_send_) {
        if (outward_[0] != ready[0]) return Error{"the other node did not say that it is ready"};
        may_send_ = true;
        outward_begin_ = 1;
      }
      if (guard_ && outward_begin_ != outward_end_) {
        std::string may_pass;
        if (auto passed = guard_->from_remote({outward_.data() + outward_begin_, outward_end_ - outward_begin_}, may_pass); !passed) return passed;
        outward_.assign(may_pass.begin(), may_pass.end());
        outward_begin_ = 0;
        outward_end_ = outward_.size();
        outward_.resize(std::max(outward_.size(), piece));
      }
    }
    while (outward_begin_ != outward_end_) {
      const ssize_t count = ::send(local_.get(), outward_.data() + outward_begin_, outward_end_ - outward_begin_, MSG_NOSIGNAL);
      if (count < 0) {
        if (errno == EAGAIN) return Done{};
        if (errno == EINTR) continue;
        return Error{"to the local side: " + errno_text(errno)};
      }
      outward_begin_ += static_cast<std::size_t>(count);
    }
    if (remote_ended_ && !told_local_) {
      told_local_ = true;
      ::shutdown(local_.get(), SHUT_WR);
    }
    return Done{};
  }

  Fd local_;
  SecureStream remote_;
  std::unique_ptr<StreamGuard> guard_;
  int stop_;
  bool may_send_;
  std::vector<char> inward_ = std::vector<char>(piece);
  std::vector<char> outward_ = std::vector<char>(piece);
  std::size_t outward_begin_ = 0, outward_end_ = 0;
  bool local_ended_ = false;   ///< it sends nothing any more
  bool remote_ended_ = false;
  bool told_local_ = false;
  bool more_ = false;          ///< a whole piece was read: the rest is with OpenSSL, where poll() sees nothing of it
};

/// Signals are the main thread's: a thread that is made meanwhile gets none.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

StreamPump::StreamPump(Ends ends, std::function<void(std::string)> done) : stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!stop_) throw std::system_error(errno, std::generic_category(), "no descriptor is left");
  const SignalsBlocked blocked;
  thread_ = std::thread([ends = std::make_unique<Ends>(std::move(ends)), stop = stop_.get(), done = std::move(done)] {
    pthread_setname_np(pthread_self(), "stream");
    std::string why;
    {
      Pump pump(std::move(*ends), stop);
      why = pump.run();
    }
    done(std::move(why));
  });
}

StreamPump::~StreamPump() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void StreamPump::stop() { ::eventfd_write(stop_.get(), 1); }

}  // namespace migrationd::io
