// SPDX-License-Identifier: GPL-2.0-or-later
// The exhaustive explorer of the hand-off: every order of messages, losses, repetitions, timers, crashes and
// cuts over the product's own step(), breadth first. In every state:
//   I1  at most one instance executes;
//   I2  when a stop succeeded and the domain runs on, a crash does not forget the offer;
//   I3  nothing healthy is lost, and nothing is booted while there is something healthy;
//   I4  a start that succeeded means that it runs here;
//   I5  without further faults or orders, a settled end can be reached from here: no livelock;
//   I6  and if the domain is healthy, an end with it running, without any deadline.
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

class Run {
 public:
  explicit Run(const Config& config) : config_(config), room_(config.nodes), moves_(room_, config_) {}

  bool passes() {
    const auto begun = std::chrono::steady_clock::now();
    const bool ok = explore() && ends_well();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%s explore %s%s %u states, %zu moves, %.1f s\n", ok ? "PASS" : "FAIL", config_.name.c_str(),
                ok ? "" : ": a rule is broken, see above;", seen_.size(), moves_made_, took.count());
    std::fflush(stdout);
    return ok;
  }

 private:
  bool explore() {
    seen_.insert(moves_.beginning());
    parents_.push_back(nowhere);
    for (std::uint32_t i = 0; i < seen_.size(); ++i) {
      first_.push_back(edges_.size());
      const World here = seen_[i];
      for (const Move& move : moves_.from(here, false)) {
        ++moves_made_;
        const auto [to, is_new] = seen_.insert(move.to);
        if (is_new) parents_.push_back(i);
        if (move.broken != nullptr) return report(i, move.to, move.broken);
        if (is_new && moves_.broken(move.to) != nullptr) return report(i, move.to, moves_.broken(move.to));
        if (move.free && to != i) edges_.push_back(to);
      }
    }
    first_.push_back(edges_.size());
    return true;
  }

  /// I5 and I6: backwards from the good ends along the moves that happen by themselves.
  bool ends_well() {
    std::vector<std::size_t> into(seen_.size() + 1, 0);
    for (const std::uint32_t to : edges_) ++into[to + 1];
    for (std::uint32_t i = 0; i < seen_.size(); ++i) into[i + 1] += into[i];
    std::vector<std::uint32_t> back(edges_.size());
    std::vector<std::size_t> fill(into.begin(), into.end() - 1);
    for (std::uint32_t i = 0; i < seen_.size(); ++i) {
      for (std::size_t e = first_[i]; e < first_[i + 1]; ++e) back[fill[edges_[e]]++] = i;
    }
    return reaches(into, back, false) && reaches(into, back, true);
  }

  bool reaches(const std::vector<std::size_t>& into, const std::vector<std::uint32_t>& back, bool healthy) {
    std::vector<bool> good(seen_.size());
    std::vector<std::uint32_t> todo;
    for (std::uint32_t i = 0; i < seen_.size(); ++i) {
      const World& world = seen_[i];
      const bool end = healthy ? world.life == Life::healthy && moves_.settled_running(world)
                               : moves_.settled_running(world) || moves_.settled_absent(world);
      if (end) {
        good[i] = true;
        todo.push_back(i);
      }
    }
    while (!todo.empty()) {
      const std::uint32_t i = todo.back();
      todo.pop_back();
      for (std::size_t e = into[i]; e < into[i + 1]; ++e) {
        const std::uint32_t from = back[e];
        if (good[from] || (healthy && seen_[from].life != Life::healthy)) continue;
        good[from] = true;
        todo.push_back(from);
      }
    }
    for (std::uint32_t i = 0; i < seen_.size(); ++i) {
      if (good[i] || (healthy && seen_[i].life != Life::healthy)) continue;
      std::printf("broken: %s\n", healthy ? "I6: a healthy domain can only be ended from here"
                                          : "I5: no settled end can be reached from here");
      trace(i);
      return false;
    }
    return true;
  }

  bool report(std::uint32_t from, const World& to, const char* what) {
    std::printf("broken: %s\n", what);
    trace(from);
    step_text(seen_[from], to);
    return false;
  }

  void trace(std::uint32_t to) {
    std::vector<std::uint32_t> way;
    for (std::uint32_t i = to; i != nowhere; i = parents_[i]) way.push_back(i);
    std::printf("    %s\n", moves_.text(seen_[way.back()]).c_str());
    for (std::size_t k = way.size() - 1; k-- > 0;) step_text(seen_[way[k + 1]], seen_[way[k]]);
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
  Seen seen_;
  std::vector<std::uint32_t> parents_;
  std::vector<std::size_t> first_;
  std::vector<std::uint32_t> edges_;
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

/// The runs of every `make check`: ten million states. --deep: more of everything, for a night and a large machine.
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
  };
  if (deep) {
    all.push_back(run("three-ahead", 3, 1, ahead_at_last).with(start, 2).narrowed());
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
