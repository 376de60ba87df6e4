// SPDX-License-Identifier: GPL-2.0-or-later
// The exhaustive explorer of the hand-off: every order of messages, losses, repetitions, timers, crashes and
// cuts over the product's own step(), breadth first. In every state:
//   I1  at most one instance executes;
//   I2  when a stop succeeded and the domain runs on, a crash does not forget the offer;
//   I3  nothing healthy is lost, and nothing is booted while there is something healthy; what is in post-copy may be lost by a fault;
//   I4  a start that succeeded means that it runs here;
//   I5  without further faults or orders, a settled end can be reached from here: no livelock;
//   I6  and if the domain is healthy, an end with it running, without any deadline;
//   I7  where it runs nowhere any more and all nodes are up again, a start can make it run again, exactly once.
// A broken rule is printed with its shortest trace; exit status 1.
//   explore [--deep] [--only NAME]     NAME may be one of the deep runs in any case
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/model/moves.h"

namespace model {
namespace {

constexpr std::uint32_t nowhere = 0xffffffff;

/// All states seen, in the order of their first sight; found again by an open-addressing hash.
class Seen {
 public:
  Seen() : slots_(1u << 16, nowhere) {}
  std::uint32_t size() const { return static_cast<std::uint32_t>(worlds_.size()); }
  const World& operator[](std::uint32_t i) const { return worlds_[i]; }
  /// The number of `world`, and whether it is new.
  std::pair<std::uint32_t, bool> insert(const World& world) {
    if (worlds_.size() * 2 > slots_.size()) grow();
    std::size_t slot = hash(world) & (slots_.size() - 1);
    while (slots_[slot] != nowhere) {
      if (worlds_[slots_[slot]] == world) return {slots_[slot], false};
      slot = (slot + 1) & (slots_.size() - 1);
    }
    slots_[slot] = size();
    worlds_.push_back(world);
    return {slots_[slot], true};
  }

 private:
  static std::size_t hash(const World& world) {
    std::uint64_t words[(sizeof(World) + 7) / 8] = {};
    std::memcpy(words, &world, sizeof(World));
    std::uint64_t h = 0x9e3779b97f4a7c15u;
    for (const std::uint64_t word : words) {
      h = (h ^ word) * 0xff51afd7ed558ccdu;
      h ^= h >> 32;
    }
    return static_cast<std::size_t>(h);
  }
  void grow() {
    std::vector<std::uint32_t> wider(slots_.size() * 2, nowhere);
    for (std::uint32_t i = 0; i < size(); ++i) {
      std::size_t slot = hash(worlds_[i]) & (wider.size() - 1);
      while (wider[slot] != nowhere) slot = (slot + 1) & (wider.size() - 1);
      wider[slot] = i;
    }
    slots_ = std::move(wider);
  }

  std::deque<World> worlds_;
  std::vector<std::uint32_t> slots_;
};

/// The states that were reached, with the first way to each, and which of them follow each other by themselves.
struct Graph {
  Seen seen;
  std::vector<std::uint32_t> parents;
  std::vector<std::size_t> first;  ///< of each state's edges; one more at the end
  std::vector<std::uint32_t> edges;

  std::pair<std::uint32_t, bool> insert(const World& world, std::uint32_t parent) {
    const auto found = seen.insert(world);
    if (found.second) parents.push_back(parent);
    return found;
  }
  /// For each state whether one that is `good` can be reached from it through states that `counts`.
  template <typename Good, typename Counts>
  std::vector<bool> reaching(Good good, Counts counts) const {
    std::vector<std::size_t> into(seen.size() + 1, 0);
    for (const std::uint32_t to : edges) ++into[to + 1];
    for (std::uint32_t i = 0; i < seen.size(); ++i) into[i + 1] += into[i];
    std::vector<std::uint32_t> back(edges.size());
    std::vector<std::size_t> fill(into.begin(), into.end() - 1);
    std::vector<bool> reaches(seen.size());
    std::vector<std::uint32_t> todo;
    for (std::uint32_t i = 0; i < seen.size(); ++i) {
      for (std::size_t e = first[i]; e < first[i + 1]; ++e) back[fill[edges[e]]++] = i;
      if (!good(seen[i])) continue;
      reaches[i] = true;
      todo.push_back(i);
    }
    while (!todo.empty()) {
      const std::uint32_t i = todo.back();
      todo.pop_back();
      for (std::size_t e = into[i]; e < into[i + 1]; ++e) {
        const std::uint32_t from = back[e];
        if (reaches[from] || !counts(seen[from])) continue;
        reaches[from] = true;
        todo.push_back(from);
      }
    }
    return reaches;
  }
};

class Run {
 public:
  explicit Run(const Config& config) : config_(config), room_(config.nodes), moves_(room_, config_) {}

  bool passes() {
    const auto begun = std::chrono::steady_clock::now();
    const bool ok = explore() && ends_well() && starts_again();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%s explore %s%s %u states, %zu moves, %u more after what was lost, %.1f s\n", ok ? "PASS" : "FAIL",
                config_.name.c_str(), ok ? "" : ": a rule is broken, see above;", all_.seen.size(), moves_made_, again_.seen.size(),
                took.count());
    std::fflush(stdout);
    return ok;
  }

 private:
  bool explore() {
    all_.insert(moves_.beginning(), nowhere);
    return follow(all_);
  }

  /// Everything that can come of the states in `graph`.
  bool follow(Graph& graph) {
    for (std::uint32_t i = 0; i < graph.seen.size(); ++i) {
      graph.first.push_back(graph.edges.size());
      const World here = graph.seen[i];
      for (const Move& move : moves_.from(here, false)) {
        if (!take(graph, i, move)) return false;
      }
    }
    graph.first.push_back(graph.edges.size());
    return true;
  }

  bool take(Graph& graph, std::uint32_t from, const Move& move) {
    ++moves_made_;
    const auto [to, is_new] = graph.insert(move.to, from);
    const char* const broken = move.broken != nullptr || !is_new ? move.broken : moves_.broken(move.to);
    if (broken != nullptr) {
      std::printf("broken: %s\n", broken);
      trace(graph, from);
      step_text(graph.seen[from], move.to);
      return false;
    }
    if ((move.free || &graph == &again_) && to != from) graph.edges.push_back(to);
    return true;
  }

  /// I5 and I6.
  bool ends_well() {
    const auto any = [](const World&) { return true; };
    const auto healthy = [](const World& world) { return world.life == Life::healthy || world.life == Life::risked; };
    const auto settled = [this](const World& world) { return moves_.settled_running(world) || moves_.settled_absent(world); };
    const auto running = [&](const World& world) { return healthy(world) && moves_.settled_running(world); };
    return all_reach(all_, all_.reaching(settled, any), any, "I5: no settled end can be reached from here") &&
           all_reach(all_, all_.reaching(running, healthy), healthy, "I6: a healthy domain can only be ended from here");
  }

  /// I7. Wherever it came to run nowhere, the cluster manager asks one of the nodes to start it; where that comes to
  /// nothing it may ask again, from an end like those that were begun from.
  bool starts_again() {
    for (std::uint32_t i = 0; i < all_.seen.size(); ++i) {
      World world = all_.seen[i];
      if (!moves_.settled_absent(world)) continue;
      std::fill(std::begin(world.left), std::end(world.left), std::uint8_t{0});
      world.budget(Budget::start) = 1;
      again_.insert(world, nowhere);
    }
    if (!follow(again_)) return false;
    const auto any = [](const World&) { return true; };
    const auto asked = [](const World& world) { return world.budget(Budget::start) == 0; };
    const auto begun = [&](const World& world) { return !asked(world) && moves_.settled_absent(world); };
    const auto running = [this](const World& world) { return moves_.settled_running(world); };
    const auto settled = [&](const World& world) { return running(world) || (asked(world) && moves_.settled_absent(world)); };
    return all_reach(again_, again_.reaching(running, any), begun, "I7: it runs nowhere, and no start can make it run again") &&
           all_reach(again_, again_.reaching(settled, any), any, "I5: no settled end can be reached from here after another start");
  }

  template <typename Which>
  bool all_reach(const Graph& graph, const std::vector<bool>& reaches, Which which, const char* rule) {
    for (std::uint32_t i = 0; i < graph.seen.size(); ++i) {
      if (reaches[i] || !which(graph.seen[i])) continue;
      std::printf("broken: %s\n", rule);
      trace(graph, i);
      return false;
    }
    return true;
  }

  void trace(const Graph& graph, std::uint32_t to) {
    std::vector<std::uint32_t> way;
    for (std::uint32_t i = to; i != nowhere; i = graph.parents[i]) way.push_back(i);
    std::printf("    %s\n", moves_.text(graph.seen[way.back()]).c_str());
    for (std::size_t k = way.size() - 1; k-- > 0;) step_text(graph.seen[way[k + 1]], graph.seen[way[k]]);
  }

  void step_text(const World& from, const World& to) {
    for (const Move& move : moves_.from(from, true)) {
      if (!(move.to == to)) continue;
      std::printf("  %s\n    %s\n", move.text.c_str(), moves_.text(to).c_str());
      return;
    }
  }

  Config config_;
  Room room_;
  Moves moves_;
  Graph all_;    ///< with the faults and orders of config_
  Graph again_;  ///< without any but starts, from where it runs nowhere
  std::size_t moves_made_ = 0;
};

Config run(const char* name, int nodes, int messages, Beginning beginning) {
  Config config;
  config.name = name;
  config.nodes = nodes;
  config.messages = messages;
  config.beginning = beginning;
  return config;
}

/// The runs of every `make check`: twenty million states. --deep: more of everything, for a night and a large machine.
std::vector<Config> configurations(bool deep) {
  using enum Budget;
  using enum Beginning;
  const int more = deep ? 1 : 0;
  std::vector<Config> all{
      run("two-boot", 2, 2 + more, nothing).with(start, 2).with(retry, more).with(crash, 1).with(repeat, more),
      run("two-claims-crash", 2, 2, held_by_first).with(start, 1 + more).with(stop, 1).with(crash, 1),
      run("two-claims-cut", 2, 2, held_by_first).with(start, 1 + more).with(stop, 1).with(cut, 1),
      run("two-claims-crash-cut", 2, 2, held_by_first).with(start, 2).with(crash, 1).with(cut, 1),
      run("two-claims-repeat", 2, 2 + more, held_by_first).with(start, 2).with(stop, more).with(repeat, 1),
      run("two-claims-stop", 2, 2 + more, held_by_first).with(start, 2).with(stop, 1).with(retry, more),
      run("two-kill", 2, 3, held_by_first).with(start, 1).with(stop, 1).with(kill, 1),
      run("two-kill-twice", 2, 2 + more, held_by_first).with(start, 1).with(kill, 2),
      run("two-journal", 2, 3, held_by_first).with(start, 1).with(stop, 1).with(journal, 1).with(kill, more),
      run("two-push", 2, 2, held_by_first).with(push, 1).with(stop, 1).with(start, more).with(kill, 1),
      run("two-push-cut", 2, 3, held_by_first).with(push, 1).with(cut, 1).with(crash, 1),
      run("two-silent", 2, 3, held_by_first).with(start, 1).with(stop, 1).with(silence, 1).with(kill, more),
      run("two-death-trouble", 2, 2, held_by_first).with(start, 1 + more).with(stop, 1).with(death, 1).with(trouble, 1),
      run("two-farewell", 2, 2, held_by_first).with(start, 2).with(farewell, 1).with(cut, 1).with(judge, more),
      run("two-by-hand", 2, 2, by_hand_at_last).with(start, 1).with(stop, 1).with(push, more).with(judge, 1),
      run("three-crash", 3, 1 + more, held_by_first).with(start, 1).with(stop, more).with(crash, 1),
      run("three-cut", 3, 2, held_by_first).with(start, 1).with(stop, more).with(cut, 1),
      run("three-two-claims", 3, 1 + more, held_by_first).with(start, 2).narrowed(),
      run("two-full", 2, 2, held_by_first).with(start, 2).with(stop, more).with(kill, 1).full_disk(1),
      run("two-full-source", 2, 2, held_by_first).with(start, 1).with(stop, 1).with(kill, 1).with(repeat, 1).full_disk(0),
      run("two-full-boot", 2, 2, nothing).with(start, 2).with(crash, 1).with(repeat, 1).full_disk(0),
      run("three-full", 3, 1, held_by_first).with(start, 1 + more).with(kill, more).with(stop, 1).narrowed().full_disk(1),
      run("two-ahead", 2, 2, ahead_at_last).with(start, 1 + more).with(stop, 1).with(crash, 1),
      run("three-offer", 3, 2, held_by_first).with(start, 1).with(stop, 1),
      run("three-ahead", 3, 1, ahead_at_last).with(start, 2).narrowed(),
      run("three-left", 3, 1, last_was_back).with(start, 1 + more).with(crash, 1).with(cut, 1).narrowed(),
      run("three-farewell", 3, 1, held_by_first).with(start, 1).with(farewell, 1).with(crash, 1).narrowed(),
      run("two-post-copy-crash", 2, 2, held_by_first).with(start, 1 + more).with(stop, 1).with(crash, 1).consents(),
      run("two-post-copy-kill", 2, 2, held_by_first).with(start, 1).with(stop, 1).with(kill, 1).consents(),
      run("two-post-copy-push", 2, 2, held_by_first).with(push, 1).with(stop, more).with(kill, 1).consents(),
      run("two-post-copy-cut", 2, 2, held_by_first).with(start, 1).with(stop, 1).with(cut, 1).consents(),
      run("two-post-copy-claims", 2, 2, held_by_first).with(start, 2).with(stop, more).consents(),
      run("two-post-copy-death", 2, 2, held_by_first).with(start, 1).with(stop, 1).with(death, 1).consents(),
      run("two-post-copy-journal", 2, 2, held_by_first).with(start, 1).with(stop, more).with(journal, 1).with(kill, 1).consents(),
      run("two-post-copy-silent", 2, 2, held_by_first).with(start, 1).with(stop, more).with(silence, 1).consents(),
      run("three-post-copy", 3, 1, held_by_first).with(start, 1).with(stop, more).with(crash, 1).narrowed().consents(),
  };
  if (deep) {
    all.push_back(run("three-full-kill", 3, 1, held_by_first).with(start, 2).with(kill, 1).narrowed().full_disk(1));
    all.push_back(run("three-full-crash", 3, 1, held_by_first).with(start, 2).with(crash, 1).narrowed().full_disk(1));
    all.push_back(run("three-claims-crash", 3, 1, held_by_first).with(start, 2).with(crash, 1).narrowed());
  }
  return all;
}

}  // namespace
}  // namespace model

int main(int argc, char** argv) {
  bool deep = false;
  std::string_view only;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--deep") {
      deep = true;
    } else if (word == "--only" && i + 1 < argc) {
      only = argv[++i];
    } else {
      std::fprintf(stderr, "usage: explore [--deep] [--only NAME]\n");
      return 2;
    }
  }
  bool ok = true;
  int runs = 0;
  std::vector<model::Config> chosen = model::configurations(deep);
  if (!only.empty()) {  // also one of the deep ones, for a mutant that it finds early
    const std::vector<model::Config> more = model::configurations(true);
    const auto named = [&](const model::Config& config) { return config.name == only; };
    if (std::none_of(chosen.begin(), chosen.end(), named)) chosen = more;
  }
  for (const model::Config& config : chosen) {
    if (!only.empty() && config.name != only) continue;
    ++runs;
    if (!model::Run(config).passes()) ok = false;
  }
  if (runs == 0) {
    std::fprintf(stderr, "explore: there is no run called %s\n", std::string(only).c_str());
    return 2;
  }
  return ok ? 0 : 1;
}
