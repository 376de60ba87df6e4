// SPDX-License-Identifier: GPL-2.0-or-later
// Small makers for the tests of the room `handoff`: node "n1" of the cluster n1, n2, n3, states by phase, and
// a look for one kind of action in a step.
#pragma once

#include <doctest/doctest.h>

#include "migrationd/handoff/handoff.h"

namespace migrationd::handoff::test {

inline constexpr Milliseconds two_minutes{120000};

inline Cluster cluster(std::set<NodeName> others = {"n2", "n3"}) { return {"n1", "installation-1", 4, std::move(others)}; }
inline Cluster pair() { return cluster({"n2"}); }
inline Context at(Here here, Milliseconds now = Milliseconds{1000}) { return {{now}, here}; }

inline State gone(Epoch epoch = {7}) {
  State s;
  s.epoch = epoch;
  return s;
}
inline State held(Due due = Due::nothing) {
  State s = gone();
  s.phase = Phase::held;
  s.due = due;
  return s;
}
inline State offered() {
  State s = gone();
  s.phase = Phase::offered;
  s.offer_left = two_minutes;
  s.offer_ends = Instant{Milliseconds{1000}} + two_minutes;
  return s;
}
/// On its way to n2, for n2's attempt 2.1.
inline State moving(bool from_held = false) {
  State s = gone();
  s.phase = Phase::moving;
  s.peer = "n2";
  s.serving = {2, 1};
  s.last["n2"] = {2, 1};
  s.from_held = from_held;
  s.offer_left = from_held ? Milliseconds{0} : two_minutes;
  return s;
}
inline State given() {
  State s = moving();
  s.phase = Phase::given;
  s.epoch = {8};
  return s;
}
inline State stopping() {
  State s = gone();
  s.phase = Phase::stopping;
  return s;
}
/// Our attempt 4.1 asks `asked`; the start 11 waits for it.
inline State claim(std::set<NodeName> asked = {"n2", "n3"}) {
  State s = gone();
  s.phase = Phase::claim;
  s.own = s.open = {4, 1};
  s.asked = std::move(asked);
  s.start = 11;
  return s;
}
inline State withdrawn(std::set<NodeName> asked = {"n2"}) {
  State s = claim(std::move(asked));
  s.phase = Phase::withdrawn;
  s.start = 0;
  return s;
}

/// The first action of this kind; nullptr when there is none.
template <class A>
const A* find(const Step& step) {
  for (const Action& one : step.actions) {
    if (const A* found = std::get_if<A>(&one)) return found;
  }
  return nullptr;
}
template <class A>
int count(const Step& step) {
  int n = 0;
  for (const Action& one : step.actions) n += std::holds_alternative<A>(one) ? 1 : 0;
  return n;
}
inline bool alarms(const Step& step) {
  for (const Action& one : step.actions) {
    if (const auto* say = std::get_if<action::Say>(&one); say && say->alarm) return true;
  }
  return false;
}

}  // namespace migrationd::handoff::test
