// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-log.h. inotify tells that something was written; what, is read from where the reading stopped.
#include "migrationd/io/domain-log.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace migrationd::io {

struct DomainLog::Follower : std::enable_shared_from_this<Follower> {
  explicit Follower(boost::asio::io_context& loop) : changes(loop) {}

  void begin(const std::string& directory, const std::string& name) {
    if (name.empty() || name.find('/') != std::string::npos) return;
    const std::string path = directory + "/" + name + ".log";
    Fd opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    Fd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!opened || !watch || ::inotify_add_watch(watch.get(), path.c_str(), IN_MODIFY) < 0) return;
    if (::lseek(opened.get(), 0, SEEK_END) < 0) return;
    file = std::move(opened);
    changes.assign(watch.release());
  }

  void wait() {
    if (!changes.is_open()) return;
    changes.async_wait(boost::asio::posix::stream_descriptor::wait_read, [weak = weak_from_this()](boost::system::error_code error) {
      if (const auto self = weak.lock(); self && !error) self->written();
    });
  }

  void written() {
    std::array<char, 4096> buffer;
    while (::read(changes.native_handle(), buffer.data(), buffer.size()) > 0) {}  // which change it is does not matter
    for (ssize_t got; (got = ::read(file.get(), buffer.data(), buffer.size())) > 0;) {
      tail.append(buffer.data(), static_cast<std::size_t>(got));
      if (tail.find(text) != std::string::npos) return std::exchange(said, {})();
      // What may be the beginning of it is kept.
      tail.erase(0, tail.size() - std::min(tail.size(), text.size()));
    }
    wait();
  }

  boost::asio::posix::stream_descriptor changes;
  Fd file;
  std::string text, tail;
  std::function<void()> said;
};

DomainLog::DomainLog(boost::asio::io_context& loop, const std::string& directory, const std::string& name)
    : follower_(std::make_shared<Follower>(loop)) {
  follower_->begin(directory, name);
}

DomainLog::~DomainLog() {
  boost::system::error_code ignored;
  follower_->changes.close(ignored);
  follower_->said = {};
}

void DomainLog::when_said(std::string text, std::function<void()> said) {
  follower_->text = std::move(text);
  follower_->said = std::move(said);
  follower_->wait();
}

}  // namespace migrationd::io
