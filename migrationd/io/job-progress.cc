// SPDX-License-Identifier: GPL-2.0-or-later
// virDomainGetJobStats, as figures.
#include "migrationd/io/job-progress.h"

namespace migrationd::io {

namespace {

/// The parameters that libvirt made for us.
struct JobStatistics {
  virTypedParameterPtr list = nullptr;
  int count = 0;
  ~JobStatistics() { virTypedParamsFree(list, count); }
  std::uint64_t operator[](const char* field) const {
    unsigned long long value = 0;
    return virTypedParamsGetULLong(list, count, field, &value) == 1 ? value : 0;
  }
  int number(const char* field) const {
    int value = 0;
    return virTypedParamsGetInt(list, count, field, &value) == 1 ? value : 0;
  }
};

}  // namespace

Result<std::optional<JobProgress>> read_job_progress(const Connection& connection, const DomainUuid& uuid) {
  auto domain = find_domain(connection, uuid);
  if (!domain) return Error{domain.error()};
  JobStatistics said;
  int type = VIR_DOMAIN_JOB_NONE;
  if (virDomainGetJobStats(domain.value().get(), &type, &said.list, &said.count, 0) < 0)
    return libvirt_error("read the statistics of the migration of " + uuid.str());
  if (type == VIR_DOMAIN_JOB_NONE) return std::optional<JobProgress>();
  JobProgress progress;
  progress.elapsed = Milliseconds(said[VIR_DOMAIN_JOB_TIME_ELAPSED]);
  progress.total_bytes = said[VIR_DOMAIN_JOB_DATA_TOTAL];
  progress.remaining_bytes = said[VIR_DOMAIN_JOB_DATA_REMAINING];
  if (progress.total_bytes == 0) {  // libxl and older QEMU drivers give only one of the two
    progress.total_bytes = said[VIR_DOMAIN_JOB_MEMORY_TOTAL];
    progress.remaining_bytes = said[VIR_DOMAIN_JOB_MEMORY_REMAINING];
  }
  progress.bytes_per_second = said[VIR_DOMAIN_JOB_MEMORY_BPS] + said[VIR_DOMAIN_JOB_DISK_BPS];
  progress.iteration = said[VIR_DOMAIN_JOB_MEMORY_ITERATION];
  progress.memory_bytes_per_second = said[VIR_DOMAIN_JOB_MEMORY_BPS];
  progress.memory_remaining_bytes = said[VIR_DOMAIN_JOB_MEMORY_REMAINING];
  progress.memory_sent_bytes = said[VIR_DOMAIN_JOB_MEMORY_PROCESSED];
  progress.written_bytes_per_second = said[VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE] * said[VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE];
  progress.throttle_percent = said.number(VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE);
  return std::optional(progress);
}

}  // namespace migrationd::io
