// SPDX-License-Identifier: GPL-2.0-or-later
// The part of LibvirtHypervisor that has a domain begin to execute.
#include "migrationd/io/copy-on-write.h"
#include "migrationd/io/libvirt-hypervisor.h"

namespace migrationd::io {

namespace {

/// A boot begins afresh, as `virsh start --force-boot`: a memory image that was saved here is older than the disks as soon as
/// the domain ran again anywhere, and would destroy them. libvirt's Xen driver boots from it unasked, QEMU's leaves it for
/// the next virsh start. What was done, for the log; empty: there was none. Error: it must not be booted.
Result<std::string> remove_managed_save(const Connection& connection, const DomainUuid& uuid, const std::string& uri) {
  bool missing = false;
  const Result<DomainHandle> domain = find_domain(connection, uuid, &missing);
  // An error of another kind is the boot's to find out.
  if (!domain || virDomainHasManagedSaveImage(domain.value().get(), 0) != 1) return std::string();
  if (virDomainManagedSaveRemove(domain.value().get(), 0) == 0)
    return std::string("a managed save of it was found here and removed: it boots afresh, because its disks may be newer than that memory");
  const std::string why = libvirt_error("remove its managed save").text;
  if (uri.starts_with("xen")) return Error{why + ": libvirt would go back to that old state; run virsh managedsave-remove"};
  return why + ": it boots afresh, but virsh start would go back to that old state";
}

/// What was done beside the boot, for the log.
Result<std::string> boot_domain(const Connection& connection, const engine::Definition& definition, const LibvirtConfig& config,
                                const std::stop_token& given_up) {
  const std::string what = "boot domain " + definition.name;
  const auto old_state = remove_managed_save(connection, definition.uuid, config.uri);
  if (!old_state) return Error{what + ": " + old_state.error()};
  std::string note;
  const auto add = [&note](const std::string& more) { note += more.empty() || note.empty() ? more : "; " + more; };
  add(old_state.value());
  if (definition.disk) {
    const auto made = make_disk(*definition.disk, definition.xml, config.disk_limit, given_up);
    if (!made) return Error{what + ": " + made.error()};
    add(made.value());
  }
  if (given_up.stop_requested()) return Error{what + ": it was given up before the domain was created"};
  const DomainHandle domain(virDomainCreateXML(connection.get(), definition.xml.c_str(), VIR_DOMAIN_NONE));
  if (!domain) return libvirt_error(what);
  return note;
}

}  // namespace

void LibvirtHypervisor::boot(const engine::Definition& definition, engine::Callback<Outcome> done) {
  const Milliseconds limit = config_.boot_limit + (definition.disk ? 3 * config_.disk_limit : Milliseconds{0});
  give_up_boot(definition.uuid);
  const std::stop_source given_up;
  boots_[definition.uuid] = given_up;
  call<std::string>(
      definition.uuid.str(), "boot domain " + definition.name, limit,
      [definition, config = config_, token = given_up.get_token()](const Connection& connection) {
        return boot_domain(connection, definition, config, token);
      },
      [this, uuid = definition.uuid, name = definition.name, given_up, done = std::move(done)](Result<std::string> booted) mutable {
        given_up.request_stop();  // at its limit its thread goes on
        if (const auto last = boots_.find(uuid); last != boots_.end() && last->second == given_up) boots_.erase(last);
        if (booted && !booted.value().empty()) log_.raise(AlarmKind::managed_save_removed, Subject::domain(uuid, name), booted.value());
        const Outcome outcome = booted ? Outcome(Done{}) : Outcome(Error{booted.error()});
        // The engine looks at the view next, so it must show the boot already.
        read(uuid, [outcome, done] { done(outcome); });
      });
}

void LibvirtHypervisor::give_up_boot(const DomainUuid& uuid) {
  if (const auto boot = boots_.find(uuid); boot != boots_.end()) boot->second.request_stop();
}

}  // namespace migrationd::io
