// SPDX-License-Identifier: GPL-2.0-or-later
// The world as the engine sees it: time, hypervisor (hypervisor.h), peers, cluster manager, journal. The real one is in io/,
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
#include "migrationd/engine/hypervisor.h"
#include "migrationd/engine/log.h"
#include "migrationd/handoff/handoff.h"
#include "migrationd/wire/peer-message.h"

namespace migrationd::engine {

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
