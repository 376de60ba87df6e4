// SPDX-License-Identifier: GPL-2.0-or-later
// A node's power, its disk and its daemon's life. What the daemon sees of the world is in daemon.cc.
#include "tests/sim/node.h"

#include <cstdio>
#include <cstdlib>

#include "tests/sim/simulation.h"

namespace migrationd::sim {

namespace {

/// What a record on disk holds of a state: its journalled half.
handoff::State journalled(const handoff::State& state, bool same_boot) {
  handoff::State on_disk;
  on_disk.phase = state.phase;
  on_disk.epoch = state.epoch;
  on_disk.own = state.own;
  on_disk.open = state.open;
  on_disk.last = state.last;
  on_disk.peer = state.peer;
  on_disk.serving = state.serving;
  on_disk.from_held = state.from_held;
  on_disk.invited = state.invited;
  on_disk.asked = state.asked;
  on_disk.due = state.due;
  on_disk.was_offered = state.was_offered;
  on_disk.offer_left = state.offer_left;
  on_disk.offer_ends = state.offer_ends;
  on_disk.post_copy = state.post_copy;
  on_disk.noted = state.noted;
  if (!handoff::same_on_disk(on_disk, state)) {
    std::fputs("tests/sim/node.cc: journalled() misses a field that handoff::same_on_disk() compares\n", stderr);
    std::abort();
  }
  if (!same_boot) on_disk.offer_ends = {};  // that boot's time means nothing now
  return on_disk;
}

}  // namespace

Instant Node::boot_time() const { return {Milliseconds{sim_.now() - booted_at + clock_ahead}}; }

Milliseconds Node::wall_time() const { return Milliseconds{1'700'000'000'000 + sim_.now() + wall_ahead}; }

void Node::power_on() {
  if (powered) return;
  powered = true;
  ++boots;
  booted_at = sim_.now();
  clock_ahead = 0;
  for (auto& [uuid, record] : disk.records) record.state = journalled(record.state, false);
  sim_.log(name, "boots");
  start_daemon();
  sim_.cluster.update();
  sim_.paths_changed();
}

void Node::power_off(bool landed) {
  if (!powered) return;
  sim_.log(name, "loses power");
  kill_daemon(landed);
  powered = false;
  for (auto& [uuid, event] : dead_men) sim_.queue.cancel(event);
  dead_men.clear();
  libvirt.power_off();
  sim_.node_lost(name);
  sim_.cluster.forget_view(name);
  sim_.network.update();
  sim_.cluster.update();
  sim_.paths_changed();
}

void Node::start_daemon() {
  if (daemon || !powered) return;
  ++incarnation;
  sim_.disturb();
  daemon = std::make_shared<Daemon>(sim_, *this, sim_.next_serial());
  handoff::Cluster cluster{name, installation(), incarnation, daemon->others()};
  std::vector<engine::Record> records;
  for (const auto& [uuid, record] : disk.records) {
    records.push_back(record);
    records.back().state = journalled(record.state, true);
  }
  std::vector<engine::KeptDefinition> kept;
  for (const auto& [uuid, definition] : disk.definitions) kept.push_back(definition);
  daemon->engine = std::make_unique<engine::Engine>(
      daemon->world, cluster, [this](const auto& parameters) { return sim_.policy_of(parameters); }, records,
      disk.farewells, std::map<DomainUuid, std::string>{}, kept);
  daemon->looks_wanted = daemon->others();
  daemon->watch_clocks();
  daemon->engine->begin();
  sim_.network.update();
  libvirt.list(daemon);
}

void Node::kill_daemon(bool landed) {
  if (!daemon) return;
  sim_.log(name, "the daemon dies");
  for (auto& [number, write] : disk.under_way) {
    sim_.queue.cancel(write.event);
    if (landed && !disk.full) disk.records[write.record.uuid] = write.record;
  }
  disk.under_way.clear();
  daemon.reset();
  sim_.daemon_died(*this);
  for (const auto& [other, one] : sim_.nodes()) one->libvirt.carrier_died(*this);
  sim_.network.update();
}

void Node::freeze() {
  if (daemon) daemon->frozen = true;
}

void Node::thaw() {
  if (!daemon || !daemon->frozen) return;
  daemon->frozen = false;
  auto backlog = std::exchange(daemon->backlog, {});
  const DaemonRef ref = daemon;
  for (auto& call : backlog) {
    if (ref.lock()) call();
  }
}

void Node::view_changed(const DomainUuid& uuid) {
  if (!daemon || daemon->silent) return;
  daemon->views[uuid] = libvirt.view(uuid);
  if (daemon->views[uuid].here == handoff::Here::absent) daemon->views.erase(uuid);
  if (daemon->hypervisor_listener != nullptr) daemon->hypervisor_listener->domain_changed(uuid);
}

void Node::look_again() {
  daemon->views.clear();
  for (const auto& [uuid, one] : libvirt.instances) daemon->views[uuid] = libvirt.view(uuid);
}

void Node::listed() {
  if (!daemon) return;
  daemon->silent = false;
  look_again();
  if (daemon->hypervisor_listener != nullptr) daemon->hypervisor_listener->hypervisor_changed(true);
}

void Node::hypervisor_silent() {
  if (!daemon || daemon->silent) return;
  daemon->silent = true;
  if (daemon->hypervisor_listener != nullptr) daemon->hypervisor_listener->hypervisor_changed(false);
}

handoff::State Node::state_of(const DomainUuid& uuid) const {
  if (daemon && daemon->engine) {
    for (const engine::DomainStatus& status : daemon->engine->domains()) {
      if (status.uuid == uuid) return status.state;
    }
    return {};
  }
  const auto found = disk.records.find(uuid);
  return found == disk.records.end() ? handoff::State{} : found->second.state;
}

}  // namespace migrationd::sim
