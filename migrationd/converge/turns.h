// SPDX-License-Identifier: GPL-2.0-or-later
// Whose migration begins next. Several at once share the network and the processors: each then takes longer, its guest writes
// more meanwhile and stands still for longer. So only a few go at once, the quick ones first; but nobody waits until it is too late. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "migrationd/base/clock.h"

namespace migrationd::converge {

/// A migration that waits for its turn.
struct Waiting {
  std::uint64_t id = 0;
  Milliseconds needs{0};  ///< predicted, alone on the network; 0: not known
  Milliseconds left{0};   ///< until it must have ended; 0: no limit
};

/// Those that begin now, in order. `waiting`: in the order in which they came; `going`: how many leave this node already; `at_once`: how
/// many may. One that would else be late begins beyond that.
std::vector<std::uint64_t> next_turns(const std::vector<Waiting>& waiting, int going, int at_once);

}  // namespace migrationd::converge
