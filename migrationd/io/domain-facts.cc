// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-facts.h.
#include "migrationd/io/domain-facts.h"

#include <cstdlib>

#include "migrationd/io/copy-mark.h"

namespace migrationd::io {

namespace {

/// `before`: what was known, kept when libvirt can't say without waiting for a call that hangs in QEMU.
DomainJob job_of(virDomainPtr domain, DomainJob before) {
  virDomainControlInfo control{};
  if (virDomainGetControlInfo(domain, &control, 0) == 0 &&
      (control.state == VIR_DOMAIN_CONTROL_OCCUPIED || control.state == VIR_DOMAIN_CONTROL_ERROR))
    return before;
  // At the destination of a migration libvirt refuses statistics: that is how an incoming job shows.
  virDomainJobInfo info{};
  if (virDomainGetJobInfo(domain, &info) < 0)
    return libvirt_error_code() == VIR_ERR_OPERATION_UNSUPPORTED ? DomainJob::incoming : DomainJob::none;
  if (info.type == VIR_DOMAIN_JOB_NONE || info.type == VIR_DOMAIN_JOB_COMPLETED || info.type == VIR_DOMAIN_JOB_FAILED ||
      info.type == VIR_DOMAIN_JOB_CANCELLED)
    return DomainJob::none;
  virTypedParameterPtr parameters = nullptr;
  int count = 0, type = 0, operation = VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT;
  if (virDomainGetJobStats(domain, &type, &parameters, &count, 0) == 0) {
    virTypedParamsGetInt(parameters, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsFree(parameters, count);
  }
  if (operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) return DomainJob::outgoing;
  return operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN ? DomainJob::incoming : DomainJob::other;
}

}  // namespace

Result<std::optional<DomainFacts>> read_domain_facts(const Connection& connection, const DomainUuid& uuid,
                                                     std::optional<DomainJob> before) {
  const std::string what = "read the state of domain " + uuid.str();
  bool missing = false;
  Result<DomainHandle> found = find_domain(connection, uuid, &missing);
  if (!found && missing) return std::optional<DomainFacts>();
  if (!found) return Error{found.error()};
  virDomainPtr domain = found.value().get();
  auto ended_meanwhile = [] { return libvirt_error_code() == VIR_ERR_NO_DOMAIN; };
  int active = virDomainIsActive(domain);
  if (active == 0 && virDomainIsPersistent(domain) == 0) return Error{what + ": it is just being started or ended"};
  if (active == 0 || (active < 0 && ended_meanwhile())) return std::optional<DomainFacts>();
  if (active < 0) return libvirt_error(what);
  DomainFacts facts;
  facts.name = virDomainGetName(domain);
  if (virDomainGetState(domain, &facts.state, &facts.reason, 0) < 0) {
    if (ended_meanwhile()) return std::optional<DomainFacts>();
    return libvirt_error(what);
  }
  if (facts.state == VIR_DOMAIN_SHUTOFF) return std::optional<DomainFacts>();
  // Both from libvirt's memory: QEMU is not asked.
  if (virDomainInfo info{}; virDomainGetInfo(domain, &info) == 0) {
    facts.memory_kib = info.maxMem;
    facts.vcpus = info.nrVirtCpu;
  } else {
    facts.memory_kib = virDomainGetMaxMemory(domain);
  }
  facts.job = job_of(domain, before.value_or(DomainJob::none));
  if (facts.state == VIR_DOMAIN_PAUSED) {
    facts.copy_mark = has_copy_mark(domain);
  } else if (facts.state == VIR_DOMAIN_RUNNING && (!before || *before == DomainJob::incoming) && facts.job == DomainJob::none && has_copy_mark(domain)) {
    // It was resumed, but whoever did it could not remove the mark any more; or it came in post-copy and ran by itself.
    remove_copy_mark(domain);
  }
  return std::optional<DomainFacts>(std::move(facts));
}

}  // namespace migrationd::io
