// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-registry.h.
#include "migrationd/io/domain-registry.h"

#include <libvirt/libvirt.h>

namespace migrationd::io {

using engine::DomainView;
using handoff::Here;

namespace {

void set_view(DomainView& view, Here here, bool healthy, const char* detail) {
  view.here = here;
  view.healthy = healthy;
  view.detail = detail;
}

void running_view(DomainView& view, int reason) {
  switch (static_cast<virDomainRunningReason>(reason)) {
    case VIR_DOMAIN_RUNNING_POSTCOPY:
      view.fetching = true;
      return set_view(view, Here::running, true, "running (post-copy)");
    case VIR_DOMAIN_RUNNING_POSTCOPY_FAILED:
      view.fetching = true;
      return set_view(view, Here::running, false, "running (post-copy failed: memory is missing)");
    case VIR_DOMAIN_RUNNING_UNKNOWN:
    case VIR_DOMAIN_RUNNING_BOOTED:
    case VIR_DOMAIN_RUNNING_MIGRATED:
    case VIR_DOMAIN_RUNNING_RESTORED:
    case VIR_DOMAIN_RUNNING_FROM_SNAPSHOT:
    case VIR_DOMAIN_RUNNING_UNPAUSED:
    case VIR_DOMAIN_RUNNING_MIGRATION_CANCELED:
    case VIR_DOMAIN_RUNNING_SAVE_CANCELED:
    case VIR_DOMAIN_RUNNING_WAKEUP:
    case VIR_DOMAIN_RUNNING_CRASHED: return set_view(view, Here::running, true, "running");
  }
  set_view(view, Here::running, true, "running");
}

void paused_view(DomainView& view, const DomainFacts& facts) {
  switch (static_cast<virDomainPausedReason>(facts.reason)) {
    case VIR_DOMAIN_PAUSED_MIGRATION:
      if (facts.job == DomainJob::incoming) return set_view(view, Here::incoming, false, "a copy that arrives");
      if (facts.job == DomainJob::none && facts.copy_mark) return set_view(view, Here::incoming, false, "a copy that isn't complete");
      return set_view(view, Here::paused, false, facts.job == DomainJob::outgoing ? "paused (switchover)" : "paused (a migration failed)");
    case VIR_DOMAIN_PAUSED_STARTING_UP:
      if (facts.copy_mark) return set_view(view, Here::incoming, false, "a copy that begins to arrive");
      return set_view(view, Here::unknown, false, "is just being started");
    case VIR_DOMAIN_PAUSED_POSTCOPY:
    case VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
      // At the destination, whose definition has the mark, the copy is still being filled.
      if (facts.copy_mark) return set_view(view, Here::incoming, false, "a copy that isn't complete");
      return set_view(view, Here::remains, false, facts.reason == VIR_DOMAIN_PAUSED_POSTCOPY ? "in post-copy: its destination fetches its memory"
                                                                                             : "post-copy failed: its destination can't fetch its memory");
    case VIR_DOMAIN_PAUSED_IOERROR: return set_view(view, Here::running, false, "paused (I/O error)");
    case VIR_DOMAIN_PAUSED_WATCHDOG: return set_view(view, Here::running, false, "paused (its watchdog fired)");
    case VIR_DOMAIN_PAUSED_CRASHED:
      view.crashed = true;
      return set_view(view, Here::running, false, "paused (the guest crashed)");
    case VIR_DOMAIN_PAUSED_SHUTTING_DOWN:
      view.ending = true;
      return set_view(view, Here::running, false, "shutting down");
    case VIR_DOMAIN_PAUSED_SAVE:
      view.ending = true;
      return set_view(view, Here::running, false, "being saved");
    case VIR_DOMAIN_PAUSED_UNKNOWN:
    case VIR_DOMAIN_PAUSED_USER:
      if (facts.copy_mark) return set_view(view, Here::paused, false, "a complete copy, not resumed yet");
      return set_view(view, Here::running, true, "paused (by an administrator)");
    case VIR_DOMAIN_PAUSED_DUMP: return set_view(view, Here::running, true, "paused (memory dump)");
    case VIR_DOMAIN_PAUSED_FROM_SNAPSHOT:
    case VIR_DOMAIN_PAUSED_SNAPSHOT: return set_view(view, Here::running, true, "paused (snapshot)");
  }
  set_view(view, Here::running, true, "paused");
}

}  // namespace

DomainView view_of(const DomainFacts& facts) {
  DomainView view;
  view.name = facts.name;
  view.memory_kib = facts.memory_kib;
  view.vcpus = facts.vcpus;
  view.job = facts.job == DomainJob::outgoing;
  switch (static_cast<virDomainState>(facts.state)) {
    case VIR_DOMAIN_RUNNING:
      running_view(view, facts.reason);
      return view;
    case VIR_DOMAIN_PAUSED:
      paused_view(view, facts);
      return view;
    case VIR_DOMAIN_BLOCKED:
      set_view(view, Here::running, true, "running (blocked)");
      return view;
    case VIR_DOMAIN_PMSUSPENDED:
      set_view(view, Here::running, true, "suspended by the guest");
      return view;
    case VIR_DOMAIN_SHUTDOWN:
      view.ending = true;
      set_view(view, Here::running, false, "shutting down");
      return view;
    case VIR_DOMAIN_CRASHED:
      view.crashed = true;
      set_view(view, Here::running, false, "crashed (the guest panicked)");
      return view;
    case VIR_DOMAIN_SHUTOFF:  // the registry is only told of active ones
    case VIR_DOMAIN_NOSTATE: break;
  }
  set_view(view, Here::unknown, false, "in a state that libvirt doesn't tell");
  return view;
}

bool same_view(const DomainView& a, const DomainView& b) {
  return a.name == b.name && a.here == b.here && a.healthy == b.healthy && a.job == b.job && a.crashed == b.crashed && a.ending == b.ending &&
         a.fetching == b.fetching && a.memory_kib == b.memory_kib && a.detail == b.detail;
}

void DomainRegistry::lost() { fresh_ = false; }

std::set<DomainUuid> DomainRegistry::listed(const std::set<DomainUuid>& uuids) {
  for (const DomainUuid& uuid : uuids) sighted(uuid);
  std::set<DomainUuid> to_read;
  for (const auto& [uuid, entry] : entries_)
    if (entry.listed) to_read.insert(uuid);
  return to_read;
}

void DomainRegistry::sighted(const DomainUuid& uuid) {
  Entry& entry = entries_[uuid];
  entry.doubted = false;
  if (entry.listed) return;
  entry = {};
  entry.listed = true;
  entry.unreadable = "its state isn't read yet";
}

void DomainRegistry::complete(Instant now) {
  fresh_ = true;
  if (!first_listing_) first_listing_ = now;
}

void DomainRegistry::set(const DomainUuid& uuid, const DomainFacts& facts, Alive alive) {
  Entry& entry = entries_[uuid];
  entry.listed = true;
  entry.facts = facts;
  entry.unreadable.clear();
  entry.end_seen = false;
  entry.doubted = false;
  entry.alive = std::move(alive);
}

void DomainRegistry::vanished(const DomainUuid& uuid, Instant now) {
  auto at = entries_.find(uuid);
  if (at == entries_.end() || !at->second.listed) return;
  if (at->second.doubted) {
    entries_.erase(at);
    return;
  }
  at->second.listed = false;
  at->second.vanished_at = now;
}

void DomainRegistry::unreadable(const DomainUuid& uuid, const std::string& why) {
  auto [at, added] = entries_.try_emplace(uuid);
  Entry& entry = at->second;
  if (added) entry.doubted = true;
  entry.listed = true;
  entry.unreadable = why;
}

void DomainRegistry::stopped(const DomainUuid& uuid, int detail, Instant now) {
  auto at = entries_.find(uuid);
  if (at == entries_.end()) return;
  at->second.doubted = false;
  vanished(uuid, now);
  // A guest of Xen that reboots is reported as stopped (shutdown or crashed) and starts again by itself.
  bool may_be_reboot = detail == VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN || detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED;
  at->second.end_seen = !ends_vanish_ || !may_be_reboot;
}

void DomainRegistry::executes_no_more(const DomainUuid& uuid) {
  if (auto at = entries_.find(uuid); at != entries_.end() && !at->second.listed) at->second.alive = nullptr;
}

void DomainRegistry::proven_absent(const DomainUuid& uuid, Instant now) { proven_absent_[uuid] = now; }

void DomainRegistry::stray(const DomainUuid& uuid, Alive alive, Instant now) {
  Entry& entry = entries_[uuid];
  if (entry.listed) return;
  if (!entry.alive) entry.vanished_at = now;
  entry.alive = std::move(alive);
}

DomainView DomainRegistry::view(const Entry& entry, Instant now) const {
  DomainView view;
  if (entry.facts) {
    view.name = entry.facts->name;
    view.memory_kib = entry.facts->memory_kib;
    view.vcpus = entry.facts->vcpus;
  }
  if (!fresh_) {
    view.detail = "libvirt doesn't answer";
    if (!entry.listed || !entry.facts || !entry.unreadable.empty() || !entry.alive || !entry.alive()) return view;
    DomainView last = view_of(*entry.facts);
    view.lives_on = last.here == Here::running && last.healthy;
    return view;
  }
  if (entry.listed) {
    if (entry.alive && !entry.alive()) {
      view.detail = "its emulator has ended, and libvirt hasn't said how";
      return view;
    }
    if (entry.facts && entry.unreadable.empty()) return view_of(*entry.facts);
    view.detail = entry.unreadable;
    return view;
  }
  if (entry.alive && entry.alive()) {
    view.detail = "libvirt doesn't list it, but its emulator is alive";
    return view;
  }
  if (!entry.end_seen && now - entry.vanished_at < reboot_gap) {
    view.detail = "vanished a moment ago; it may be rebooting";
    return view;
  }
  view.here = Here::absent;
  view.detail = "not here";
  return view;
}

DomainView DomainRegistry::look(const DomainUuid& uuid, Instant now) const {
  const auto proven = proven_absent_.find(uuid);
  if (!fresh_ && proven != proven_absent_.end() && now - proven->second < proof_holds) {
    DomainView view;
    view.here = Here::absent;
    view.detail = "libvirt is down, and no emulator of it lives";
    return view;
  }
  auto at = entries_.find(uuid);
  if (at != entries_.end()) return view(at->second, now);
  DomainView view;
  view.detail = "libvirt doesn't answer";
  if (!fresh_) return view;
  if (ends_vanish_ && now - *first_listing_ < reboot_gap) {
    view.detail = "not listed; it may be rebooting";
    return view;
  }
  view.here = Here::absent;
  view.detail = "not here";
  return view;
}

std::map<DomainUuid, DomainView> DomainRegistry::all(Instant now) const {
  std::map<DomainUuid, DomainView> views;
  for (const auto& [uuid, entry] : entries_) {
    DomainView one = view(entry, now);
    if (one.here != Here::absent) views[uuid] = one;
  }
  return views;
}

std::set<DomainUuid> DomainRegistry::known() const {
  std::set<DomainUuid> uuids;
  for (const auto& [uuid, entry] : entries_) uuids.insert(uuid);
  return uuids;
}

const DomainFacts* DomainRegistry::facts(const DomainUuid& uuid) const {
  auto at = entries_.find(uuid);
  return at != entries_.end() && at->second.listed && at->second.facts ? &*at->second.facts : nullptr;
}

std::set<DomainUuid> DomainRegistry::unsettled(Instant now) const {
  std::set<DomainUuid> uuids;
  for (const auto& [uuid, entry] : entries_)
    if (!entry.listed && fresh_ && view(entry, now).here != Here::absent) uuids.insert(uuid);
  return uuids;
}

void DomainRegistry::settle(Instant now) {
  if (!fresh_) return;
  std::erase_if(entries_, [&](const auto& item) { return !item.second.listed && view(item.second, now).here == Here::absent; });
}

}  // namespace migrationd::io
