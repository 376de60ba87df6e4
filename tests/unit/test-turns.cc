// SPDX-License-Identifier: GPL-2.0-or-later
// Few migrations at once, the quick ones first, and nobody waits until it is too late.
#include <doctest/doctest.h>

#include "migrationd/converge/turns.h"

using namespace migrationd;
using namespace migrationd::converge;
using Ids = std::vector<std::uint64_t>;

namespace {
Waiting waits(std::uint64_t id, int needs_s, int left_s) { return {id, Milliseconds{needs_s * 1000}, Milliseconds{left_s * 1000}}; }
}  // namespace

TEST_CASE("turns: as many as may go at once, the quickest first, those alike in the order in which they came") {
  const std::vector<Waiting> waiting = {waits(1, 20, 300), waits(2, 5, 300), waits(3, 5, 300), waits(4, 1, 300)};
  CHECK(next_turns(waiting, 0, 2) == Ids{4, 2});
  CHECK(next_turns(waiting, 1, 2) == Ids{4});
  CHECK(next_turns(waiting, 2, 2).empty());
  CHECK(next_turns(waiting, 5, 2).empty());
  CHECK(next_turns(waiting, 0, 100) == Ids{4, 2, 3, 1});
  CHECK(next_turns({}, 0, 2).empty());
}

TEST_CASE("turns: one that would be late begins at once, before the others and beyond the limit") {
  const std::vector<Waiting> waiting = {waits(1, 5, 300), waits(2, 100, 205), waits(3, 0, 9)};
  CHECK(next_turns(waiting, 2, 2) == Ids{3, 2});
  // They count, too: no other one goes with them.
  CHECK(next_turns(waiting, 0, 2) == Ids{3, 2});
  CHECK(next_turns(waiting, 0, 3) == Ids{3, 2, 1});
}

TEST_CASE("turns: without a limit of its own nobody is ever urgent") {
  CHECK(next_turns({waits(1, 1000, 0)}, 2, 2).empty());
}

TEST_CASE("turns: all come to their turn in time when each takes what was predicted") {
  // Eight guests of 10 s in an action of 120 s, two at once.
  std::vector<Waiting> waiting;
  for (std::uint64_t id = 1; id <= 8; ++id) waiting.push_back(waits(id, 10, 120));
  int most = 0, ended = 0;
  std::vector<int> going;
  for (int second = 0; second < 120 && ended < 8; ++second) {
    for (const std::uint64_t id : next_turns(waiting, static_cast<int>(going.size()), 2)) {
      going.push_back(second + 20);  // two share the network
      std::erase_if(waiting, [&](const Waiting& one) { return one.id == id; });
    }
    most = std::max(most, static_cast<int>(going.size()));
    ended += static_cast<int>(std::erase_if(going, [&](int end) { return end <= second; }));
    for (Waiting& one : waiting) one.left -= Milliseconds{1000};
  }
  CHECK(ended == 8);
  CHECK(most == 2);
}
