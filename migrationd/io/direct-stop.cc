// SPDX-License-Identifier: GPL-2.0-or-later
// The real stop without the daemon.
#include <algorithm>
#include <chrono>

#include "migrationd/io/direct.h"
#include "migrationd/io/shutdown-mode.h"

namespace migrationd::io {

using handoff::Here;

namespace {

constexpr Milliseconds look_limit{6000};
constexpr Milliseconds step{250};
constexpr Milliseconds destroy_limit{12000};
constexpr Milliseconds gentle_end{3000};
constexpr Milliseconds hard_end{5000};

class Countdown {
 public:
  explicit Countdown(Milliseconds time) : ends_(std::chrono::steady_clock::now() + time) {}
  Milliseconds left() const {
    auto rest = std::chrono::duration_cast<Milliseconds>(ends_ - std::chrono::steady_clock::now());
    return std::max(rest, Milliseconds{0});
  }
  bool over() const { return left().count() == 0; }

 private:
  std::chrono::steady_clock::time_point ends_;
};

Outcome order_domain(const DirectLook& look, const DomainUuid& uuid, const std::string& what, Milliseconds limit,
                     std::function<int(virDomainPtr)> order) {
  return within<Done>(limit, what, [connection = look.connection, uuid, what, order]() -> Outcome {
    Result<DomainHandle> domain = find_domain(connection, uuid);
    if (!domain) return Error{what + ": " + domain.error()};
    if (order(domain.value().get()) < 0) return libvirt_error(what);
    return Done{};
  });
}

/// Waits until the domain executes no longer (its emulator is dead, or a look says so).
bool wait_gone(const DirectLook& look, const StopOrder& order, const DirectPlaces& places, Milliseconds limit) {
  Countdown countdown(limit);
  if (look.emulator) return look.emulator->wait_dead(limit);
  while (!countdown.over()) {
    if (look_directly(order.domain, places.pid_directory, look_limit).here == Here::absent) return true;
    std::this_thread::sleep_for(step);
  }
  return false;
}

bool executes(const DirectLook& look) { return look.here != Here::absent && look.here != Here::incoming; }

}  // namespace

Outcome stop_directly(const StopOrder& order, const DirectPlaces& places) {
  Countdown countdown(order.time);
  auto look = [&] { return look_directly(order.domain, places.pid_directory, std::min(look_limit, countdown.left() + step)); };
  const std::string name = "domain " + order.domain.name;
  std::string troubles;
  auto trouble = [&](const Outcome& outcome) {
    if (!outcome && troubles.find(outcome.error()) == std::string::npos) troubles += (troubles.empty() ? "" : "; ") + outcome.error();
  };

  DirectLook now = look();
  std::shared_ptr<Emulator> seen = now.emulator;
  // A migration first: stopping beside it could kill the copy and the source at different moments.
  // Never one that goes over to post-copy: QEMU takes that for an order to go on here.
  while (now.connection && now.job && !order.post_copy && now.here != Here::remains && !countdown.over()) {
    trouble(order_domain(now, order.domain.uuid, "abort the migration of " + name, look_limit,
                         [](virDomainPtr domain) { return virDomainAbortJob(domain); }));
    std::this_thread::sleep_for(step);
    now = look();
  }
  if (now.here == Here::running && now.connection && !order.at_once) {
    Result<unsigned> flags = shutdown_flags(order.shutdown_mode);
    if (!flags) return Error{flags.error()};
    Countdown patience(std::min(order.shutdown_time, countdown.left()));
    trouble(order_domain(now, order.domain.uuid, "shut down " + name, std::min(look_limit, countdown.left()),
                         [flags = flags.value()](virDomainPtr domain) { return virDomainShutdownFlags(domain, flags); }));
    if (wait_gone(now, order, places, patience.left())) now = look();
  }
  if (executes(now) && now.connection) {
    trouble(order_domain(now, order.domain.uuid, "destroy " + name, std::min(destroy_limit, countdown.left() + step), [](virDomainPtr domain) {
      int done = virDomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_GRACEFUL);
      return done == 0 ? 0 : virDomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_DEFAULT);
    }));
    now = look();
  }
  if (executes(now) && now.emulator) {
    trouble(now.emulator->end(order.at_once ? Milliseconds{0} : gentle_end, hard_end));
    now = look();
  }
  // libvirt may need a moment to see the death of an emulator that we ended.
  while (executes(now) && now.connection && !countdown.over()) {
    std::this_thread::sleep_for(step);
    now = look();
  }
  if (!executes(now)) return Done{};
  // libvirtd hangs, but we held its emulator and saw it die, and there is no other.
  if (!now.connection && seen && seen->dead() && !now.emulator) return Done{};
  return Error{"the end of " + name + " can't be proven: " + (now.detail.empty() ? "it is still there" : now.detail) +
               (troubles.empty() ? "" : "; " + troubles)};
}

}  // namespace migrationd::io
