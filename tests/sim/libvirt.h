// SPDX-License-Identifier: GPL-2.0-or-later
// A node's simulated libvirtd and its emulators: what really executes where, whatever the daemons believe.
//
// A migration goes as libvirt's peer-to-peer one with VIR_MIGRATE_PAUSED goes:
//
//   prepare --> copying --> switchover --> arrived --> migrated
//   (copy:      incoming    (source stops)  paused      source's emulator dead)
//
// and when the answer of the destination's finish is lost, the source resumes (or stays paused) while the
// complete copy stays at the destination.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migrationd/engine/world.h"
#include "tests/sim/event-queue.h"

namespace migrationd::sim {

class Simulation;
class Node;
struct Daemon;
using DaemonRef = std::weak_ptr<Daemon>;

/// One emulator process.
struct Instance {
  enum class Run { running, paused, incoming, remains };
  std::string name;
  Run run = Run::running;
  int image = 0;           ///< which boot of the guest this memory comes from
  bool stale = false;      ///< a copy whose original executed on after it was made: must never execute
  bool healthy = true;
  bool fetching = false;   ///< its memory still comes from where it was
  bool deaf = false;       ///< the guest ignores a shutdown request
  std::uint64_t memory_kib = 0;
  std::uint64_t serial = 0;
  Time since = 0;
};

struct Job {
  enum class Stage { prepare, copying, switchover, arrived, post_copy, over };
  DomainUuid uuid;
  Node* source = nullptr;
  Node* destination = nullptr;
  int image = 0;
  Stage stage = Stage::prepare;
  bool orphan = false;     ///< the source's libvirtd died in the middle
  Attempt attempt;
  bool may_switch = false;  ///< to post-copy; then the daemons carry it, and it ends with them
  bool let_run = false;
  bool broken = false;     ///< given up after libvirt's keepalive, unless the way heals before
  std::uint64_t copy = 0;  ///< serial of the destination's instance
  std::vector<std::pair<DaemonRef, engine::Callback<engine::MigrationEnd>>> watchers;
};

class Libvirt {
 public:
  enum class Service { up, hung, down };
  /// Why an instance ends: whether losing its memory is somebody's wish or an accident of the scenario.
  /// guest: it vanished without an event; failed, powered_off, by_hand (virsh destroy): with libvirt's events of it.
  enum class Cause { order, migrated, dropped, shutdown, guest, failed, powered_off, by_hand, crash, dead_man };

  Libvirt(Simulation& simulation, Node& node) : sim_(simulation), node_(node) {}

  std::map<DomainUuid, Instance> instances;
  Service service = Service::up;

  bool executes(const DomainUuid& uuid) const;
  engine::DomainView view(const DomainUuid& uuid) const;
  recovery::Ending ending(const DomainUuid& uuid) const;
  std::uint64_t free_memory_kib() const;

  // what a daemon asks for; each answered once
  void boot(DaemonRef from, const engine::Definition& definition, engine::Callback<Outcome> done);
  void resume(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done);
  void ask_shutdown(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done);
  void destroy(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done);
  void migrate(DaemonRef from, const DomainUuid& uuid, const engine::MigrateOrder& order,
               engine::Callback<engine::MigrationEnd> done);
  void watch(DaemonRef from, const DomainUuid& uuid, Time limit, engine::Callback<engine::MigrationEnd> done);
  void abort(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done);
  void start_post_copy(DaemonRef from, const DomainUuid& uuid, Attempt attempt, engine::Callback<Outcome> done);
  /// The destination's daemon says so, of a job of which this node is the source.
  void let_copy_run(const DomainUuid& uuid, Attempt attempt);
  /// A call with no effect, such as a check.
  void ask(DaemonRef from, engine::Callback<Outcome> done);
  void list(DaemonRef from);

  // what happens to it
  void start_by_hand(const DomainUuid& uuid, const std::string& name);
  void end(const DomainUuid& uuid, Cause cause);
  /// An I/O error pauses it: there, not healthy.
  void sicken(const DomainUuid& uuid);
  void power_off();
  void kill();
  void restart();
  void hang();
  void thaw();
  /// The way to another node changed: running jobs may break.
  void path_changed();
  void carrier_died(const Node& where);

 private:
  using Effect = std::function<void()>;
  /// Makes `effect` when libvirtd does it, `refuse` when it will not come to it. A hung libvirtd does it late:
  /// the caller has given up by then, unless it `waits` for as long as it takes.
  void call(DaemonRef from, Time takes, Effect effect, std::function<void(std::string)> refuse, bool waits = false);
  void answer(const DaemonRef& to, std::function<void()> call);
  void simple(DaemonRef from, Time takes, std::function<Outcome()> effect, engine::Callback<Outcome> done);
  void changed(const DomainUuid& uuid);
  Instance& create(const DomainUuid& uuid, const std::string& name, Instance::Run run, int image);

  // jobs of which this node is the source
  std::shared_ptr<Job> job_of(const DomainUuid& uuid) const;
  bool path_ok(const Job& job) const;
  void limit_job(DaemonRef keeper, std::shared_ptr<Job> job, Time limit);
  void copying(std::shared_ptr<Job> job);
  void switchover(std::shared_ptr<Job> job);
  void arrived(std::shared_ptr<Job> job);
  void finished(std::shared_ptr<Job> job);
  void fail(std::shared_ptr<Job> job, const std::string& why);
  void watch_break(std::shared_ptr<Job> job);
  void drop_incomplete(const std::shared_ptr<Job>& job, Time after);
  void over(const std::shared_ptr<Job>& job, handoff::JobEnd end, const std::string& why);
  void resume_source(const Job& job);
  void want_switch(DaemonRef keeper, std::shared_ptr<Job> job);
  void switch_over(std::shared_ptr<Job> job);
  void finish_in_post_copy(std::shared_ptr<Job> job, Time until);
  void fetched(std::shared_ptr<Job> job);
  void break_post_copy(std::shared_ptr<Job> job, const std::string& why);

  Simulation& sim_;
  Node& node_;
  std::map<DomainUuid, std::shared_ptr<Job>> jobs_;
  std::map<DomainUuid, std::vector<recovery::Sign>> signs_;  ///< of its last end
  std::map<DomainUuid, bool> ended_migrated_;   ///< libvirt's per-domain log: how the last one ended
  std::map<DomainUuid, Time> crashed_at_;
  std::deque<std::pair<Effect, std::function<void(std::string)>>> held_up_;
};

const char* to_string(Libvirt::Cause cause);

}  // namespace migrationd::sim
