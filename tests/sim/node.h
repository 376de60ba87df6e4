// SPDX-License-Identifier: GPL-2.0-or-later
// A simulated node: power, disk, libvirtd, and the daemon with the real engine in it. The daemon sees the
// simulation only through the World's interfaces below.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migrationd/engine/engine.h"
#include "migrationd/io/fencing-memory.h"
#include "tests/sim/libvirt.h"

namespace migrationd::sim {

/// One life of a node's daemon. What was scheduled for it dies with it.
struct Daemon : engine::Clock,
                engine::Hypervisor,
                engine::Peers,
                engine::ClusterManager,
                engine::Journal,
                engine::DeadMan,
                engine::Log,
                engine::Definitions {
  Daemon(Simulation& simulation, Node& node, std::uint64_t life);

  // engine::Clock
  Instant now() const override;
  engine::TimerId schedule(Milliseconds after, std::function<void()> call) override;
  void cancel(engine::TimerId id) override;
  // engine::Hypervisor
  void listen(engine::HypervisorListener* listener) override { hypervisor_listener = listener; }
  engine::DomainView look(const DomainUuid& uuid) const override;
  recovery::Ending ending(const DomainUuid& uuid, const std::string& name) const override;
  std::map<DomainUuid, engine::DomainView> all() const override { return views; }
  void refresh(engine::Callback<Outcome> done) override;
  void boot(const engine::Definition& definition, engine::Callback<Outcome> done) override;
  void resume(const DomainUuid& uuid, engine::Callback<Outcome> done) override;
  void ask_shutdown(const DomainUuid& uuid, const std::string& mode, engine::Callback<Outcome> done) override;
  void destroy(const DomainUuid& uuid, engine::Callback<Outcome> done) override;
  void migrate(const DomainUuid& uuid, const engine::MigrateOrder& order,
               engine::Callback<engine::MigrationEnd> done) override;
  void watch_job(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) override;
  void abort_job(const DomainUuid& uuid, engine::Callback<Outcome> done) override;
  void start_post_copy(const DomainUuid& uuid, Attempt attempt, engine::Callback<Outcome> done) override;
  void given_in_post_copy(const DomainUuid&) override {}
  void let_run(const DomainUuid& uuid, const NodeName& from, Attempt attempt) override;
  std::optional<std::uint64_t> free_memory_kib() const override;
  std::uint64_t memory_need_kib(const std::string& xml) const override;
  void departure(const DomainUuid& uuid, const engine::MigrateOrder& way,
                 engine::Callback<Result<engine::Departure>> done) override;
  void check(const engine::Departure& departure, engine::Callback<engine::Fitness> done) override;
  void start_resources(const engine::Definition& definition, engine::Callback<Outcome> done) override;
  void save_definition(const DomainUuid& uuid, const std::string& file, engine::Callback<Result<engine::SavedDefinition>> done) override;
  void take_definition(const DomainUuid& uuid, const std::string& file, const std::string& xml,
                       engine::Callback<Result<engine::SavedDefinition>> done) override;
  // engine::Peers
  void listen(engine::PeerListener* listener) override { peer_listener = listener; }
  void send(const NodeName& to, const wire::PeerMessage& message) override;
  bool linked(const NodeName& node) const override;
  std::string boot_id(const NodeName& node) const override { return linked_boots.contains(node) ? linked_boots.at(node) : ""; }
  void drop(const NodeName&) override {}  // a link here is up or down as a whole, and nothing comes over one that is down
  // engine::ClusterManager
  void listen(engine::ClusterListener* listener) override { cluster_listener = listener; }
  std::set<NodeName> others() const override;
  bool member(const NodeName& node) const override;
  bool active_here() const override;
  bool quorate() const override;
  void staying(engine::Callback<Outcome> done) override;
  void fenced_since(const NodeName& node, Instant since, engine::Callback<bool> done) override;
  void request_fencing(const NodeName& node, const std::string& why, engine::Callback<Outcome> done) override;
  void fencing_configured(engine::Callback<bool> done) override;
  void intent_of_stop(const engine::StopQuestion& question, engine::Callback<engine::StopIntent> done) override;
  void judge_offer(const engine::OfferQuestion& question, engine::Callback<engine::OfferJudgement> done) override;
  void report_failure(const std::string& resource, const std::string& what, std::function<bool()> wanted, engine::Callback<Outcome> done) override;
  void stay_off(const std::string& resource, std::function<bool()> wanted, engine::Callback<Outcome> done) override;
  void clean_up(const std::string& resource, engine::Callback<Outcome> done) override;
  void parameters_of(const std::string& resource, engine::Callback<Result<std::map<std::string, std::string>>> done) override;
  // engine::Journal
  void write(const engine::Record& record, engine::Callback<Outcome> done) override;
  void write_farewells(const std::set<NodeName>& nodes) override;
  // engine::DeadMan
  void arm(const DomainUuid& uuid, Milliseconds after, engine::Callback<Outcome> done) override;
  void disarm(const DomainUuid& uuid) override;
  // engine::Log
  void write(Level level, const std::string& domain, const std::string& text) override;

  // engine::Definitions
  void read_config(const std::string& file, engine::Callback<Result<std::optional<engine::Definition>>> done) override;
  Outcome examine(const engine::KeptDefinition& definition) const override;
  std::string digest(const std::string& xml) const override { return std::to_string(std::hash<std::string>{}(xml)); }
  void keep_definition(const engine::KeptDefinition& definition, engine::Callback<Outcome> done) override;
  void remove_definition(const DomainUuid& uuid, engine::Callback<Outcome> done) override;

  DaemonRef self() const;
  void push_timers();
  // As io/pacemaker.cc does it: the clocks are compared every second, and a node's history is looked at when the
  // daemon begins, when the node comes, and after the wall clock was set back.
  void watch_clocks();
  void note_clocks();
  void look_at_history(const NodeName& other, engine::Callback<bool> done);

  Simulation& sim;
  Node& node;
  std::uint64_t life;
  bool frozen = false;
  bool silent = true;                       ///< the hypervisor gives no fresh look
  std::vector<std::function<void()>> backlog;  ///< what came while frozen
  std::map<DomainUuid, engine::DomainView> views;
  engine::HypervisorListener* hypervisor_listener = nullptr;
  engine::PeerListener* peer_listener = nullptr;
  std::map<NodeName, std::string> linked_boots;  ///< the boot id of each node when it was linked last
  engine::ClusterListener* cluster_listener = nullptr;
  struct Timer {
    Instant due;
    std::function<void()> call;
    std::uint64_t event = 0;
  };
  std::map<engine::TimerId, Timer> timers;
  engine::TimerId last_timer = 0;
  io::FencingMemory fencings;
  std::set<NodeName> looks_wanted;
  std::map<NodeName, std::string> doubts;  ///< said last
  engine::World world;
  std::unique_ptr<engine::Engine> engine;
};

/// What a crash leaves of the write that was under way.
struct Disk {
  std::map<DomainUuid, engine::Record> records;
  std::map<DomainUuid, engine::KeptDefinition> definitions;
  std::set<NodeName> farewells;
  bool full = false;
  struct Write {
    engine::Record record;
    std::uint64_t event = 0;
  };
  std::map<std::uint64_t, Write> under_way;
  std::uint64_t last_write = 0;
  Time busy_until = 0;
};

/// The file that the parameter `config` names, in scenarios that set it.
enum class ConfigFile { there, missing, broken };

class Node {
 public:
  Node(Simulation& simulation, std::string name) : name(std::move(name)), libvirt(simulation, *this), sim_(simulation) {}

  std::string installation() const { return "installation-" + name + "-" + std::to_string(installations); }
  Instant boot_time() const;
  Milliseconds wall_time() const;

  void power_on();
  /// `landed`: the journal writes under way reach the disk all the same.
  void power_off(bool landed);
  void start_daemon();
  void kill_daemon(bool landed);
  void freeze();
  void thaw();

  // from libvirt to the daemon's memory
  void view_changed(const DomainUuid& uuid);
  void listed();
  void look_again();
  void hypervisor_silent();

  handoff::State state_of(const DomainUuid& uuid) const;

  NodeName name;
  bool powered = false;
  int boots = 0;
  int installations = 1;
  std::string cpu = "common";              ///< of the host; a running guest needs the one that it was booted on
  std::string disk_of_guests = "shared";  ///< which storage the path of their disks names here
  ConfigFile file = ConfigFile::there;
  Time booted_at = 0;
  Time clock_ahead = 0;        ///< jumps of CLOCK_BOOTTIME
  Time wall_ahead = 0;         ///< jumps of CLOCK_REALTIME; it goes on while the power is off
  std::uint64_t incarnation = 0;
  bool unsent_calls_die = false;  ///< calls to libvirt die with the daemon that made them
  std::shared_ptr<Daemon> daemon;
  Libvirt libvirt;
  Disk disk;
  std::map<DomainUuid, std::uint64_t> dead_men;

 private:
  Simulation& sim_;
};

}  // namespace migrationd::sim
