// SPDX-License-Identifier: GPL-2.0-or-later
// Few at once, the quick ones first, nobody too late.
#include "migrationd/converge/turns.h"

#include <algorithm>

namespace migrationd::converge {

namespace {

/// It shares the network once it goes, and the switchover and the set-up take their time.
constexpr int shared_with = 2;
constexpr Milliseconds reserve{10'000};

bool cannot_wait(const Waiting& one) { return one.left.count() > 0 && one.left <= shared_with * one.needs + reserve; }

}  // namespace

std::vector<std::uint64_t> next_turns(const std::vector<Waiting>& waiting, int going, int at_once) {
  std::vector<const Waiting*> order;
  for (const Waiting& one : waiting) order.push_back(&one);
  std::stable_sort(order.begin(), order.end(), [](const Waiting* a, const Waiting* b) {
    if (cannot_wait(*a) != cannot_wait(*b)) return cannot_wait(*a);
    return a->needs < b->needs;
  });
  std::vector<std::uint64_t> begin;
  for (const Waiting* one : order) {
    if (going >= at_once && !cannot_wait(*one)) continue;
    begin.push_back(one->id);
    ++going;
  }
  return begin;
}

}  // namespace migrationd::converge
