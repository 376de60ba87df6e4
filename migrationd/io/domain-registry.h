// SPDX-License-Identifier: GPL-2.0-or-later
// What is known of the domains of this node, and what may be said of it: the view that the engine decides on.
// Knows no libvirt connection and no clock; libvirt-hypervisor.cc feeds it.
//
// What a state means (libvirt 9.0, QEMU, found by experiment):
//   - the destination of a live migration is paused/migration while the copy arrives, with an incoming job;
//   - a copy that was sent with VIR_MIGRATE_PAUSED and is complete is paused/user, the same as a domain that an
//     administrator paused. So the source puts a mark into the copy's definition (metadata element `copy`, see
//     copy-mark.h), which survives a restart of libvirtd and of our daemon; resume() removes it;
//   - a source in switchover is paused/migration with an outgoing job; after a failed job libvirt resumes it, or
//     leaves it paused/migration without a job: complete and resumable.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/engine/world.h"

namespace migrationd::io {

/// The job libvirt reports for a domain.
enum class DomainJob { none, outgoing, incoming, other };

/// What libvirt said of one domain, by its own numbers (virDomainState and its reason).
struct DomainFacts {
  std::string name;
  int state = 0;
  int reason = 0;
  DomainJob job = DomainJob::none;
  bool copy_mark = false;  ///< arrived by one of our migrations, never resumed
  std::uint64_t memory_kib = 0;
  unsigned vcpus = 0;
};

/// The view of a domain that is listed. `detail` is the state in words.
engine::DomainView view_of(const DomainFacts& facts);

bool same_view(const engine::DomainView& a, const engine::DomainView& b);

class DomainRegistry {
 public:
  /// Whether the emulator process is alive; null where there is no such process.
  using Alive = std::function<bool()>;

  /// `ends_vanish`: a reboot makes the domain vanish for a moment (Xen), so an end that might be a reboot's is
  /// no end, and a domain not in the first listing may just be rebooting.
  explicit DomainRegistry(bool ends_vanish = false) : ends_vanish_(ends_vanish) {}

  /// How long a domain that vanished without a seen end is not yet called absent.
  static constexpr Milliseconds reboot_gap{5000};
  /// So long a proof without libvirt is good: then libvirt may be back, with anything.
  static constexpr Milliseconds proof_holds{2000};

  /// The connection is lost: nothing is known until the next complete listing.
  void lost();
  /// The domains of a complete listing. Returns all that must be read now: these, and those that were listed
  /// before (not listed any more, or started since the listing: only reading them tells).
  std::set<DomainUuid> listed(const std::set<DomainUuid>& uuids);
  /// After listed() and a set(), vanished() or unreadable() for each of its answer: views are fresh.
  void complete(Instant now);
  bool fresh() const { return fresh_; }

  void set(const DomainUuid& uuid, const DomainFacts& facts, Alive alive);
  /// libvirt doesn't list it (any more).
  void vanished(const DomainUuid& uuid, Instant now);
  /// It couldn't be read: unknown until it can, also when it was not known before.
  void unreadable(const DomainUuid& uuid, const std::string& why);
  /// A lifecycle event says that it is active: unknown until it is read.
  void sighted(const DomainUuid& uuid);
  /// A lifecycle event Stopped with this detail was seen.
  void stopped(const DomainUuid& uuid, int detail, Instant now);
  /// And its emulator executes no more, though it may not be dead yet: absent.
  void executes_no_more(const DomainUuid& uuid);
  /// libvirt was found down, and no emulator of it lives: absent, for the moment, although libvirt doesn't answer.
  void proven_absent(const DomainUuid& uuid, Instant now);
  /// An emulator that libvirt doesn't list is alive.
  void stray(const DomainUuid& uuid, Alive alive, Instant now);

  engine::DomainView look(const DomainUuid& uuid, Instant now) const;
  /// All domains that are not absent.
  std::map<DomainUuid, engine::DomainView> all(Instant now) const;
  std::set<DomainUuid> known() const;
  const DomainFacts* facts(const DomainUuid& uuid) const;
  /// Domains that vanished but may not be called absent yet.
  std::set<DomainUuid> unsettled(Instant now) const;
  /// Forgets those that are absent by now.
  void settle(Instant now);

 private:
  struct Entry {
    bool listed = false;
    bool doubted = false;  ///< only listed because it couldn't be read: libvirt has never named it
    std::optional<DomainFacts> facts;
    std::string unreadable;
    bool end_seen = false;
    Instant vanished_at;
    Alive alive;
  };
  engine::DomainView view(const Entry& entry, Instant now) const;
  std::map<DomainUuid, Instant> proven_absent_;  ///< without libvirt, which was down at this moment
  bool ends_vanish_;
  bool fresh_ = false;
  std::optional<Instant> first_listing_;
  std::map<DomainUuid, Entry> entries_;
};

}  // namespace migrationd::io
