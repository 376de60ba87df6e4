// SPDX-License-Identifier: GPL-2.0-or-later
// The rules of the design's section 5, looked at after every event and at every answer.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace migrationd::sim {

using handoff::Phase;

void Simulation::violated(const std::string& what) {
  if (!violation_.empty()) return;
  char time[32];
  std::snprintf(time, sizeof time, "%lld.%03lld", static_cast<long long>(now() / 1000),
                static_cast<long long>(now() % 1000));
  violation_ = what + " (at " + time + ")";
  log("*", "VIOLATED: " + what);
}

int Simulation::running_count(const DomainUuid& uuid) const {
  int count = 0;
  for (const auto& [name, one] : nodes_) count += one->libvirt.executes(uuid) ? 1 : 0;
  return count;
}

NodeName Simulation::runs_on(const DomainUuid& uuid) const {
  for (const auto& [name, one] : nodes_) {
    if (one->libvirt.executes(uuid)) return name;
  }
  return {};
}

int Simulation::losses(const DomainUuid& uuid) const {
  const auto found = losses_.find(uuid);
  return found == losses_.end() ? 0 : found->second;
}

int Simulation::next_image(const DomainUuid& uuid) { return ++images_[uuid]; }

/// At most one, at any time.
void Simulation::check_invariants() {
  for (const std::string& domain : domains_) {
    const DomainUuid uuid = uuid_of(domain);
    if (running_count(uuid) <= 1) continue;
    std::string where;
    for (const auto& [name, one] : nodes_) {
      if (one->libvirt.executes(uuid)) where += " " + name;
    }
    violated(domain + " executes on more than one node:" + where);
  }
}

/// A domain executes (again) here: complete copies of it elsewhere are of the past from now on.
void Simulation::executed(Node& here, const DomainUuid& uuid, const Instance& instance) {
  for (auto& [name, other] : nodes_) {
    if (other.get() == &here) continue;
    const auto copy = other->libvirt.instances.find(uuid);
    if (copy != other->libvirt.instances.end() && copy->second.image == instance.image &&
        copy->second.run != Instance::Run::running) {
      copy->second.stale = true;
    }
  }
}

bool Simulation::image_lives(const DomainUuid& uuid, int image) const {
  for (const auto& [name, one] : nodes_) {
    const auto found = one->libvirt.instances.find(uuid);
    if (found == one->libvirt.instances.end()) continue;
    const Instance& instance = found->second;
    if (instance.image == image && !instance.stale && instance.run != Instance::Run::incoming) return true;
  }
  return false;
}

bool Simulation::disturbed() const {
  constexpr Time aftermath = 10'000;
  if (now() < disturbed_at_ + aftermath) return true;
  for (const auto& [name, one] : nodes_) {
    if (!one->daemon || one->daemon->frozen || one->disk.full || one->libvirt.service != Libvirt::Service::up) return true;
  }
  return network.any_cut();
}

void Simulation::note_stop(Node& at, const DomainUuid& uuid) {
  const handoff::State state = at.state_of(uuid);
  if (state.phase != Phase::stopping) return;
  // An offer that nobody fetched in its time is really stopped, and so is one that no longer stands. A move
  // to a node that can't be reached or can't take it becomes a real stop.
  if (state.was_offered || disturbed()) real_stops_.insert({at.name, uuid});
}

/// Nothing is lost: the last copy of a guest's memory ends only by an accident that the scenario made or by a
/// stop that was meant.
void Simulation::instance_ended(Node& at, const DomainUuid& uuid, const Instance& was, Libvirt::Cause cause) {
  if (cause == Libvirt::Cause::migrated) left_[uuid] = {at.name, was.image};
  const bool by_itself = cause == Libvirt::Cause::guest || cause == Libvirt::Cause::failed || cause == Libvirt::Cause::powered_off ||
                         cause == Libvirt::Cause::by_hand;
  const bool accident = cause == Libvirt::Cause::crash || by_itself;
  if (accident && was.run != Instance::Run::incoming) excused_.insert({uuid, was.image});
  if (was.stale || was.run == Instance::Run::incoming || image_lives(uuid, was.image)) return;
  if (images_[uuid] != was.image) return;  // an older one, lost before
  ++losses_[uuid];
  switch (cause) {
    case Libvirt::Cause::crash:
    case Libvirt::Cause::guest:
    case Libvirt::Cause::failed:
    case Libvirt::Cause::powered_off:
    case Libvirt::Cause::by_hand:
    case Libvirt::Cause::dead_man:
      return;
    case Libvirt::Cause::migrated:
    case Libvirt::Cause::dropped:
    case Libvirt::Cause::order:
    case Libvirt::Cause::shutdown:
      break;
  }
  if (real_stops_.contains({at.name, uuid}) || excused_.contains({uuid, was.image}) || !was.healthy) return;
  violated(name_of(uuid) + " was healthy and is lost on " + at.name + " (" + to_string(cause) +
           "), without a stop that meant it");
}

/// The copy at the destination is only thrown away when the source is lost before it said `given`.
void Simulation::node_lost(const NodeName& name) {
  for (const auto& [uuid, from] : left_) {
    if (from.first == name && running_count(uuid) == 0) excused_.insert({uuid, from.second});
  }
}

void Simulation::check_answer(const Action& action) {
  Node& at = *node(action.node);
  if (!at.daemon || at.daemon->life != action.daemon_life) return;
  const bool executes = at.libvirt.executes(action.uuid);
  const bool success = action.reply.code == wire::OcfCode::success;
  const std::string domain = name_of(action.uuid);
  switch (action.kind) {
    case OrderKind::start:
    case OrderKind::migrate_from:
      if (success && !executes) violated(domain + " does not execute on " + action.node + ", where its start succeeded");
      return;
    case OrderKind::stop: {
      if (!success || !executes) return;
      const auto record = at.disk.records.find(action.uuid);
      const bool on_disk =
          record != at.disk.records.end() &&
          (record->second.state.phase == Phase::offered ||
           (record->second.state.phase == Phase::moving && !record->second.state.from_held));
      if (!on_disk) {
        violated("the stop of " + domain + " on " + action.node +
                 " succeeded while it executes, and no offer is on disk");
      }
      return;
    }
    case OrderKind::monitor: {
      if (action.reply.code != wire::OcfCode::not_running || !executes) return;
      if (at.libvirt.instances[action.uuid].since + 10 > now()) return;  // its view is a moment behind
      const handoff::State state = at.state_of(action.uuid);
      const bool offered = state.phase == Phase::offered || (state.phase == Phase::moving && !state.from_held) ||
                           (state.phase == Phase::stopping && state.was_offered);
      if (!offered) {
        violated("monitor of " + domain + " on " + action.node + " says 'not running' of what executes as " +
                 handoff::to_string(state.phase));
      }
      return;
    }
    case OrderKind::reload:
      return;
    case OrderKind::migrate_to:
      if (success && executes) violated(domain + " still executes on " + action.node + " after migrate_to succeeded");
      return;
  }
}

}  // namespace migrationd::sim
