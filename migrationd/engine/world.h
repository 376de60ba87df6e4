// SPDX-License-Identifier: GPL-2.0-or-later
// The world as the engine sees it: time, hypervisor, peers, cluster manager, journal. The real one is in io/,
// the simulated one in tests/sim/. Everything is asynchronous and single-threaded: an implementation calls
// back on the engine's own loop, never from inside the call that asked. Every callback comes exactly once,
// also on failure; every wait behind it has a deadline of the implementation's own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/engine/log.h"
#include "migrationd/handoff/handoff.h"
#include "migrationd/recovery/ending.h"
#include "migrationd/wire/peer-message.h"

namespace migrationd::engine {

template <class T>
using Callback = std::function<void(T)>;

// ---------------------------------------------------------------- time

using TimerId = std::uint64_t;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  /// Calls back once, `after` from now, unless cancelled. Ids are never 0.
  virtual TimerId schedule(Milliseconds after, std::function<void()> call) = 0;
  virtual void cancel(TimerId id) = 0;
};

// ---------------------------------------------------------------- hypervisor

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

// ---------------------------------------------------------------- peers

class PeerListener {
 public:
  virtual ~PeerListener() = default;
  /// `installation`: the sender's installation UUID from its authenticated Hello.
  virtual void received(const NodeName& from, const std::string& installation, const wire::PeerMessage& message) = 0;
  virtual void link_changed(const NodeName& node, bool up) = 0;
};

class Peers {
 public:
  virtual ~Peers() = default;
  virtual void listen(PeerListener* listener) = 0;
  /// At most once, unordered across breaks, silently lost when there's no link.
  virtual void send(const NodeName& to, const wire::PeerMessage& message) = 0;
  virtual bool linked(const NodeName& node) const = 0;
  /// The boot id that the node told when it was linked last; empty when it never was.
  virtual std::string boot_id(const NodeName& node) const = 0;
  /// Drops what is left of a link to a node that is proven absent, with all that came over it and was not received
  /// yet: nothing older than the proof comes after it.
  virtual void drop(const NodeName& node) = 0;
};

// ---------------------------------------------------------------- cluster manager

/// In the words of the design's section 4.
enum class Intent { stop, push, offer, keep };

struct StopIntent {
  Intent intent = Intent::stop;
  NodeName to;
  std::string reason;
  /// Something beneath the domain is active here: the offer stands only as long as the transition.
  bool short_offer = false;
  /// offer: a migration failed before, so it is kept rather than stopped when `to` is not ready.
  bool after_failed_migration = false;
  /// keep: also counted as active there, which that node is to deny first. Empty: nowhere.
  NodeName also_on;
};

/// What is asked about a stop.
struct StopQuestion {
  std::string resource;
  std::string face;            ///< ocf or lsb
  int heartbeat_cause = 0;     ///< wire::HeartbeatCause as a number
  DomainUuid uuid;
};

/// A standing offer, looked at again, and how the other nodes are.
struct OfferQuestion {
  StopQuestion stop;
  std::map<NodeName, Instant> silent;  ///< no link since then, and nothing says why
  std::set<NodeName> left;      ///< no link, and their daemons' last word was a farewell
  std::set<NodeName> rebooted;  ///< linked, and rebooted since it was offered to them
  bool linked(const NodeName& node) const { return !left.contains(node) && !silent.contains(node); }
};

struct OfferJudgement {
  handoff::Judgement judgement = handoff::Judgement::stands;
  std::string reason;
};

/// Utilization attributes of a resource by their names; nothing: it is to have none of that name.
using Utilization = std::map<std::string, std::optional<std::uint64_t>>;

class ClusterListener {
 public:
  virtual ~ClusterListener() = default;
  virtual void members_changed() = 0;
  /// `node`, or its cluster manager, was away and is back: what proved it absent before proves nothing any more. Not told of
  /// those who are members when this node's own cluster manager is first seen.
  virtual void joined(const NodeName& node) = 0;
  /// Anything that can change what a stop means (the CIB).
  virtual void configuration_changed() = 0;
};

class ClusterManager {
 public:
  virtual ~ClusterManager() = default;
  virtual void listen(ClusterListener* listener) = 0;
  /// All configured nodes but this one.
  virtual std::set<NodeName> others() const = 0;
  virtual bool member(const NodeName& node) const = 0;
  /// The cluster manager of this node runs and is part of a membership.
  virtual bool active_here() const = 0;
  /// This node is on the larger side of any partition. Also true where the cluster manager knows no quorum, or with one other node.
  virtual bool quorate() const { return true; }
  /// Ok: this node's cluster manager runs and goes on to run, so that it can start what is offered to this node.
  /// Error: it does not, is being stopped, has no quorum, or that can't be told. Where there is no cluster manager: ok.
  virtual void staying(Callback<Outcome> done) = 0;
  /// Power fencing of `node` succeeded after `since`, and it was not seen as member since.
  virtual void fenced_since(const NodeName& node, Instant since, Callback<bool> done) = 0;
  /// Asks the cluster manager to fence `node`; an error when no fencing is configured, or for another node without quorum:
  /// the smaller side of a partition would shoot the larger one.
  virtual void request_fencing(const NodeName& node, const std::string& why, Callback<Outcome> done) = 0;
  /// Whether anything is configured that could fence, also when it just failed; in doubt it is.
  virtual void fencing_configured(Callback<bool> done) = 0;
  /// What a stop of the resource here, now, means. Never fails: unsure is `stop` with the reason.
  virtual void intent_of_stop(const StopQuestion& question, Callback<StopIntent> done) = 0;
  /// What the cluster manager plans now with a domain that stands offered here.
  virtual void judge_offer(const OfferQuestion& question, Callback<OfferJudgement> done) = 0;
  /// The operation history of a start that failed for want of proof is cleaned up (crm_resource --cleanup).
  virtual void clean_up(const std::string& resource, Callback<Outcome> done) = 0;
  /// The resource, which it believes to run here, has ended by itself, `what`: it is to recover it now and not at the next monitor.
  /// `wanted`: asked at the last moment before it is told so, which is then not called off any more; false: it is not to be told.
  /// Error: it can't be told so, or believes something else, or has no way to be told.
  virtual void report_failure(const std::string& resource, const std::string& what, std::function<bool()> wanted, Callback<Outcome> done) = 0;
  /// The resource, which ended here, is not to be started before somebody says so; `wanted` as above. Where nothing starts it anyway: ok.
  virtual void stay_off(const std::string& resource, std::function<bool()> wanted, Callback<Outcome> done) = 0;
  /// The resource's parameters as the cluster's configuration has them now, all of them. Error: that can't be told, or it is not
  /// one of this agent's.
  virtual void parameters_of(const std::string& resource, Callback<Result<std::map<std::string, std::string>>> done) = 0;
  /// The priority that the configuration gives to a resource. Error: that can't be told. Where the cluster manager has none: 0.
  virtual void priority_of(const std::string& resource, Callback<Result<int>> done) { (void)resource, done(0); }
  /// Whether the resource is still one of this agent's; false also when that can't be told now. Where the cluster manager has no
  /// configuration to ask: true.
  virtual void still_ours(const std::string& resource, Callback<bool> done) { (void)resource, done(true); }
  /// The resources that the cluster's configuration has. Error: that can't be told, or it has no list of them.
  virtual void resources(Callback<Result<std::set<std::string>>> done) { done(Error{"the cluster manager has no list of its resources"}); }
  /// The utilization attributes of the resources whose domains run here, all of them, said again and again: the configuration is
  /// to have them. Best effort: what fails is said in the log and tried again. Where the cluster manager has none: nothing.
  virtual void keep_utilization(const std::map<std::string, Utilization>& resources) { (void)resources; }
};

// ---------------------------------------------------------------- definitions

/// A domain's definition as this node keeps it, for a node that has no file `config` of the resource.
struct KeptDefinition {
  DomainUuid uuid;
  std::string name;
  std::string resource;
  std::string config;         ///< the path that the resource's parameter has
  NodeName origin;            ///< whose it is: who held the domain, or had its file while nobody did
  Epoch epoch;                ///< in which it was held there; 0: nobody was known to hold it
  std::uint64_t version = 1;  ///< of those of that epoch and node
  std::string digest;         ///< of `xml`
  std::string xml;
};

/// Definitions in files. What may be kept, and what is newer, is decided in engine/definition-keeper.
class Definitions {
 public:
  virtual ~Definitions() = default;
  /// What the file defines. Nothing: there is no such file. Error: it can't be read, or is no domain's definition.
  virtual void read_config(const std::string& file, Callback<Result<std::optional<Definition>>> done) = 0;
  /// Whether its XML defines this domain, by name and UUID, and is as its digest says.
  virtual Outcome examine(const KeptDefinition& definition) const = 0;
  virtual std::string digest(const std::string& xml) const = 0;
  /// On this node's disk, in place of an older one of the domain.
  virtual void keep_definition(const KeptDefinition& definition, Callback<Outcome> done) = 0;
  virtual void remove_definition(const DomainUuid& uuid, Callback<Outcome> done) = 0;
};

// ---------------------------------------------------------------- journal

/// What is on disk for one domain.
struct Record {
  DomainUuid uuid;
  std::string name;
  std::string resource;                            ///< empty: not a resource here yet
  std::map<std::string, std::string> parameters;   ///< of the resource, as last told
  std::string definition;                          ///< the domain's XML; empty: not known
  handoff::State state;                            ///< its journalled half
};

class Journal {
 public:
  virtual ~Journal() = default;
  /// On disk (file and directory) when `done` says so. Writes of one domain come in order.
  virtual void write(const Record& record, Callback<Outcome> done) = 0;
  /// The nodes that left in order and have not spoken since; best effort.
  virtual void write_farewells(const std::set<NodeName>& nodes) = 0;
};

/// The dead-man outside the daemon: really stops an offered domain whose daemon never came back.
class DeadMan {
 public:
  virtual ~DeadMan() = default;
  virtual void arm(const DomainUuid& uuid, Milliseconds after, Callback<Outcome> done) = 0;
  virtual void disarm(const DomainUuid& uuid) = 0;
};

struct World {
  Clock& clock;
  Hypervisor& hypervisor;
  Peers& peers;
  ClusterManager& cluster;
  Journal& journal;
  DeadMan& dead_man;
  Log& log;
  Definitions& definitions;
};

}  // namespace migrationd::engine
