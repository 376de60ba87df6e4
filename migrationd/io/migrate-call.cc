// SPDX-License-Identifier: GPL-2.0-or-later
// See migrate-call.h.
#include "migrationd/io/migrate-call.h"

#include <cstdlib>
#include <memory>
#include <string_view>

#include "migrationd/io/copy-mark.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/migrate-options.h"

namespace migrationd::io {

using engine::MigrateOrder;

namespace {

class Parameters {
 public:
  ~Parameters() { virTypedParamsFree(list_, count_); }
  bool add(const char* field, const std::string& value) {
    return virTypedParamsAddString(&list_, &count_, &room_, field, value.c_str()) == 0;
  }
  bool add(const char* field, unsigned long long value) {
    return virTypedParamsAddULLong(&list_, &count_, &room_, field, value) == 0;
  }
  bool add(const char* field, int value) { return virTypedParamsAddInt(&list_, &count_, &room_, field, value) == 0; }
  virTypedParameterPtr list() { return list_; }
  unsigned count() const { return static_cast<unsigned>(count_); }

 private:
  virTypedParameterPtr list_ = nullptr;
  int count_ = 0;
  int room_ = 0;
};

/// The definition for the destination: the live one with secrets and the copy's mark.
Result<std::string> destination_xml(virDomainPtr domain) {
  int state = 0, reason = 0;
  if (virDomainGetState(domain, &state, &reason, 0) < 0) return libvirt_error("read the state");
  bool paused_by_somebody = state == VIR_DOMAIN_PAUSED && reason != VIR_DOMAIN_PAUSED_MIGRATION;
  std::unique_ptr<char, decltype(&std::free)> xml(
      virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE), &std::free);
  if (!xml) return libvirt_error("read the definition");
  return with_copy_mark(xml.get(), !paused_by_somebody);
}

/// Gives the domain a target for the downtime, and the one it had back after a job that failed: it would else stay
/// and hinder the next one, also when somebody else migrates.
class DowntimeTarget {
 public:
  DowntimeTarget(virDomainPtr domain, Milliseconds target) : domain_(domain) {
    known_ = virDomainMigrateGetMaxDowntime(domain, &before_, 0) == 0;
    // Set before the job: an idle guest converges before anybody could set it during the job.
    if (known_) virDomainMigrateSetMaxDowntime(domain, static_cast<unsigned long long>(target.count()), 0);
  }
  DowntimeTarget(const DowntimeTarget&) = delete;
  DowntimeTarget& operator=(const DowntimeTarget&) = delete;
  ~DowntimeTarget() {
    if (known_ && !migrated_) virDomainMigrateSetMaxDowntime(domain_, before_, 0);
  }
  void migrated() { migrated_ = true; }

 private:
  virDomainPtr domain_;
  unsigned long long before_ = 0;
  bool known_ = false;
  bool migrated_ = false;
};

/// Only QEMU's driver can slow a guest that writes too fast; the others refuse to begin.
bool slows_by_itself(const Connection& connection) {
  const char* type = virConnectGetType(connection.get());
  return type != nullptr && std::string_view(type) == "QEMU";
}

}  // namespace

Outcome migrate_now(const Connection& connection, const DomainUuid& uuid, const MigrateOrder& order, const std::string& disks_uri,
                    const converge::Opening& opening, std::atomic<bool>& may_kill) {
  std::string what = "migrate domain " + uuid.str() + " to " + order.to;
  Result<MigrateOptions> options = parse_migrate_options(order.options);
  if (!options) return Error{what + ": " + options.error()};
  allow_throttling(options.value(), slows_by_itself(connection) ? opening.throttle_first : 0, opening.throttle_step);
  Result<DomainHandle> found = find_domain(connection, uuid);
  if (!found) return Error{what + ": " + found.error()};
  virDomainPtr domain = found.value().get();
  // Of its own arrival here one may be left; what a post-copy that fails leaves here would pass for a copy with it.
  if (has_copy_mark(domain) && !remove_copy_mark(domain) && order.post_copy) return libvirt_error(what + ": remove the mark of its arrival");
  unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PAUSED | options.value().flags;
  // libvirt has it one way or the other: here the guards of the two daemons see to it that the copy comes paused.
  if (order.post_copy) flags = (flags | VIR_MIGRATE_POSTCOPY) & ~static_cast<unsigned>(VIR_MIGRATE_PAUSED);
  // A definition stays where it is: its file may be the one that config= names. Only who asks for it has it removed.
  if (virDomainIsPersistent(domain) != 1) flags &= ~static_cast<unsigned>(VIR_MIGRATE_UNDEFINE_SOURCE);
  Result<std::string> xml = destination_xml(domain);
  if (!xml) return Error{what + ": " + xml.error()};
  const Result<DomainXml> definition = parse_domain_xml(xml.value(), "the running definition");
  may_kill = definition.ok() && kernel_lets_go(definition.value());
  Parameters parameters;
  bool ok = parameters.add(VIR_MIGRATE_PARAM_DEST_XML, xml.value());
  if (!order.migrate_uri.empty()) ok = ok && parameters.add(VIR_MIGRATE_PARAM_URI, order.migrate_uri);
  constexpr unsigned copied_storage = VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC;
  if (!disks_uri.empty() && (flags & copied_storage) != 0) ok = ok && parameters.add(VIR_MIGRATE_PARAM_DISKS_URI, disks_uri);
  if (order.speed_mib != 0) ok = ok && parameters.add(VIR_MIGRATE_PARAM_BANDWIDTH, static_cast<unsigned long long>(order.speed_mib));
  for (const MigrateParameter& one : options.value().parameters)
    ok = ok && std::visit([&](const auto& value) { return parameters.add(one.field.c_str(), value); }, one.value);
  if (!ok) return libvirt_error(what);
  DowntimeTarget downtime(domain, opening.downtime);
  if (virDomainMigrateToURI3(domain, order.uri.c_str(), parameters.list(), parameters.count(), flags) < 0)
    return libvirt_error(what);
  downtime.migrated();
  return Done{};
}

}  // namespace migrationd::io
