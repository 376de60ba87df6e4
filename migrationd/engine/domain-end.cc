// SPDX-License-Identifier: GPL-2.0-or-later
// A runner's hands for a real stop: the guest is asked, then its emulator is destroyed, and its death is seen.
#include <algorithm>
#include <utility>

#include "migrationd/engine/domain-runner.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;
namespace event = handoff::event;

namespace {

/// The guest is waited for this long in a stop that nobody waits for.
constexpr Milliseconds grace_without_order = 60s;
/// Of a stop's time, what is kept for the destroy and its proof; it is tried for this long.
constexpr Milliseconds destroy_time = 15s;
constexpr Milliseconds destroy_again_after = 500ms;
/// A guest that could not be asked to shut down is asked again after this.
constexpr Milliseconds ask_again_after = 2s;

}  // namespace

void DomainRunner::shut_down(bool at_once) {
  if (ending_ && !at_once) return;
  ending_ = true;
  if (at_once || policy_.force_stop) {
    destroy();
    return;
  }
  const Instant now = world_.clock.now();
  Milliseconds grace = grace_without_order;
  if (stop_by_ > now) grace = std::max<Milliseconds>(stop_by_ - now - destroy_time, (stop_by_ - now) / 2);
  save_config();
  if (policy_.shutdown_timeout.count() > 0) grace = std::min(grace, policy_.shutdown_timeout);
  ask_guest();
  if (grace_timer_ != 0) world_.clock.cancel(grace_timer_);
  grace_timer_ = world_.clock.schedule(grace, [this] {
    grace_timer_ = 0;
    if (record_.state.phase == Phase::stopping) {
      remark("the guest did not shut down in time: destroying it");
      destroy();
    }
  });
}

/// Asked again when the hypervisor did not take it, so that a restart of libvirtd does not end in a destroy.
void DomainRunner::ask_guest() {
  world_.hypervisor.ask_shutdown(record_.uuid, policy_.shutdown_mode, alive<Outcome>([this](Outcome outcome) {
    if (outcome.ok() || record_.state.phase != Phase::stopping || ask_timer_ != 0) return;
    remark("the guest could not be asked to shut down, tried again: " + outcome.error());
    ask_timer_ = world_.clock.schedule(ask_again_after, [this] {
      ask_timer_ = 0;
      if (record_.state.phase == Phase::stopping && !destroying_) ask_guest();
    });
  }));
}

void DomainRunner::destroy() {
  if (destroying_) return;
  destroying_ = true;
  const Instant now = world_.clock.now();
  try_to_destroy(now + (stop_by_ > now ? std::min(destroy_time, (stop_by_ - now) * 2 / 3) : destroy_time), true);
}

/// Goes on trying: a hypervisor that is just being restarted, or not connected yet, is no reason to fence a node.
void DomainRunner::try_to_destroy(Instant until, bool first) {
  world_.hypervisor.destroy(record_.uuid, alive<Outcome>([this, until, first](Outcome outcome) {
    if (outcome.ok() || world_.clock.now() >= until || !to_be_destroyed()) return destroyed(std::move(outcome));
    if (first) remark("it could not be ended yet, tried again: " + outcome.error());
    destroy_timer_ = world_.clock.schedule(destroy_again_after, [this, until] {
      destroy_timer_ = 0;
      if (!to_be_destroyed()) return destroyed(Done{});
      try_to_destroy(until, false);
    });
  }));
}

bool DomainRunner::to_be_destroyed() const {
  return record_.state.phase == Phase::stopping && view().here != Here::absent;
}

void DomainRunner::destroyed(Outcome outcome) {
  destroying_ = ending_ = false;
  boot_if_it_waited();
  if (outcome.ok() || !to_be_destroyed()) {
    feed(event::HereChanged{});
  } else {
    feed(event::DestroyFailed{outcome.error()});
  }
}

}  // namespace migrationd::engine
