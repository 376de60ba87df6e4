// SPDX-License-Identifier: GPL-2.0-or-later
// The alarms of this node: which stand, which were, who has seen them. Pure: what is kept on disk, told to people and sent
// to agents is done by who asks (io/alarm-desk), by what raise() and the others return.
//
//     raise() -> stands --- acknowledge() ---> stands, seen by somebody
//                  | raise(): counted             |
//                  +----------- clear() ----------+---> was; raised again it is a new one
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "migrationd/base/alarm.h"
#include "migrationd/base/result.h"

namespace migrationd::alarms {

struct Alarm {
  std::uint64_t id = 0;            ///< never given twice on this node
  std::string kind;                ///< as spelled: the file may hold one that only a newer version knows
  Subject subject;
  std::string text;                ///< of the last time
  Severity severity = Severity::critical;
  WallTime raised;
  WallTime last;                   ///< when it was raised last
  std::uint64_t count = 1;
  std::string acknowledged_by;     ///< empty: by nobody
  WallTime acknowledged;
  std::optional<WallTime> cleared; ///< nothing: it stands
  std::string cleared_why;

  bool stands() const { return !cleared; }
};

/// Of those that were: so many are kept, so long.
inline constexpr std::size_t cleared_kept = 1000;
inline constexpr Milliseconds cleared_for{30LL * 24 * 3'600'000};
/// More can't stand: the oldest warning gives way, or where there is none the oldest; else a fault that makes new subjects for ever would fill the memory.
inline constexpr std::size_t standing_kept = 1000;
/// Longer texts are cut.
inline constexpr std::size_t text_limit = 1000;

class AlarmBook {
 public:
  AlarmBook() = default;
  /// What was kept; `next`: the id of the next one, if that is larger than all of them.
  explicit AlarmBook(std::vector<Alarm> known, std::uint64_t next = 1);

  struct Raised {
    Alarm alarm;
    bool fresh = false;             ///< it did not stand: to be told
    bool other_text = false;        ///< it stood with another text
    std::optional<Alarm> gave_way;  ///< what was cleared for it
  };
  Raised raise(AlarmKind kind, const Subject& subject, const std::string& text, WallTime now);
  /// Nothing: none of the kind and subject stands.
  std::optional<Alarm> clear(AlarmKind kind, const Subject& subject, const std::string& why, WallTime now);
  /// By hand. Errors: there is none of that number, or it is cleared already.
  Result<Alarm> clear(std::uint64_t id, const std::string& why, WallTime now);
  /// Whoever was first stays the one who did. Errors as of clear(); one that is acknowledged already is none.
  Result<Alarm> acknowledge(std::uint64_t id, const std::string& by, WallTime now);
  /// Drops those cleared long ago. True: there were some.
  bool forget_old(WallTime now);

  /// In the order of their numbers.
  const std::vector<Alarm>& all() const { return all_; }
  std::vector<Alarm> standing() const;
  std::uint64_t next() const { return next_; }

 private:
  Alarm* find(const std::string& kind, const std::string& subject);
  Result<Alarm*> standing(std::uint64_t id);
  Alarm end(Alarm& alarm, const std::string& why, WallTime now);

  std::vector<Alarm> all_;
  std::uint64_t next_ = 1;
};

}  // namespace migrationd::alarms
