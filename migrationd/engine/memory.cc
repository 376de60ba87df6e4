// SPDX-License-Identifier: GPL-2.0-or-later
// The parameter snapshot: the memory of a really stopped domain is saved, and its next boot goes on from it. The epoch says
// whether that boot is the very next: each change of owner makes it grow, and a boot on proof instead of a word by more than one.
#include <utility>

#include "migrationd/engine/engine.h"

namespace migrationd::engine {

using handoff::Here;
using handoff::Phase;

/// Of who held it just before us. None of the epoch 0: nobody held it then.
std::optional<MemoryImage> DomainRunner::image_to_boot() const {
  if (policy_.snapshot.empty() || record_.state.epoch.value < 1) return std::nullopt;
  return MemoryImage{policy_.snapshot, {record_.state.epoch.value - 1}};
}

bool DomainRunner::saves_memory() {
  const bool fits = !std::exchange(without_memory_, false);
  return fits && !policy_.snapshot.empty() && view().here == Here::running;
}

/// In place of the shutdown; where it fails the guest is asked to shut down, in what is left of the time.
void DomainRunner::save_memory() {
  remark("its memory is saved to " + policy_.snapshot);
  const MemoryImage image{policy_.snapshot, record_.state.epoch};
  world_.hypervisor.save_memory(record_.uuid, image, alive<Outcome>([this](Outcome outcome) {
    if (outcome.ok()) return feed(handoff::event::HereChanged{});
    remark("its memory is not saved: " + outcome.error(), true);
    if (record_.state.phase == Phase::stopping && !destroying_ && view().here != Here::absent) ask_guest();
  }));
}

void DomainRunner::ran_by_hand() {
  if (!policy_.snapshot.empty()) world_.hypervisor.discard_memory(record_.uuid, policy_.snapshot);
}

}  // namespace migrationd::engine
