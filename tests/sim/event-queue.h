// SPDX-License-Identifier: GPL-2.0-or-later
// Simulated time: one queue for all nodes, ordered by (time, number), so that a run is the same every time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

namespace migrationd::sim {

/// Milliseconds since the simulation's begin.
using Time = std::int64_t;

class EventQueue {
 public:
  Time now() const { return now_; }

  /// `call` at `when` (not before now); returns the number to cancel it with, never 0.
  std::uint64_t at(Time when, std::function<void()> call) {
    const std::uint64_t number = ++last_;
    if (when < now_) when = now_;
    calls_.emplace(std::pair{when, number}, std::move(call));
    times_.emplace(number, when);
    return number;
  }
  std::uint64_t after(Time delay, std::function<void()> call) { return at(now_ + delay, std::move(call)); }

  void cancel(std::uint64_t number) {
    const auto found = times_.find(number);
    if (found == times_.end()) return;
    calls_.erase({found->second, number});
    times_.erase(found);
  }

  bool empty() const { return calls_.empty(); }
  Time next() const { return calls_.begin()->first.first; }

  /// Takes the next call out and makes it.
  void run_one() {
    const auto first = calls_.begin();
    now_ = first->first.first;
    times_.erase(first->first.second);
    const std::function<void()> call = std::move(first->second);
    calls_.erase(first);
    call();
  }

 private:
  Time now_ = 0;
  std::uint64_t last_ = 0;
  std::map<std::pair<Time, std::uint64_t>, std::function<void()>> calls_;
  std::unordered_map<std::uint64_t, Time> times_;
};

}  // namespace migrationd::sim
