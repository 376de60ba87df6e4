// SPDX-License-Identifier: GPL-2.0-or-later
// Few migrations at once, the important and then the quick ones first, and nobody waits until it is too late; nodes that evacuate
// into one share it, and those that evacuate into each other do not wait for each other.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "migrationd/converge/turns.h"

using namespace migrationd;
using namespace migrationd::converge;
using Ids = std::vector<std::uint64_t>;

namespace {

Waiting waits(std::uint64_t id, int needs_s, int left_s, int priority = 0, const NodeName& to = "b") {
  return {id, Milliseconds{needs_s * 1000}, Milliseconds{left_s * 1000}, priority, to};
}
Roads roads(int going, int at_once) { return {at_once, {{"b", going}}, {}}; }

/// Nodes that send domains to each other, each with the rules of this room, in steps of a second.
struct Cluster {
  struct Domain {
    std::uint64_t id;
    NodeName from, to;
    int seconds, priority = 0, left = 3600;
    int began = -1, ended = -1;
  };
  int at_once = 2;
  std::vector<Domain> domains{};
  int most_leaving = 0, most_arriving = 0;

  bool under_way(const Domain& one) const { return one.began >= 0 && one.ended < 0; }
  int count(auto which) const { return static_cast<int>(std::count_if(domains.begin(), domains.end(), [&](const Domain& one) { return under_way(one) && which(one); })); }

  /// What `node` tells each sender.
  std::map<NodeName, int> told_by(const NodeName& node, const std::map<NodeName, std::uint64_t>& served) const {
    std::map<NodeName, Sender> senders;
    for (const Domain& one : domains) {
      if (one.to != node || one.ended >= 0) continue;
      Sender& sender = senders[one.from];
      sender.node = one.from;
      ++(under_way(one) ? sender.arriving : sender.waiting);
      if (served.contains(one.from)) sender.served = served.at(one.from);
    }
    std::vector<Sender> list;
    for (const auto& [name, sender] : senders) list.push_back(sender);
    return shared_places(list, at_once);
  }

  void run(int seconds) {
    std::set<NodeName> nodes;
    for (const Domain& one : domains) nodes.insert({one.from, one.to});
    std::map<NodeName, std::map<NodeName, std::uint64_t>> served;
    std::uint64_t number = 0;
    for (int now = 0; now < seconds; ++now) {
      for (Domain& one : domains)
        if (under_way(one) && now - one.began >= one.seconds) one.ended = now, served[one.to][one.from] = ++number;
      for (const NodeName& from : nodes) {
        Roads its{at_once, {}, {}};
        std::vector<Waiting> waiting;
        for (const NodeName& to : nodes) {
          const auto told = told_by(to, served[to]);
          if (told.contains(from)) its.places[to] = told.at(from);
        }
        for (const Domain& one : domains) {
          if (one.from != from) continue;
          if (under_way(one)) ++its.going[one.to];
          else if (one.ended < 0) waiting.push_back(waits(one.id, one.seconds, one.left - now, one.priority, one.to));
        }
        for (const std::uint64_t id : next_turns(waiting, its)) domains[id].began = now;
      }
      for (const NodeName& node : nodes) {
        most_leaving = std::max(most_leaving, count([&](const Domain& one) { return one.from == node; }));
        most_arriving = std::max(most_arriving, count([&](const Domain& one) { return one.to == node; }));
      }
    }
  }
  void send(int many, const NodeName& from, const NodeName& to, int seconds) {
    for (int i = 0; i < many; ++i) domains.push_back({domains.size(), from, to, seconds});
  }
  bool all_ended() const { return std::all_of(domains.begin(), domains.end(), [](const Domain& one) { return one.ended >= 0; }); }
};

}  // namespace

TEST_CASE("turns: as many as may go at once, the quickest first, those alike in the order in which they came") {
  const std::vector<Waiting> waiting = {waits(1, 20, 300), waits(2, 5, 300), waits(3, 5, 300), waits(4, 1, 300)};
  CHECK(next_turns(waiting, roads(0, 2)) == Ids{4, 2});
  CHECK(next_turns(waiting, roads(1, 2)) == Ids{4});
  CHECK(next_turns(waiting, roads(2, 2)).empty());
  CHECK(next_turns(waiting, roads(5, 2)).empty());
  CHECK(next_turns(waiting, roads(0, 100)) == Ids{4, 2, 3, 1});
  CHECK(next_turns({}, roads(0, 2)).empty());
}

TEST_CASE("turns: a higher priority goes before a quick one, but not before one that would be late") {
  const std::vector<Waiting> waiting = {waits(1, 1, 300), waits(2, 50, 300, 10), waits(3, 20, 300, 10), waits(4, 2, 300, -1), waits(5, 20, 45, -1)};
  CHECK(next_turns(waiting, roads(0, 100)) == Ids{5, 3, 2, 1, 4});
  CHECK(next_turns(waiting, roads(0, 2)) == Ids{5, 3});
}

TEST_CASE("turns: one that would be late begins at once, before the others and beyond the limits") {
  const std::vector<Waiting> waiting = {waits(1, 5, 300), waits(2, 100, 205), waits(3, 0, 9)};
  CHECK(next_turns(waiting, roads(2, 2)) == Ids{3, 2});
  CHECK(next_turns(waiting, {2, {{"b", 2}}, {{"b", 0}}}) == Ids{3, 2});
  // They count, too: no other one goes with them.
  CHECK(next_turns(waiting, roads(0, 2)) == Ids{3, 2});
  CHECK(next_turns(waiting, roads(0, 3)) == Ids{3, 2, 1});
}

TEST_CASE("turns: without a limit of its own nobody is ever urgent") {
  CHECK(next_turns({waits(1, 1000, 0)}, roads(2, 2)).empty());
}

TEST_CASE("turns: a destination that takes no further one holds up only what goes there") {
  const std::vector<Waiting> waiting = {waits(1, 5, 300, 10, "b"), waits(2, 5, 300, 0, "c"), waits(3, 5, 300, 0, "c")};
  CHECK(next_turns(waiting, {2, {}, {{"b", 0}}}) == Ids{2, 3});
  CHECK(next_turns(waiting, {3, {{"b", 1}}, {{"b", 1}, {"c", 1}}}) == Ids{2});
  CHECK(next_turns(waiting, {2, {}, {}}) == Ids{1, 2});
}

TEST_CASE("turns: the places of a node are shared by those that send to it, and nobody loses one that it uses") {
  using Places = std::map<NodeName, int>;
  CHECK(shared_places({{"a", 0, 8, 0}}, 2) == Places{{"a", 2}});
  CHECK(shared_places({{"a", 0, 8, 0}, {"b", 0, 8, 0}}, 2) == Places{{"a", 1}, {"b", 1}});
  CHECK(shared_places({{"a", 1, 8, 4}, {"b", 0, 8, 5}, {"c", 0, 8, 3}}, 2) == Places{{"a", 1}, {"b", 0}, {"c", 1}});
  CHECK(shared_places({{"a", 0, 1, 0}, {"b", 0, 8, 0}}, 4) == Places{{"a", 1}, {"b", 3}});
  CHECK(shared_places({{"a", 3, 1, 0}, {"b", 0, 1, 0}}, 2) == Places{{"a", 3}, {"b", 0}});
  // The first claim comes before anything is known of it.
  CHECK(shared_places({{"a", 0, 0, 0}}, 2) == Places{{"a", 2}});
  CHECK(shared_places({}, 2).empty());
}

TEST_CASE("turns: two nodes that evacuate into each other do not wait for each other") {
  Cluster cluster;
  cluster.send(6, "a", "b", 10);
  cluster.send(6, "b", "a", 10);
  cluster.run(60);
  CHECK(cluster.all_ended());
  CHECK(cluster.most_leaving == 2);
  CHECK(cluster.most_arriving == 2);
}

TEST_CASE("turns: three nodes that evacuate in a ring do not wait for each other") {
  Cluster cluster{1, {}};
  cluster.send(3, "a", "b", 10);
  cluster.send(3, "b", "c", 10);
  cluster.send(3, "c", "a", 10);
  cluster.run(40);
  CHECK(cluster.all_ended());
}

TEST_CASE("turns: three nodes that evacuate into one do not press it, and none of them waits for the others' ends") {
  Cluster cluster;
  cluster.send(6, "a", "d", 10);
  cluster.send(6, "b", "d", 10);
  cluster.send(6, "c", "d", 10);
  cluster.run(25);
  for (const char* node : {"a", "b", "c"})
    CHECK(std::any_of(cluster.domains.begin(), cluster.domains.end(), [&](const auto& one) { return one.from == node && one.began >= 0; }));
  Cluster whole;
  for (const char* node : {"a", "b", "c"}) whole.send(6, node, "d", 10);
  whole.run(120);
  CHECK(whole.all_ended());
  CHECK(whole.most_arriving == 2);
}

TEST_CASE("turns: one of a low priority is not starved by ever new ones of a high one: its time makes it urgent") {
  Cluster cluster{1, {}};
  cluster.domains.push_back({0, "a", "b", 10, -5, 100});
  for (int i = 0; i < 30; ++i) cluster.domains.push_back({cluster.domains.size(), "a", "b", 10, 5});
  cluster.run(100);
  CHECK(cluster.domains[0].ended > 0);
  CHECK(cluster.domains[0].ended <= 100);
}

TEST_CASE("turns: a time is predicted from a rate that is known, the slower one of two") {
  constexpr std::uint64_t mib = 1024 * 1024;
  CHECK_FALSE(predicted(100 * mib, 0, 0));
  CHECK(predicted(100 * mib, 10 * mib, 0) == Milliseconds{10'000});
  CHECK(predicted(100 * mib, 0, 20 * mib) == Milliseconds{5'000});
  CHECK(predicted(100 * mib, 10 * mib, 20 * mib) == Milliseconds{10'000});
  CHECK(predicted(100 * mib, 50 * mib, 20 * mib) == Milliseconds{5'000});
  // 16 TiB at 1 MiB/s: no overflow.
  CHECK(predicted(16 * mib * mib, mib, 0) == Milliseconds{16'777'216'000});
}

TEST_CASE("turns: all come to their turn in time when each takes what was predicted") {
  // Eight guests of 10 s in an action of 120 s, two at once that share the network.
  Cluster cluster;
  cluster.send(8, "a", "b", 20);
  for (auto& one : cluster.domains) one.left = 120;
  cluster.run(120);
  CHECK(cluster.all_ended());
  CHECK(cluster.most_leaving == 2);
}
