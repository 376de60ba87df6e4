// SPDX-License-Identifier: GPL-2.0-or-later
// The last things that happened, numbered, for who follows them. Pure and in memory only: the log is what lasts.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "migrationd/base/alarm.h"

namespace migrationd::alarms {

struct Event {
  std::uint64_t number = 0;  ///< the next one's is larger by one
  WallTime at;
  EventKind kind = EventKind::notice;
  Subject subject;
  std::string text;
  std::uint64_t alarm = 0;   ///< the alarm's id; 0: it is about none
};

class EventRing {
 public:
  /// `first`: the number of the first event, larger than any of a daemon before this one. `kept`: so many of the last.
  explicit EventRing(std::uint64_t first = 1, std::size_t kept = 1000) : first_(first), next_(first), kept_(kept) {}
  /// Before anything was added.
  void begin_at(std::uint64_t first) {
    first_ = first;
    for (Event& one : events_) one.number = first++;
    next_ = first;
  }
  void add(WallTime at, EventKind kind, const Subject& subject, const std::string& text, std::uint64_t alarm = 0) {
    events_.push_back({next_++, at, kind, subject, text, alarm});
    if (events_.size() > kept_) events_.pop_front();
  }

  struct Batch {
    std::vector<Event> events;
    std::uint64_t lost = 0;  ///< of this daemon's, between `since` and these: they came too fast, or long ago
  };
  /// Those after number `since`, the oldest first, at most `limit`.
  Batch after(std::uint64_t since, std::size_t limit) const {
    Batch batch;
    for (const Event& one : events_) {
      if (one.number <= since) continue;
      if (batch.events.size() == limit) break;
      batch.events.push_back(one);
    }
    const std::uint64_t oldest = events_.empty() ? next_ : events_.front().number;
    const std::uint64_t wanted = since + 1 > first_ ? since + 1 : first_;
    if (wanted < oldest) batch.lost = oldest - wanted;
    return batch;
  }
  std::uint64_t last() const { return next_ - 1; }

 private:
  std::uint64_t first_;
  std::uint64_t next_;
  std::size_t kept_;
  std::deque<Event> events_;
};

}  // namespace migrationd::alarms
