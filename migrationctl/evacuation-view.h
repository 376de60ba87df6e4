// SPDX-License-Identifier: GPL-2.0-or-later
// How far the evacuation of a node has come, from what its daemon says from second to second. Pure.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "migrationctl/status-view.h"

namespace migrationctl {

enum class Leave {
  waiting,   ///< it runs here, and nothing has begun
  moving,    ///< it migrates
  live,      ///< it went live
  stopping,  ///< it is really stopped
  stopped,   ///< it is gone from here, by a stop
  stays,     ///< the cluster has nothing left to do, and it is here
};

/// The word for scripts: "waiting", "moving", ...
const char* to_string(Leave state);

/// A domain that is to leave.
struct Leaving {
  std::string resource;
  bool healthy = true;    ///< when it began
  bool known = false;     ///< the daemon has it under this name
  Leave state = Leave::waiting;
  std::string to;         ///< who gets it, or has it; empty: not known
  Job job;                ///< while it is moving; nothing is known before the hypervisor says so
  Milliseconds took{0};   ///< from the beginning until it had left
};

class Evacuation {
 public:
  /// `resources` are those to follow, as the daemon's `status` shows them before it begins.
  Evacuation(const std::vector<std::string>& resources, const Status& status);

  /// Takes over what the daemon says after `elapsed`. True: something is different now.
  bool observe(const Status& status, Milliseconds elapsed);
  /// Those that are still here stay; `resource` was found active on `node` after it had stopped.
  void nothing_left_to_do();
  void found_on(const std::string& resource, const std::string& node);

  bool finished() const;  ///< nothing of it is here any more, or it stays
  bool good() const;      ///< all that were healthy went live
  const std::vector<Leaving>& domains() const { return domains_; }

  /// A bar for each domain and one for all, `width` columns at most; 0: any. Ends with a newline.
  std::string bars(std::size_t width) const;
  /// What became of each, with its time, and in sum.
  std::string summary(const std::string& node) const;
  /// resource, state, to, percent, took_ms.
  static nlohmann::ordered_json json(const Leaving& domain);

 private:
  std::vector<Leaving> domains_;
};

}  // namespace migrationctl
