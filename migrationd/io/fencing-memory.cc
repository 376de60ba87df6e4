// SPDX-License-Identifier: GPL-2.0-or-later
// See fencing-memory.h.
#include "migrationd/io/fencing-memory.h"

#include <algorithm>

namespace migrationd::io {

namespace {
/// By so much may the wall clock go back against the boot clock before it counts as set back.
constexpr Milliseconds step{2'000};
}  // namespace

bool FencingMemory::clocks(const Clocks& now) {
  bool set_back = false;
  if (last_) {
    // What the clock would show now had it not been set. A step forward only makes fencings look older than they are.
    const Milliseconds expected = last_->wall + (now.boot - last_->boot);
    if (expected - now.wall > step) {
      set_back = true;
      shown_before_ = std::max(shown_before_, expected);
    } else if (expected > now.wall) {
      // Many small steps are a large one: the clock's best time so far is kept, until it differs enough.
      return false;
    }
  }
  last_ = now;
  return set_back;
}

void FencingMemory::looked(const NodeName& node, Instant asked, Instant answered, const std::vector<Fencing>& found) {
  const auto before = last_look_.find(node);
  const std::optional<Instant> absent = before == last_look_.end() ? std::nullopt : std::optional(before->second);
  auto& seen = seen_[node];
  for (const Fencing& one : found) {
    const auto [at, is_new] = seen.try_emplace(one.key, Seen{answered, absent});
    if (!is_new) at->second.first = std::min(at->second.first, answered);
  }
  last_look_[node] = absent ? std::max(*absent, asked) : asked;
}

FencingMemory::Verdict FencingMemory::judge(const NodeName& node, Instant since, const Clocks& now,
                                            const std::vector<Fencing>& found) const {
  Verdict verdict;
  const auto seen_of_node = seen_.find(node);
  if (seen_of_node == seen_.end()) return verdict;
  // The best time of `clocks` may be ahead of the clock by less than a step: the later one asks for more.
  Milliseconds since_wall = now.wall - (now.boot - since);
  if (last_) since_wall = std::max(since_wall, last_->wall - (last_->boot - since));
  for (const Fencing& one : found) {
    const auto seen = seen_of_node->second.find(one.key);
    if (seen == seen_of_node->second.end() || seen->second.first <= since) continue;
    if (one.completed < since_wall) continue;
    if (one.completed > now.wall) {
      verdict.doubt = "its fencing (" + one.key + ") is noted for a time that has not come yet";
      continue;
    }
    if (!seen->second.absent) {
      verdict.doubt = "its fencing (" + one.key + ") was there when the history was first looked at, so it may be older than it seems";
      continue;
    }
    const bool seen_to_come = *seen->second.absent >= since;
    if (one.completed <= shown_before_ && !seen_to_come) {
      verdict.doubt = "the clock was set back, so its fencing (" + one.key + ") may be older than it seems";
      continue;
    }
    return {true, ""};
  }
  return verdict;
}

}  // namespace migrationd::io
