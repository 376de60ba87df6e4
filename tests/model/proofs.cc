// SPDX-License-Identifier: GPL-2.0-or-later
// What proves a node absent for another, and the links that end it.
#include "tests/model/moves.h"

#include <bit>

namespace model {

/// Those that n's cluster manager sees, as bits: whom it reaches, also through others.
unsigned Moves::members(int n) const {
  unsigned seen = 1u << n;
  for (int round = 0; round < config_.nodes; ++round) {
    for (int a = 0; a < config_.nodes; ++a) {
      for (int b = 0; b < config_.nodes; ++b) {
        if ((seen >> a & 1) != 0 && world_.is(b, node_up) && (a == b || !world_.cut(a, b))) seen |= 1u << b;
      }
    }
  }
  return seen;
}

/// As engine/absence.cc: m may be back without reaching n, and have been given the domain by one that can't say so.
bool Moves::farewell_counts(int n, int m) const {
  const unsigned seen = members(n);
  const bool quorate = config_.nodes == 2 || std::popcount(seen) * 2 > config_.nodes;
  const bool doubtful = (seen >> m & 1) != 0 || !quorate;
  for (int other = 0; other < config_.nodes; ++other) {
    const bool can_not_say = other != n && other != m && !world_.linked(n, other);
    if (can_not_say && (doubtful || (seen >> other & 1) != 0)) return false;
  }
  return true;
}

void Moves::proofs(int n) {
  for (int m = 0; m < config_.nodes; ++m) {
    if (!world_.absent_for(n, m)) continue;
    if (world_.is(m, daemon_up) && !world_.cut(n, m)) continue;  // a link comes up at once
    const bool fenced = (world_.node[n].proofs >> m & 1) != 0;
    if (!fenced && !farewell_counts(n, m)) continue;
    const EventKey key{fenced ? Kind::proven_fenced : Kind::proven_farewell, static_cast<std::uint16_t>(m)};
    const StepResult& result = room_.step(n, world_.node[n].incarnation, world_.node[n].memory, view(world_, n), key, false);
    if (result.next != world_.node[n].memory) add(feed(begin(true, "hears of the proof for", n, m), n, key));
  }
}

void Moves::links() {
  for (int a = 0; a < config_.nodes; ++a) {
    for (int b = a + 1; b < config_.nodes; ++b) {
      if (!world_.is(a, daemon_up) || !world_.is(b, daemon_up) || world_.cut(a, b) || world_.linked(a, b)) continue;
      Moving moving{begin(true, "a link comes up to", a, b)};
      for (const auto& [n, other] : {std::pair{a, b}, std::pair{b, a}}) {
        Moving next;
        for (Move& move : moving) {
          const bool proven = move.to.absent_for(n, other);
          move.to.heard(n, other);
          if (!proven || !move.to.is(n, daemon_up)) {
            next.push_back(std::move(move));
            continue;
          }
          for (Move& fed : feed(move, n, {Kind::unproven, static_cast<std::uint16_t>(other)})) next.push_back(std::move(fed));
        }
        moving = std::move(next);
      }
      add(std::move(moving));
    }
  }
}

}  // namespace model
