// SPDX-License-Identifier: GPL-2.0-or-later
// How far a migration has come, asked of libvirt only when somebody wants to see it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// The figures of virDomainGetJobStats; 0 is also "not known (yet)".
struct JobProgress {
  Milliseconds elapsed{0};
  std::uint64_t total_bytes = 0;       ///< memory, and disks that are copied along
  std::uint64_t remaining_bytes = 0;   ///< of this pass; what the guest writes meanwhile comes with the next
  std::uint64_t bytes_per_second = 0;
  std::uint64_t iteration = 0;         ///< the pass over the memory
  std::uint64_t memory_remaining_bytes = 0;
  std::uint64_t memory_bytes_per_second = 0;
  std::uint64_t memory_sent_bytes = 0;          ///< since the begin, what was sent twice counted twice
  std::uint64_t written_bytes_per_second = 0;   ///< memory that the guest writes to
  int throttle_percent = 0;                     ///< by which the guest is slowed
  std::string plan;                             ///< why the job is steered as it is; empty: it is not ours
};

using JobsProgress = std::map<DomainUuid, JobProgress>;

/// Of the migration that leaves from here; nothing: no such job runs. Blocks.
Result<std::optional<JobProgress>> read_job_progress(const Connection& connection, const DomainUuid& uuid);

}  // namespace migrationd::io
