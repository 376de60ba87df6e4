// SPDX-License-Identifier: GPL-2.0-or-later
// The hypervisor as the engine sees it; the rest of the world, and what goes for all of it: world.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/handoff/handoff.h"
#include "migrationd/recovery/ending.h"

namespace migrationd::engine {

template <class T>
using Callback = std::function<void(T)>;

/// A domain as the hypervisor shows it, from memory.
struct DomainView {
  std::string name;
  handoff::Here here = handoff::Here::unknown;
  bool healthy = false;            ///< running, and neither crashed, panicked nor stopped by an I/O error
  bool job = false;                ///< a migration job is active here (as source)
  bool crashed = false;            ///< the guest has panicked, and is still here
  bool ending = false;             ///< running, and just shuts down or is being saved
  bool fetching = false;           ///< running, and its memory still comes from where it was (post-copy)
  /// `here` is unknown for the one reason that the hypervisor is silent: when it last spoke the domain ran and was
  /// healthy, and its emulator's process is alive still. Proof enough for a monitor, for nothing else.
  bool lives_on = false;
  std::uint64_t memory_kib = 0;    ///< the most that it can have
  unsigned vcpus = 0;              ///< those that it has now; 0: not known
  std::string detail;              ///< the state in words, such as "paused (I/O error)"
};

/// How to reach the destination, in libvirt's words (virDomainMigrateToURI3).
struct MigrateOrder {
  NodeName to;
  Attempt attempt;                 ///< the claim that it answers
  bool carried = false;            ///< by the daemons themselves; no URI of it then
  std::string via;                 ///< carried: the host name to dial instead of the link's address; empty: that
  std::string uri;                 ///< dconnuri, such as qemu+tcp://node2/system
  std::string migrate_uri;         ///< such as tcp://node2-mig; empty: libvirt's choice
  Milliseconds downtime{0};        ///< target of the switchover; 0: the hypervisor's default
  std::uint64_t speed_mib = 0;     ///< bandwidth limit in MiB/s; 0: none
  Milliseconds limit{0};           ///< abort the job when it has not ended by then; 0: none
  std::string options;             ///< the parameter migrate_options
  bool auto_converge = true;       ///< the hypervisor may slow a guest that does not converge
  int priority = 0;                ///< the larger ones go first where not all can go at once
  bool post_copy = false;          ///< carried: it may go over to post-copy, when start_post_copy() says so
};

/// A job's end and the hypervisor's own word about it.
struct MigrationEnd {
  handoff::JobEnd end;
  std::string why;
};

/// A domain that is to leave, as its destination must know it.
struct Departure {
  std::string definition;                   ///< its live XML, without secrets
  std::map<std::string, std::string> host;  ///< what of the node it leaves matters to it; the hypervisor's own words
  std::uint64_t resident_kib = 0;           ///< memory that it has touched, what is to be sent; 0: not known
  bool may_start_resources = false;         ///< the hypervisor's storage pools and networks that it uses need not be active yet
};

/// A disk that is made before a boot: on top of `backing`, which stays as it is.
struct CopyOnWrite {
  std::string backing;
  std::string image;
  bool anew = false;                   ///< also when it is there
  std::vector<std::string> copied_in;  ///< files and directories of this node that are copied into the root of a new one
  std::string beside;                  ///< the file of `config`: who can't read it has not got the storage of the disk; empty: not asked
  Milliseconds time{0};                ///< in which it must be made, so that whoever waits for the boot is answered; 0: nobody waits
};

/// A domain to be booted: the libvirt XML, already checked.
struct Definition {
  DomainUuid uuid;
  std::string name;
  std::string xml;
  std::uint64_t memory_kib = 0;
  std::optional<CopyOnWrite> disk{};
};

/// A definition, as the file that was to have it says it now.
struct SavedDefinition {
  bool written = false;  ///< it differed before
  std::string xml;
};

/// Whether a domain can come to a node.
struct Fitness {
  std::string why_not;        ///< empty: it can
  bool incompatible = false;  ///< it can't while it runs, for what it is (CPU, machine type); booted anew it may
  std::string doubt;          ///< does not stand in the way
  std::optional<Milliseconds> takes{};  ///< its migration, predicted; nothing: not known
  bool ok() const { return why_not.empty(); }
  const std::string& error() const { return why_not; }
};

/// At which rate the memory of domains went to a node; 0: none has gone yet.
struct Speed {
  std::uint64_t bytes_per_second = 0;
  Milliseconds ago{0};
};

class HypervisorListener {
 public:
  virtual ~HypervisorListener() = default;
  /// The view of `uuid` changed (also: became known or unknown).
  virtual void domain_changed(const DomainUuid& uuid) = 0;
  /// A complete fresh look was taken after the connection came (back), or the connection was lost.
  virtual void hypervisor_changed(bool usable) = 0;
  /// A domain that migrates from here stands still for its switchover. Its job may fail yet.
  virtual void switching_over(const DomainUuid& uuid) { (void)uuid; }
  /// The job for `attempt` does not end in time otherwise, `why`, and may go over to post-copy. Said again while that is so.
  virtual void switch_wanted(const DomainUuid& uuid, Attempt attempt, const std::string& why) = 0;
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual void listen(HypervisorListener* listener) = 0;
  /// From memory; `here` is unknown while there's no fresh complete look. Absent is only said when the
  /// listing is complete and fresh, no emulator with this UUID is alive, and the last one vanished at least
  /// five seconds ago or its end was seen as an end (not a reboot).
  virtual DomainView look(const DomainUuid& uuid) const = 0;
  /// How it came to its end here, last; `name`: of its log.
  virtual recovery::Ending ending(const DomainUuid& uuid, const std::string& name) const = 0;
  /// All domains in memory.
  virtual std::map<DomainUuid, DomainView> all() const = 0;
  /// A new complete look; then `look` is fresh.
  virtual void refresh(Callback<Outcome> done) = 0;
  /// Starts it; transient, unless the hypervisor has a definition of it already, which it keeps. Fails if it is there already.
  virtual void boot(const Definition& definition, Callback<Outcome> done) = 0;
  virtual void resume(const DomainUuid& uuid, Callback<Outcome> done) = 0;
  /// Asks the guest to power off; done means only that it was asked.
  virtual void ask_shutdown(const DomainUuid& uuid, const std::string& mode, Callback<Outcome> done) = 0;
  /// Ends the emulator; done means that its death is verified. Also the way to drop an arrived copy.
  virtual void destroy(const DomainUuid& uuid, Callback<Outcome> done) = 0;
  /// Peer-to-peer live migration; the copy arrives paused and stays so. Called back when the job's end is
  /// certain; `migrated` as soon as the emulator is seen dead after the switchover.
  virtual void migrate(const DomainUuid& uuid, const MigrateOrder& order, Callback<MigrationEnd> done) = 0;
  /// The end of a job of before the daemon came up. When no job is active any more, says at once how it
  /// ended: from the domain's state and, when it is absent, from what libvirt's own per-domain log says of its
  /// end ("shutting down, reason=migrated" is `migrated`; any other reason or none is `vanished`). `order`: as it would be given
  /// now; its limit and downtime count.
  virtual void watch_job(const DomainUuid& uuid, const MigrateOrder& order, Callback<MigrationEnd> done) = 0;
  virtual void abort_job(const DomainUuid& uuid, Callback<Outcome> done) = 0;
  /// Tells the network that the domain, which is here, running or paused, is reached here from now on: what is sent to a paused one waits
  /// for it. Best effort; nobody waits for it.
  virtual void announce(const DomainUuid& uuid) { (void)uuid; }
  /// How many migrations to `to` may be under way at once, by that node's own word; nothing: it says nothing of it. Those beyond it wait.
  virtual void places_at(const NodeName& to, std::optional<int> places) { (void)to, (void)places; }
  /// Why its migration, which was ordered, waits for others, such as "waits for its turn: ..."; empty: it does not.
  virtual std::string waits_because(const DomainUuid& uuid) const { return (void)uuid, std::string{}; }
  /// How many may arrive here at once; 0: as many as come.
  virtual int arrivals_at_once() const { return 0; }
  virtual Speed measured_speed(const NodeName& to) const { return (void)to, Speed{}; }
  /// The job for `attempt` goes over to post-copy as soon as it can; then the view says so. Error: it was refused, and will not.
  virtual void start_post_copy(const DomainUuid& uuid, Attempt attempt, Callback<Outcome> done) = 0;
  /// Its destination was told that the domain, in post-copy, is its own.
  virtual void given_in_post_copy(const DomainUuid& uuid) = 0;
  /// Why no copy can come here that executes while it is still being filled; empty: one can.
  virtual std::string no_post_copy() const { return {}; }
  /// The copy that `from` sends for `attempt` may execute while it is still being filled; without this it comes paused.
  virtual void let_run(const DomainUuid& uuid, const NodeName& from, Attempt attempt) = 0;
  /// Memory a new domain can have here, in KiB: what copies that are still arriving will take is not in it. Nothing: it
  /// can't be told.
  virtual std::optional<std::uint64_t> free_memory_kib() const = 0;
  /// What a domain of this definition takes of it, in KiB; 0: nothing of it (huge pages), or it can't be told.
  virtual std::uint64_t memory_need_kib(const std::string& xml) const = 0;
  /// What the destination's check is told of a domain that runs here and is to leave by `way`.
  virtual void departure(const DomainUuid& uuid, const MigrateOrder& way, Callback<Result<Departure>> done) = 0;
  /// Whether this domain can come here: CPU, machine type, disks that are there and the same, bridges.
  virtual void check(const Departure& departure, Callback<Fitness> done) = 0;
  /// Starts the hypervisor's storage pools and networks that the domain uses and that are not active here. Error: one can't be.
  virtual void start_resources(const Definition& definition, Callback<Outcome> done) = 0;
  /// Writes the definition of a domain that runs here, with its secrets and as it would be started next, to `file`, which has an
  /// older one: whole or not at all.
  virtual void save_definition(const DomainUuid& uuid, const std::string& file, Callback<Result<SavedDefinition>> done) = 0;
  /// The same with a definition that another node saved. Error also: the file or `xml` is not of this domain.
  virtual void take_definition(const DomainUuid& uuid, const std::string& file, const std::string& xml,
                               Callback<Result<SavedDefinition>> done) = 0;
};

}  // namespace migrationd::engine
