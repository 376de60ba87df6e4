// SPDX-License-Identifier: GPL-2.0-or-later
// Few at once, the important and then the quick ones first, nobody too late.
#include "migrationd/converge/turns.h"

#include <algorithm>
#include <tuple>

namespace migrationd::converge {

namespace {

/// It shares the network once it goes, and the switchover and the set-up take their time.
constexpr int shared_with = 2;
constexpr Milliseconds reserve{10'000};

bool cannot_wait(const Waiting& one) { return one.left.count() > 0 && one.left <= shared_with * one.needs + reserve; }

}  // namespace

std::vector<std::uint64_t> next_turns(const std::vector<Waiting>& waiting, const Roads& roads) {
  std::vector<const Waiting*> order;
  for (const Waiting& one : waiting) order.push_back(&one);
  std::stable_sort(order.begin(), order.end(), [](const Waiting* a, const Waiting* b) {
    return std::tuple(!cannot_wait(*a), -a->priority, a->needs) < std::tuple(!cannot_wait(*b), -b->priority, b->needs);
  });
  std::map<NodeName, int> going = roads.going;
  int all = 0;
  for (const auto& [node, count] : going) all += count;
  std::vector<std::uint64_t> begin;
  for (const Waiting* one : order) {
    const auto places = roads.places.find(one->to);
    const bool full = all >= roads.at_once || (places != roads.places.end() && going[one->to] >= places->second);
    if (full && !cannot_wait(*one)) continue;  // one that goes elsewhere may find its road free
    begin.push_back(one->id);
    ++going[one->to];
    ++all;
  }
  return begin;
}

std::optional<Milliseconds> predicted(std::uint64_t bytes, std::uint64_t measured, std::uint64_t cap) {
  const std::uint64_t rate = measured == 0 ? cap : cap == 0 ? measured : std::min(measured, cap);
  if (rate == 0) return std::nullopt;
  return Milliseconds{static_cast<std::int64_t>(static_cast<double>(bytes) * 1000 / static_cast<double>(rate))};
}

std::map<NodeName, int> shared_places(const std::vector<Sender>& senders, int at_once) {
  std::map<NodeName, int> places;
  int free = at_once;
  for (const Sender& one : senders) {
    places[one.node] = one.arriving;
    free -= one.arriving;
  }
  const auto next = [&](bool also_without) {
    const Sender* found = nullptr;
    for (const Sender& one : senders) {
      if (!also_without && places[one.node] >= one.arriving + one.waiting) continue;
      if (!found || std::pair(places[one.node], one.served) < std::pair(places[found->node], found->served)) found = &one;
    }
    return found;
  };
  for (; free > 0; --free) {
    const Sender* one = next(false);
    if (one == nullptr) one = next(true);  // what comes next needs not ask first
    if (one == nullptr) break;
    ++places[one->node];
  }
  return places;
}

}  // namespace migrationd::converge
