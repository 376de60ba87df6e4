// SPDX-License-Identifier: GPL-2.0-or-later
// The World of one simulated daemon. Every callback goes through the event queue, so that it never comes from
// inside the call that asked, and never to a daemon that has died since.
#include <algorithm>

#include "tests/sim/node.h"
#include "tests/sim/simulation.h"

namespace migrationd::sim {

using handoff::Here;

Daemon::Daemon(Simulation& simulation, Node& on, std::uint64_t number)
    : sim(simulation), node(on), life(number), world{*this, *this, *this, *this, *this, *this, *this, *this} {}

DaemonRef Daemon::self() const { return node.daemon; }

// ---------------------------------------------------------------- clock

Instant Daemon::now() const { return node.boot_time(); }

engine::TimerId Daemon::schedule(Milliseconds after, std::function<void()> call) {
  const engine::TimerId id = ++last_timer;
  timers[id] = {now() + std::max(after, Milliseconds{0}), std::move(call), 0};
  push_timers();
  return id;
}

void Daemon::cancel(engine::TimerId id) {
  const auto found = timers.find(id);
  if (found == timers.end()) return;
  sim.queue.cancel(found->second.event);
  timers.erase(found);
}

void Daemon::push_timers() {
  for (auto& [id, timer] : timers) {
    if (timer.event != 0) continue;
    const Time wait = std::max<Time>((timer.due - now()).count(), 0);
    timer.event = sim.to_daemon(wait, self(), [this, id = id] {
      auto due = timers.extract(id);
      if (!due.empty()) due.mapped().call();
    });
  }
}

// ---------------------------------------------------------------- hypervisor

engine::DomainView Daemon::look(const DomainUuid& uuid) const {
  if (silent) return {};
  const auto found = views.find(uuid);
  if (found != views.end()) return found->second;
  engine::DomainView none;
  none.here = Here::absent;
  return none;
}

recovery::Ending Daemon::ending(const DomainUuid& uuid, const std::string&) const { return node.libvirt.ending(uuid); }

void Daemon::refresh(engine::Callback<Outcome> done) {
  node.libvirt.ask(self(), [this, done = std::move(done)](Outcome outcome) {
    if (outcome.ok()) node.look_again();
    done(outcome);
  });
}
void Daemon::boot(const engine::Definition& d, engine::Callback<Outcome> done) {
  node.libvirt.boot(self(), d, std::move(done));
}
void Daemon::resume(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  node.libvirt.resume(self(), uuid, std::move(done));
}
void Daemon::ask_shutdown(const DomainUuid& uuid, const std::string&, engine::Callback<Outcome> done) {
  sim.note_stop(node, uuid);
  node.libvirt.ask_shutdown(self(), uuid, std::move(done));
}
void Daemon::destroy(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  sim.note_stop(node, uuid);
  node.libvirt.destroy(self(), uuid, std::move(done));
}
void Daemon::migrate(const DomainUuid& uuid, const engine::MigrateOrder& order,
                     engine::Callback<engine::MigrationEnd> done) {
  node.libvirt.migrate(self(), uuid, order, std::move(done));
}
void Daemon::watch_job(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) {
  node.libvirt.watch(self(), uuid, order.limit.count(), std::move(done));
}
void Daemon::abort_job(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  node.libvirt.abort(self(), uuid, std::move(done));
}
void Daemon::start_post_copy(const DomainUuid& uuid, Attempt attempt, engine::Callback<Outcome> done) {
  node.libvirt.start_post_copy(self(), uuid, attempt, std::move(done));
}
void Daemon::let_run(const DomainUuid& uuid, const NodeName& from, Attempt attempt) {
  if (Node* source = sim.node(from)) source->libvirt.let_copy_run(uuid, attempt);
}
std::optional<std::uint64_t> Daemon::free_memory_kib() const {
  if (sim.settings.memory_kib == 0) return std::nullopt;
  return node.libvirt.free_memory_kib();
}
std::uint64_t Daemon::memory_need_kib(const std::string& xml) const {
  for (const std::string& name : sim.domain_names())
    if (xml == definition_of(name)) return sim.memory_of(sim.uuid_of(name));
  return 0;
}
void Daemon::departure(const DomainUuid& uuid, const engine::MigrateOrder&,
                       engine::Callback<Result<engine::Departure>> done) {
  sim.to_daemon(0, self(), [this, uuid, done] {
    done(engine::Departure{definition_of(sim.name_of(uuid)), {{"disk", node.disk_of_guests}, {"cpu", node.cpu}}, sim.memory_of(uuid)});
  });
}
void Daemon::check(const engine::Departure& departure, engine::Callback<engine::Fitness> done) {
  node.libvirt.ask(self(), [this, departure, done](Outcome outcome) {
    if (!outcome.ok()) return done({outcome.error(), false, ""});
    const auto other = [&](const char* key, const std::string& here) {
      const auto there = departure.host.find(key);
      return there != departure.host.end() && there->second != here;
    };
    if (other("disk", node.disk_of_guests)) return done({"its disk is another one here", false, ""});
    if (other("cpu", node.cpu)) return done({"its CPU can't be had here", true, ""});
    done({});
  });
}

void Daemon::start_resources(const engine::Definition&, engine::Callback<Outcome> done) { node.libvirt.ask(self(), std::move(done)); }

void Daemon::save_definition(const DomainUuid&, const std::string&, engine::Callback<Result<engine::SavedDefinition>> done) {
  sim.to_daemon(1, self(), [done] { done(engine::SavedDefinition{}); });
}
void Daemon::take_definition(const DomainUuid& uuid, const std::string& file, const std::string&,
                             engine::Callback<Result<engine::SavedDefinition>> done) {
  save_definition(uuid, file, std::move(done));
}

// ---------------------------------------------------------------- definitions

/// Every resource has a file of its own, called as its domain.
void Daemon::read_config(const std::string& file, engine::Callback<Result<std::optional<engine::Definition>>> done) {
  sim.to_daemon(1, self(), [this, file, done] {
    if (node.file == ConfigFile::broken) return done(Error{file + ": broken XML"});
    if (node.file == ConfigFile::missing) return done(std::optional<engine::Definition>());
    done(std::optional(engine::Definition{sim.uuid_of(file), file, definition_of(file), sim.memory_of(sim.uuid_of(file))}));
  });
}
Outcome Daemon::examine(const engine::KeptDefinition& definition) const {
  if (definition.xml == definition_of(definition.name) && sim.uuid_of(definition.name) == definition.uuid) return Done{};
  return Error{"it is another domain's"};
}
void Daemon::keep_definition(const engine::KeptDefinition& definition, engine::Callback<Outcome> done) {
  if (!node.disk.full) node.disk.definitions[definition.uuid] = definition;
  sim.to_daemon(1, self(), [done, full = node.disk.full] { done(full ? Outcome(Error{"no space left"}) : Outcome(Done{})); });
}
void Daemon::remove_definition(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  node.disk.definitions.erase(uuid);
  sim.to_daemon(1, self(), [done] { done(Done{}); });
}

// ---------------------------------------------------------------- peers

void Daemon::send(const NodeName& to, const wire::PeerMessage& message) { sim.network.send(node.name, to, message); }
bool Daemon::linked(const NodeName& other) const { return sim.network.linked(node.name, other); }

// ---------------------------------------------------------------- cluster manager

std::set<NodeName> Daemon::others() const {
  std::set<NodeName> all = sim.node_names();
  all.erase(node.name);
  return all;
}
bool Daemon::member(const NodeName& other) const { return sim.cluster.member(node.name, other); }
bool Daemon::active_here() const { return sim.cluster.active(node.name); }
bool Daemon::quorate() const { return sim.cluster.quorate(sim.cluster.membership(node.name)); }

void Daemon::staying(engine::Callback<Outcome> done) {
  sim.to_daemon(0, self(), [this, done] {
    if (!active_here()) return done(Error{"the cluster manager does not run there"});
    if (sim.cluster.leaving.contains(node.name)) return done(Error{"the cluster manager is being stopped there"});
    done(Done{});
  });
}

void Daemon::note_clocks() {
  if (fencings.clocks({now(), node.wall_time()})) looks_wanted = others();
}

void Daemon::watch_clocks() {
  note_clocks();
  if (active_here()) {
    for (const NodeName& other : std::exchange(looks_wanted, {})) look_at_history(other, [](bool) {});
  }
  schedule(Milliseconds{1000}, [this] { watch_clocks(); });
}

void Daemon::look_at_history(const NodeName& other, engine::Callback<bool> done) {
  sim.to_daemon(sim.settings.intent, self(), [this, other, asked = now(), done] {
    fencings.looked(other, asked, now(), sim.cluster.fencings(other));
    done(true);
  });
}

void Daemon::fenced_since(const NodeName& other, Instant since, engine::Callback<bool> done) {
  look_at_history(other, [this, other, since, done](bool) {
    note_clocks();
    const auto verdict = fencings.judge(other, since, {now(), node.wall_time()}, sim.cluster.fencings(other));
    if (!verdict.doubt.empty() && doubts[other] != verdict.doubt) sim.log(node.name, other + " is in doubt: " + verdict.doubt);
    doubts[other] = verdict.doubt;
    done(verdict.proven);
  });
}

void Daemon::request_fencing(const NodeName& other, const std::string& why, engine::Callback<Outcome> done) {
  if (other != node.name && !quorate()) {
    sim.to_daemon(0, self(), [done] { done(Error{"this node has no quorum"}); });
    return;
  }
  sim.log(node.name, "asks for fencing of " + other + ": " + why);
  sim.cluster.fence(other, node.name, [this, ref = self(), done](Outcome outcome) {
    sim.to_daemon(1, ref, [done, outcome] { done(outcome); });
  });
}

void Daemon::fencing_configured(engine::Callback<bool> done) {
  sim.to_daemon(1, self(), [this, done] { done(sim.settings.fencing || sim.settings.fencing_fails); });
}

void Daemon::intent_of_stop(const engine::StopQuestion& question, engine::Callback<engine::StopIntent> done) {
  sim.to_daemon(sim.settings.intent, self(), [this, question, done] {
    done(sim.intent_of_stop(node.name, question.uuid));
  });
}

void Daemon::judge_offer(const engine::OfferQuestion& question, engine::Callback<engine::OfferJudgement> done) {
  sim.to_daemon(sim.settings.intent, self(), [this, question, done] {
    done(sim.judge_offer(node.name, question.stop.uuid));
  });
}

void Daemon::report_failure(const std::string& resource, const std::string& what, std::function<bool()> wanted, engine::Callback<Outcome> done) {
  sim.to_daemon(sim.settings.tell, self(), [this, resource, what, wanted, done] {
    if (!wanted()) return done(Error{"it is not wanted any more"});
    if (!active_here() || !sim.settings.told) return done(Error{"the cluster manager does not listen"});
    if (!sim.believed_on(node.name, sim.uuid_of(resource))) return done(Error{"the cluster manager does not believe it here"});
    sim.failure_reported(node.name, sim.uuid_of(resource), what);
    done(Done{});
  });
}

void Daemon::stay_off(const std::string& resource, std::function<bool()> wanted, engine::Callback<Outcome> done) {
  sim.to_daemon(sim.settings.tell, self(), [this, resource, wanted, done] {
    if (!wanted()) return done(Error{"it is not wanted any more"});
    if (!active_here() || !quorate() || !sim.settings.stay_off_kept) return done(Error{"no quorum"});
    if (!sim.believed_on(node.name, sim.uuid_of(resource))) return done(Error{"the cluster manager does not believe it here"});
    sim.stays_off(node.name, sim.uuid_of(resource));
    done(Done{});
  });
}

void Daemon::clean_up(const std::string&, engine::Callback<Outcome> done) {
  sim.to_daemon(1, self(), [done] { done(Done{}); });
}

void Daemon::parameters_of(const std::string&, engine::Callback<Result<std::map<std::string, std::string>>> done) {
  sim.to_daemon(1, self(), [done] { done(Error{"nothing is configured in the simulation"}); });
}

// ---------------------------------------------------------------- disk

void Daemon::write(const engine::Record& record, engine::Callback<Outcome> done) {
  Disk& disk = node.disk;
  const std::string what = node.name + " " + handoff::to_string(record.state.phase) + (record.state.post_copy ? " post-copy" : "");
  const std::uint64_t number = ++disk.last_write;
  const Time ends = std::max(sim.now(), disk.busy_until) + sim.settings.journal;
  disk.busy_until = ends;
  disk.under_way[number] = {record, 0};
  disk.under_way[number].event = sim.queue.at(ends, [this, number, done, what, ref = self()] {
    auto write = node.disk.under_way.extract(number);
    const bool full = node.disk.full;
    if (!full) node.disk.records[write.mapped().record.uuid] = write.mapped().record;
    sim.to_daemon(0, ref, [this, done, full, what] {
      done(full ? Outcome{Error{"no space left on device"}} : Outcome{Done{}});
      sim.step("written " + what);
    });
  });
  sim.step("writing " + what);
}

void Daemon::write_farewells(const std::set<NodeName>& nodes) {
  node.disk.farewells = node.disk.full ? std::set<NodeName>{} : nodes;  // what can't be replaced is removed
}

// ---------------------------------------------------------------- dead-man, log

void Daemon::arm(const DomainUuid& uuid, Milliseconds after, engine::Callback<Outcome> done) {
  disarm(uuid);
  sim.to_daemon(1, self(), [this, done] { done(sim.settings.dead_man ? Outcome{Done{}} : Outcome{Error{"it can't be armed"}}); });
  if (!sim.settings.dead_man) return;
  node.dead_men[uuid] = sim.queue.after(after.count(), [this_node = &node, sim = &sim, uuid] {
    this_node->dead_men.erase(uuid);
    if (this_node->daemon && !this_node->daemon->frozen) return;  // it keeps its deadlines itself
    if (this_node->libvirt.executes(uuid)) this_node->libvirt.end(uuid, Libvirt::Cause::dead_man);
  });
}

void Daemon::disarm(const DomainUuid& uuid) {
  const auto found = node.dead_men.find(uuid);
  if (found == node.dead_men.end()) return;
  sim.queue.cancel(found->second);
  node.dead_men.erase(found);
}

void Daemon::write(Level level, const std::string& domain, const std::string& text) {
  const std::string line = (domain.empty() ? "" : domain + ": ") + text;
  switch (level) {
    case Level::debug:
      sim.log_step(node.name, line);
      return;
    case Level::info:
    case Level::notice:
    case Level::warning:
      sim.log(node.name, line);
      return;
    case Level::alarm:
      sim.log(node.name, "ALARM " + line);
      return;
  }
}

}  // namespace migrationd::sim
