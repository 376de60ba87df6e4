// SPDX-License-Identifier: GPL-2.0-or-later
// What the cluster manager's history of fencings proves, although its times are of a clock that can be set.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"

namespace migrationd::io {

/// A successful power fencing (off or reboot) in the history.
struct Fencing {
  Milliseconds completed{0};  ///< by the wall clock of the node that noted it, since the epoch
  std::string key;            ///< tells it from the others of its target
};

/// Both clocks at one moment.
struct Clocks {
  Instant boot;
  Milliseconds wall{0};
};

/// What the history of fencings proves. Its times are of the wall clock, which can be set; the last word of a node is of
/// the boot clock, which can't. So a fencing that was in the history before the last word never proves anything, nor
/// does one from the future, nor one that the very first look found: the clock may have been set back before that. And
/// one from a time that the wall clock has shown twice proves only when an earlier look, itself after the last word, did
/// not find it. No clock is read and nothing is asked here.
class FencingMemory {
 public:
  /// To be told often: a step of the wall clock is found by comparing. True: it was set back, so all nodes' histories
  /// want to be looked at.
  bool clocks(const Clocks& now);

  /// A look at the history of `node` that was asked for at `asked` and answered at `answered`.
  void looked(const NodeName& node, Instant asked, Instant answered, const std::vector<Fencing>& found);

  struct Verdict {
    bool proven = false;
    std::string doubt;  ///< why a fencing that seems recent proves nothing; empty: there is none
  };
  /// Was one of `found`, that was just told to `looked`, after the last word at `since`?
  Verdict judge(const NodeName& node, Instant since, const Clocks& now, const std::vector<Fencing>& found) const;

 private:
  struct Seen {
    Instant first;                 ///< it was in the history at this moment
    std::optional<Instant> absent; ///< it was not yet there at this moment
  };
  std::map<NodeName, std::map<std::string, Seen>> seen_;
  std::map<NodeName, Instant> last_look_;
  std::optional<Clocks> last_;
  Milliseconds shown_before_{0};   ///< the latest time that the wall clock can have shown before it was set back
};

}  // namespace migrationd::io
