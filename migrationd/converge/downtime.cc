// SPDX-License-Identifier: GPL-2.0-or-later
// See downtime.h.
#include "migrationd/converge/downtime.h"

#include <algorithm>

namespace migrationd::converge {

namespace {

/// What QEMU needs itself to stop a guest and to save its devices is a few times this, so that less would shorten nothing.
constexpr Milliseconds least{5};
/// Passes that a guest has to converge to `least`.
constexpr int patient_passes = 2;
constexpr int last_step = 8;

}  // namespace

Milliseconds downtime_target(int pass, Milliseconds most) {
  if (most.count() <= 0) most = usual_downtime;
  if (pass >= last_step) return most;
  Milliseconds target = least;
  for (int step = patient_passes; step < pass; ++step) target *= 2;
  return std::min(target, most);
}

}  // namespace migrationd::converge
