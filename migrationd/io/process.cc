// SPDX-License-Identifier: GPL-2.0-or-later
// One Child per running program; it keeps itself alive until the program has ended and its output is read.
#include "migrationd/io/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

extern "C" char** environ;

namespace migrationd::io {

namespace {

using boost::system::error_code;
using Descriptor = boost::asio::posix::stream_descriptor;

struct SpawnActions {
  posix_spawn_file_actions_t c{};
  SpawnActions() { posix_spawn_file_actions_init(&c); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&c); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
};

struct SpawnAttributes {
  posix_spawnattr_t c{};
  SpawnAttributes() { posix_spawnattr_init(&c); }
  ~SpawnAttributes() { posix_spawnattr_destroy(&c); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
};

std::vector<std::string> merged_environment(const std::vector<std::string>& additions) {
  std::vector<std::string> merged = additions;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string ours = *entry;
    const std::string name = ours.substr(0, ours.find('=') + 1);
    bool replaced = false;
    for (const std::string& addition : additions) replaced |= addition.starts_with(name);
    if (!replaced) merged.push_back(ours);
  }
  return merged;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

class Child : public std::enable_shared_from_this<Child> {
 public:
  Child(boost::asio::any_io_executor executor, ProcessOrder order, std::function<void(Result<ProcessEnd>)> done)
      : order_(std::move(order)), done_(std::move(done)), out_(executor), err_(executor), pidfd_(executor), timer_(executor) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  /// The loop was thrown away with the child still running: nobody would reap it.
  ~Child() {
    if (pid_ <= 0) return;
    kill_group();
    waitpid(pid_, nullptr, 0);
  }

  void start() {
    if (const std::string failure = spawn(); !failure.empty()) {
      boost::asio::post(timer_.get_executor(), [self = shared_from_this(), failure] { self->finish(Error{failure}); });
      return;
    }
    timer_.expires_after(order_.deadline);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error && self->pid_ > 0) {
        self->timed_out_ = true;
        self->kill_group();
      }
    });
    pidfd_.async_wait(Descriptor::wait_read, [self = shared_from_this()](error_code) { self->ended(); });
    read(out_, end_.out);
    read(err_, end_.err);
  }

 private:
  std::string failed(const char* what, int error) const {
    return "cannot run " + order_.argv.front() + ": " + what + ": " + std::strerror(error);
  }

  std::string spawn() {
    if (order_.argv.empty()) {
      order_.argv.emplace_back("(nothing)");
      return "cannot run a program: no name was given";
    }
    std::array<int, 2> out{-1, -1}, err{-1, -1};
    if (pipe2(out.data(), O_CLOEXEC) != 0) return failed("pipe", errno);
    out_.assign(out[0]);
    if (pipe2(err.data(), O_CLOEXEC) != 0) {
      const int error = errno;
      close(out[1]);
      return failed("pipe", error);
    }
    err_.assign(err[0]);
    out_.non_blocking(true);
    err_.non_blocking(true);

    SpawnActions actions;
    posix_spawn_file_actions_addopen(&actions.c, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions.c, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions.c, err[1], 2);
    posix_spawn_file_actions_addclosefrom_np(&actions.c, 3);
    SpawnAttributes attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes.c, &none);
    posix_spawnattr_setsigdefault(&attributes.c, &all);
    posix_spawnattr_setpgroup(&attributes.c, 0);
    posix_spawnattr_setflags(&attributes.c, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

    std::vector<std::string> argv = order_.argv, environment = merged_environment(order_.environment);
    pid_t pid = -1;
    const int error = posix_spawnp(&pid, argv.front().c_str(), &actions.c, &attributes.c, pointers(argv).data(),
                                   pointers(environment).data());
    close(out[1]);
    close(err[1]);
    if (error != 0) return failed(error == ENOENT ? "it is not installed" : "spawn", error);
    pid_ = pid;
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    if (pidfd < 0) {
      const int why = errno;
      kill_group();
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
      return failed("pidfd_open", why);
    }
    pidfd_.assign(pidfd);
    return {};
  }

  /// Safe as long as the child isn't reaped: its pid can't be another's until then.
  void kill_group() {
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
  }

  void keep(std::string& into, const char* data, std::size_t size) {
    const std::size_t room = order_.output_limit - std::min(order_.output_limit, into.size());
    into.append(data, std::min(room, size));
    if (size > room) end_.truncated = true;
  }

  /// One read of what lies in the pipe; false: nothing is there now, or it was closed.
  bool take(Descriptor& from, std::string& into, error_code& error) {
    const std::size_t size = from.read_some(boost::asio::buffer(buffer_), error);
    if (!error) keep(into, buffer_.data(), size);
    return !error && size > 0;
  }

  /// Only readiness is awaited, never the bytes: those of a read whose handler waits its turn while the program's end is handled
  /// would be overtaken by drain(), and lost.
  void read(Descriptor& from, std::string& into) {
    from.async_wait(Descriptor::wait_read, [self = shared_from_this(), &from, &into](error_code error) {
      if (self->done_ == nullptr || error) return;
      if (self->take(from, into, error) || error == boost::asio::error::would_block) self->read(from, into);
    });
  }

  /// What lies in the pipe now. A grandchild may hold the pipe open for ever, so its end isn't awaited; the bound
  /// is for one that also writes for ever.
  void drain(Descriptor& from, std::string& into) {
    error_code error;
    for (int round = 0; round < 64 && take(from, into, error); ++round) {
    }
  }

  void ended() {
    int status = 0;
    pid_t reaped = -1;
    do reaped = waitpid(pid_, &status, WNOHANG);
    while (reaped < 0 && errno == EINTR);
    if (reaped == 0) {
      pidfd_.async_wait(Descriptor::wait_read, [self = shared_from_this()](error_code error) {
        if (!error) self->ended();
      });
      return;
    }
    const bool known = reaped == pid_;
    pid_ = -1;
    drain(out_, end_.out);
    drain(err_, end_.err);
    if (timed_out_) {
      finish(Error{order_.argv.front() + " did not end within " + std::to_string(order_.deadline.count()) + " ms and was killed"});
      return;
    }
    if (known && WIFEXITED(status)) end_.exit_status = WEXITSTATUS(status);
    if (known && WIFSIGNALED(status)) end_.signal = WTERMSIG(status);
    finish(std::move(end_));
  }

  void finish(Result<ProcessEnd> result) {
    error_code ignored;
    timer_.cancel();
    out_.close(ignored);
    err_.close(ignored);
    pidfd_.close(ignored);
    auto done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  ProcessOrder order_;
  std::function<void(Result<ProcessEnd>)> done_;
  Descriptor out_, err_, pidfd_;
  boost::asio::steady_timer timer_;
  std::array<char, 16384> buffer_{};
  ProcessEnd end_;
  pid_t pid_ = -1;
  bool timed_out_ = false;
};

}  // namespace

void run_process(boost::asio::any_io_executor executor, ProcessOrder order, std::function<void(Result<ProcessEnd>)> done) {
  std::make_shared<Child>(std::move(executor), std::move(order), std::move(done))->start();
}

boost::asio::awaitable<Result<ProcessEnd>> run_process(ProcessOrder order) {
  auto executor = co_await boost::asio::this_coro::executor;
  // Results have no default value, which Asio's completion wants: it comes in an optional.
  auto end = co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void(std::optional<Result<ProcessEnd>>)>(
      [executor](auto handler, ProcessOrder asked) {
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        run_process(executor, std::move(asked), [shared](Result<ProcessEnd> result) {
          std::move (*shared)(std::optional<Result<ProcessEnd>>(std::move(result)));
        });
      },
      boost::asio::use_awaitable, std::move(order));
  co_return std::move(*end);
}

std::string describe(const ProcessOrder& order, const ProcessEnd& end) {
  std::string text = order.argv.empty() ? std::string("a program") : order.argv.front();
  text += end.signal != 0 ? " was ended by signal " + std::to_string(end.signal)
                          : " exited with " + std::to_string(end.exit_status);
  const std::string line = end.err.substr(0, end.err.find('\n'));
  return line.empty() ? text : text + ": " + line;
}

}  // namespace migrationd::io
