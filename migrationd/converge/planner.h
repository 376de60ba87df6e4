// SPDX-License-Identifier: GPL-2.0-or-later
// How a migration comes to its end in the time it has, with the shortest standstill of the guest. Pure: figures of the job
// in, advice with its reason out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "migrationd/base/clock.h"

namespace migrationd::converge {

/// What a job may cost.
struct Budget {
  Milliseconds time{0};      ///< from its begin until it is aborted; 0: no limit
  Milliseconds downtime{0};  ///< the most that the guest may stand still for; 0: usual_downtime
  bool throttle = true;      ///< the guest may be slowed
  bool post_copy = false;    ///< the domain consents: the death of either node in the middle then kills the guest
};

/// How a job is begun: what can't be changed on its way.
struct Opening {
  Milliseconds downtime{0};
  int throttle_first = 0;  ///< per cent by which QEMU slows a guest that does not converge; 0: it does not
  int throttle_step = 0;   ///< per cent by which it slows it further
};

/// The job's figures at one moment; 0 is also "not known (yet)".
struct Sample {
  Milliseconds elapsed{0};
  int pass = 0;                          ///< over the guest's memory; the first is 1
  std::uint64_t remaining = 0;           ///< bytes of memory that this pass has still to send
  std::uint64_t bytes_per_second = 0;    ///< what the network carries
  std::uint64_t written_per_second = 0;  ///< bytes of memory that the guest wrote to since the pass before; one page counts once
  int throttle = 0;                      ///< per cent by which the guest is slowed now
};

struct Advice {
  enum class Step { go_on, post_copy };
  Step step = Step::go_on;
  Milliseconds downtime{0};          ///< the target from now on
  std::optional<Milliseconds> left;  ///< until the switchover, where it is in sight
  std::string reason;                ///< for people
};

/// Of one job.
class Planner {
 public:
  explicit Planner(Budget budget);
  Opening opening() const;
  /// When a pass begins. Without news in the sample its advice is the one of before.
  Advice at(const Sample& sample);

 private:
  /// What is left after a pass, of what was left before it; above 1 it grows. 0: not known.
  double shrinks_to(const Sample& sample) const;
  Advice advice(const Sample& sample);
  /// Grows from the least to all that is allowed while the job stalls.
  Milliseconds stalled_target(const Sample& sample);

  Budget budget_;
  int pass_ = 0;
  std::uint64_t remaining_ = 0;  ///< as the pass began
  double measured_ = 0;          ///< of what a pass left the next one left so much; 0: not known
  struct Stall {
    Milliseconds since{0};
    int pass = 0;
    std::uint64_t remaining = 0;  ///< as it began
    Milliseconds patience{0};     ///< until the target is doubled
  };
  std::optional<Stall> stall_;
  Milliseconds target_;  ///< of the last advice
};

}  // namespace migrationd::converge
