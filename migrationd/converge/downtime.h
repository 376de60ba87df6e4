// SPDX-License-Identifier: GPL-2.0-or-later
// How long a guest may stand still at the switchover of its live migration, while the job goes on.
#pragma once

#include "migrationd/base/clock.h"

namespace migrationd::converge {

/// What a job is allowed when neither the domain nor the administrator says: QEMU's and libvirt's own default.
inline constexpr Milliseconds usual_downtime{300};

/// The downtime target for pass number `pass` over the guest's memory (the first is 1; 0: not begun).
/// QEMU switches over as soon as it expects to stay within the target, so a large one is used up even by an idle guest:
/// the target begins small and grows only as the guest does not converge, up to `most` (0: usual_downtime), which it has
/// from the eighth pass on. Never more than `most`.
Milliseconds downtime_target(int pass, Milliseconds most);

}  // namespace migrationd::converge
