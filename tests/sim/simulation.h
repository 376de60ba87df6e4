// SPDX-License-Identifier: GPL-2.0-or-later
// The simulated cluster: the real engine on each node, everything else made up, one event queue for all. After
// every event the rules that may not break are looked at (invariants.cc); the first break is kept with its time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migrationd/engine/engine.h"
#include "tests/sim/cluster.h"
#include "tests/sim/event-queue.h"
#include "tests/sim/libvirt.h"
#include "tests/sim/network.h"
#include "tests/sim/node.h"
#include "tests/sim/settings.h"

namespace migrationd::sim {

using OrderKind = engine::Order::Kind;
const char* to_string(OrderKind kind);
/// What stands for a domain's XML here.
inline std::string definition_of(const std::string& name) { return "<domain name='" + name + "'/>"; }

/// An action of the cluster manager: the agent's process and what came of it.
struct Action {
  int number = 0;
  OrderKind kind = OrderKind::start;
  DomainUuid uuid;
  NodeName node;
  NodeName target;
  std::string face = "ocf";
  Time timeout = 0;             ///< 0: the caller sets none
  Time began = 0;
  bool answered = false;
  engine::OrderReply reply;
  engine::OrderId id = 0;
  std::uint64_t daemon_life = 0;
  std::function<void(const engine::OrderReply&)> done;
};

class Simulation {
 public:
  Simulation();
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // ---- what there is
  void add_node(const NodeName& name);
  void add_domain(const std::string& name, std::uint64_t memory_kib);
  Node* node(const NodeName& name) const;
  const std::map<NodeName, std::unique_ptr<Node>>& nodes() const { return nodes_; }
  std::set<NodeName> node_names() const;
  const std::vector<std::string>& domain_names() const { return domains_; }
  DomainUuid uuid_of(const std::string& domain) const;
  std::string name_of(const DomainUuid& uuid) const;
  std::uint64_t memory_of(const DomainUuid& uuid) const;

  // ---- what happens
  int order(Action action);
  /// A stop there is a real one from now on, whatever it was to mean.
  void may_stop(const NodeName& node, const DomainUuid& uuid) { real_stops_.insert({node, uuid}); }
  void kill_agents(const NodeName& node);
  void crash(const NodeName& node, bool landed);
  void boot(const NodeName& node) { this->node(node)->power_on(); }
  void jump_boot_clock(const NodeName& node, Time by);
  void paths_changed();
  void daemon_died(Node& node);

  /// A call for a daemon: dropped when it is dead by then, kept back while it is frozen.
  std::uint64_t to_daemon(Time after, const DaemonRef& daemon, std::function<void()> call);

  // ---- what the cluster manager means; scripted, or asked of the simulated Pacemaker
  engine::StopIntent intent_of_stop(const NodeName& node, const DomainUuid& uuid);
  engine::OfferJudgement judge_offer(const NodeName& node, const DomainUuid& uuid);
  std::map<std::pair<NodeName, DomainUuid>, engine::StopIntent> intents;
  std::map<std::pair<NodeName, DomainUuid>, handoff::Judgement> judgements;
  std::function<engine::StopIntent(const NodeName&, const DomainUuid&)> plan;
  std::set<NodeName> lose_answer_of;  ///< the finish's answer to this source is lost once
  bool answer_lost(const Node& source) { return lose_answer_of.erase(source.name) > 0; }
  std::map<std::string, std::string> parameters;
  Result<engine::Policy> policy_of(const std::map<std::string, std::string>& parameters) const;

  // ---- what a daemon tells the cluster manager of what ended by itself
  void failure_reported(const NodeName& node, const DomainUuid& uuid, const std::string& what);
  void stays_off(const NodeName& node, const DomainUuid& uuid);
  bool believed_on(const NodeName& node, const DomainUuid& uuid) const;
  std::map<std::pair<NodeName, DomainUuid>, int> failure_reports;
  std::function<void(const NodeName&)> on_failure;  ///< what comes of it; otherwise it is stopped and started there

  // ---- told by the parts
  std::uint64_t next_serial() { return ++serial_; }
  int next_image(const DomainUuid& uuid);
  void executed(Node& node, const DomainUuid& uuid, const Instance& instance);
  /// Its loss is what the consent to post-copy means.
  void consented_loss(const DomainUuid& uuid, int image) {
    excused_.insert({uuid, image});
    consented_ = true;
  }
  /// Whether there was one.
  bool consented() const { return consented_; }
  void instance_ended(Node& node, const DomainUuid& uuid, const Instance& was, Libvirt::Cause cause);
  /// The engine asks the guest to go, or ends its emulator.
  void note_stop(Node& node, const DomainUuid& uuid);
  void log(const NodeName& node, const std::string& text);
  void log_step(const NodeName& node, const std::string& text);
  /// A point of the protocol was reached: where the matrix and `when` strike.
  void step(const std::string& what);
  std::function<void(const std::string&)> on_step;
  std::function<void()> after_event;

  // ---- running
  void run_until(Time when);
  bool run_next(Time limit);
  Time now() const { return queue.now(); }

  // ---- what came of it
  void violated(const std::string& what);
  const std::string& violation() const { return violation_; }
  const std::vector<std::string>& lines() const { return lines_; }
  bool keep_log = true;
  int running_count(const DomainUuid& uuid) const;
  NodeName runs_on(const DomainUuid& uuid) const;
  const std::vector<std::unique_ptr<Action>>& actions() const { return actions_; }
  /// Times the guest's memory was lost, and how often without an excuse.
  int losses(const DomainUuid& uuid) const;
  /// Something is, or was until just now, in the way of a planned move: then a stop may be a real one.
  bool disturbed() const;
  void disturb() { disturbed_at_ = now(); }
  /// A node lost its power: what it had, or had just parted with, may be lost.
  void node_lost(const NodeName& name);

  Settings settings;
  EventQueue queue;
  Network network{*this};
  ClusterStack cluster{*this};

 private:
  void check_invariants();
  void answered(Action& action, engine::OrderReply reply);
  void check_answer(const Action& action);
  bool image_lives(const DomainUuid& uuid, int image) const;

  std::map<NodeName, std::unique_ptr<Node>> nodes_;
  std::vector<std::string> domains_;
  std::map<DomainUuid, std::uint64_t> memory_;
  std::uint64_t serial_ = 0;
  std::map<DomainUuid, int> images_;
  std::map<DomainUuid, int> losses_;
  std::set<std::pair<DomainUuid, int>> excused_;           ///< images that may be lost
  bool consented_ = false;
  std::map<DomainUuid, std::pair<NodeName, int>> left_;    ///< where an image was last migrated away from
  std::set<std::pair<NodeName, DomainUuid>> real_stops_;  ///< a real stop was meant here
  std::vector<std::unique_ptr<Action>> actions_;
  std::vector<std::string> lines_;
  std::string violation_;
  Time disturbed_at_ = -1'000'000;
};

}  // namespace migrationd::sim
