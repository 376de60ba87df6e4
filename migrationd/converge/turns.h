// SPDX-License-Identifier: GPL-2.0-or-later
// Whose migration begins next. Several at once share the network and the processors: each then takes longer, its guest writes
// more meanwhile and stands still for longer. So only a few go at once: those of a higher priority first, among these the quick
// ones; but nobody waits until it is too late. Pure.
//
// Two limits: how many leave a node, which that node keeps, and how many arrive at one, which it shares out among those that send.
// Neither makes a migration that is under way wait, and a place is taken only by one that begins: so nodes that evacuate into
// each other never wait for each other.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"

namespace migrationd::converge {

/// A migration that waits for its turn.
struct Waiting {
  std::uint64_t id = 0;
  Milliseconds needs{0};  ///< predicted, alone on the network; 0: not known
  Milliseconds left{0};   ///< until it must have ended; 0: no limit
  int priority = 0;
  NodeName to{};
};

/// What may leave a node, and what does.
struct Roads {
  int at_once = 1;                    ///< how many may leave
  std::map<NodeName, int> going{};    ///< how many are under way to each node
  std::map<NodeName, int> places{};   ///< how many may be, by that node's word; a node that is not here has said nothing
};

/// Those that begin now, in order. `waiting`: in the order in which they came. One that would else be late begins beyond the limits.
std::vector<std::uint64_t> next_turns(const std::vector<Waiting>& waiting, const Roads& roads);

/// How long `bytes` take at the slower of two rates in bytes per second; a rate of 0 is none. Nothing: neither is one.
std::optional<Milliseconds> predicted(std::uint64_t bytes, std::uint64_t measured, std::uint64_t cap);

/// A node from which domains are to arrive.
struct Sender {
  NodeName node;
  int arriving = 0;          ///< from it, now
  int waiting = 0;           ///< further ones that are wanted of it
  std::uint64_t served = 0;  ///< grows with each arrival of any; the number of the last one from it
};

/// How many migrations each of them may have under way to a node that takes `at_once` together. One that is under way keeps its
/// place; who has the fewest gets the next, among these who was served longest ago: so each comes to its turn.
std::map<NodeName, int> shared_places(const std::vector<Sender>& senders, int at_once);

}  // namespace migrationd::converge
