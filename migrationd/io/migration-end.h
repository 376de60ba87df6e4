// SPDX-License-Identifier: GPL-2.0-or-later
// How a migration job ended, judged from what was seen of it. Pure, so that every order in which libvirt's
// events, the emulator's death and the answer of the call can come is a unit test.
//
// The quickest certain proof that the source will not run the domain again is the death of its emulator (a
// pidfd opened before the job) after libvirt reported the switchover (Suspended/Migrated): libvirt's own call
// returns up to 200 ms later. A death without a switchover seen waits a moment for the call's or the event's
// word before it is called "vanished".
#pragma once

#include <optional>
#include <string>

#include "migrationd/engine/world.h"

namespace migrationd::io {

struct JobFacts {
  enum class Call { none, running, succeeded, failed };
  Call call = Call::none;            ///< none: a job that we only watch
  std::string call_error;
  bool has_emulator = false;         ///< a pidfd watches the emulator (not under Xen)
  bool emulator_dead = false;
  bool waited_after_death = false;   ///< the moment of patience after an unexplained death is over
  bool switchover_seen = false;      ///< Suspended/Migrated, and no Resumed since
  bool stopped_migrated = false;     ///< Stopped/Migrated
  /// A view read after the call's end (or at any time when only watching).
  std::optional<engine::DomainView> view;
};

/// The end, or nothing as long as it isn't certain.
std::optional<engine::MigrationEnd> judge_job(const JobFacts& facts);

}  // namespace migrationd::io
