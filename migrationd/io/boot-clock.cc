// SPDX-License-Identifier: GPL-2.0-or-later
// Asio's steady timers count CLOCK_MONOTONIC, which stands still while the node sleeps. So a timer that fires looks
// at CLOCK_BOOTTIME, and one that is due late (after a sleep) is noticed at the latest one `recheck` later.
#include "migrationd/io/boot-clock.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <map>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {
constexpr Milliseconds recheck{1000};
}  // namespace

Instant boot_time() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return {Milliseconds(static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000)};
}

struct BootClock::Timers : std::enable_shared_from_this<Timers> {
  struct Entry {
    boost::asio::steady_timer timer;
    Instant due;
    std::function<void()> call;
  };

  explicit Timers(boost::asio::io_context& loop) : loop(loop) {}

  void wait(engine::TimerId id) {
    Entry& entry = entries.at(id);
    // One more millisecond, because `now` is rounded down.
    const Milliseconds left = std::max(entry.due - boot_time() + Milliseconds(1), Milliseconds(0));
    entry.timer.expires_after(std::min(left, recheck));
    entry.timer.async_wait([weak = weak_from_this(), id](const boost::system::error_code& code) {
      const auto self = weak.lock();
      // A cancelled wait may already have been on its way, so the table decides.
      if (code || !self || !self->entries.contains(id)) return;
      if (boot_time() < self->entries.at(id).due) return self->wait(id);
      const auto call = std::move(self->entries.at(id).call);
      self->entries.erase(id);
      call();
    });
  }

  boost::asio::io_context& loop;
  std::map<engine::TimerId, Entry> entries;
  engine::TimerId last = 0;
};

BootClock::BootClock(boost::asio::io_context& loop) : timers_(std::make_shared<Timers>(loop)) {}
BootClock::~BootClock() = default;

Instant BootClock::now() const { return boot_time(); }

engine::TimerId BootClock::schedule(Milliseconds after, std::function<void()> call) {
  const auto id = ++timers_->last;
  timers_->entries.emplace(id, Timers::Entry{boost::asio::steady_timer(timers_->loop),
                                             boot_time() + std::max(after, Milliseconds(0)), std::move(call)});
  timers_->wait(id);
  return id;
}

void BootClock::cancel(engine::TimerId id) { timers_->entries.erase(id); }

Result<std::string> boot_id() {
  const std::string path = "/proc/sys/kernel/random/boot_id";
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error{"can't open " + path + ": " + errno_text(errno) + "; is /proc mounted?"};
  auto text = read_all(fd, 4096, path);
  if (!text.ok()) return Error{text.error()};
  const auto uuid = DomainUuid::parse(std::string_view(text.value()).substr(0, 36));
  if (!uuid) return Error{path + " holds no UUID"};
  return uuid->str();
}

}  // namespace migrationd::io
