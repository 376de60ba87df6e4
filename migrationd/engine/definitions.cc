// SPDX-License-Identifier: GPL-2.0-or-later
// A domain's definition at all nodes. What the file of `config` says is kept by the others (definition-keeper), and takes the
// file's place on a node that has none: an order without a file is carried out by it. A file that is there and can't be used
// is never replaced by it, or by anything else: then nothing is booted.
//
// And what runs is written back to the file that it is started from (save_config_on_stop), here and at the other nodes
// (sync_config_on_stop). Who holds the domain writes and sends; nothing waits for either.
#include <functional>
#include <utility>

#include "migrationd/engine/engine.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;

namespace {
/// The definitions of the domains that run here are compared with their files this often, each at a moment of its own.
constexpr unsigned save_every_ticks = 60;
/// The cluster's configuration is asked this often whether the resources of what is kept are there still.
constexpr unsigned look_for_resources_every_ticks = 300;
/// A monitor without a definition, as a probe on a node that was just given the resource, waits so long for one of another node.
constexpr Milliseconds longest_wait_for_definition = 3s;

std::string parameter(const std::map<std::string, std::string>& parameters, const char* name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? "" : found->second;
}
}  // namespace

/// Of its own accord the daemon asks first whether the resource is still ours: another agent's may have another definition.
void DomainRunner::save_config_if_ours() {
  if (policy_.save_config_to.empty()) return;
  world_.cluster.still_ours(record_.resource, alive<bool>([this](bool ours) {
    if (ours) save_config();
  }));
}

void DomainRunner::save_config() {
  const bool ours = record_.state.phase == Phase::held || record_.state.phase == Phase::moving || record_.state.phase == Phase::stopping;
  if (policy_.save_config_to.empty() || saving_ || !ours || view().here != Here::running) return;
  saving_ = true;
  world_.hypervisor.save_definition(record_.uuid, policy_.save_config_to, alive<Result<SavedDefinition>>([this, epoch = record_.state.epoch](Result<SavedDefinition> saved) {
    saving_ = false;
    definition_saved(saved, epoch);
  }));
}

void DomainRunner::definition_saved(const Result<SavedDefinition>& saved, Epoch epoch) {
  if (!saved.ok()) {
    if (saved.error() != save_trouble_) alarm(AlarmKind::definition_not_saved, "its definition is not saved: " + saved.error());
    save_trouble_ = saved.error();
    return;
  }
  save_trouble_.clear();
  clear(AlarmKind::definition_not_saved, "it is saved");
  if (saved.value().written) {
    remark("its definition has changed and was written to " + policy_.save_config_to);
    unsynced_ = host_.cluster().others;
  }
  // Who gives it away leaves that to the next holder, whose definition is the newer one.
  const Phase phase = record_.state.phase;
  const bool last_word = record_.state.epoch == epoch && (phase == Phase::held || phase == Phase::stopping || phase == Phase::gone);
  if (!policy_.sync_config || !last_word) return;
  for (const NodeName& node : std::exchange(unsynced_, {})) {
    if (world_.peers.linked(node)) {
      send(node, wire::Note{record_.uuid, record_.name, record_.state.epoch, record_.resource, saved.value().xml});
    } else {
      unsynced_.insert(node);
    }
  }
}

void Engine::save_configs() {
  for (const auto& [uuid, one] : runners_)
    if (std::hash<std::string>{}(uuid.str()) % save_every_ticks == ticks_ % save_every_ticks) {
      one->save_config_if_ours();
      share_definition(uuid);
    }
}

// ---------------------------------------------------------------- kept on every node

bool Engine::held_here(const DomainUuid& uuid) const {
  const DomainRunner* runner = find(uuid);
  if (runner == nullptr) return false;
  switch (runner->state().phase) {
    case Phase::held:
    case Phase::offered:
    case Phase::moving:
    case Phase::stopping: return true;
    case Phase::gone:
    case Phase::claim:
    case Phase::withdrawn:
    case Phase::given: return false;
  }
  return false;
}

/// Gives an order for which there is no file the definition that is kept of its resource, if there is one.
bool Engine::use_kept(Order& order) {
  if (order.definition || !order.no_file) return false;
  const KeptDefinition* kept = definitions_.of(order.resource, parameter(order.parameters, "config"));
  if (kept == nullptr) return false;
  if (const std::string name = parameter(order.parameters, "name"); !name.empty() && name != kept->name) return false;
  const DomainRunner* known = find_resource(order.resource);
  const bool another = known != nullptr && known->record().uuid != kept->uuid;
  if (another && (known->state().phase != Phase::gone || known->view().here != Here::absent)) return false;  // that is to be ended first
  order.definition = Definition{kept->uuid, kept->name, kept->xml, 0};
  order.no_definition = {};
  return true;
}

void Engine::note_definition(DomainRunner& runner, const Order& order, bool kept) {
  const std::string because = ", because this node has no file " + parameter(order.parameters, "config");
  if (kept) {
    const KeptDefinition* one = definitions_.of(runner.record().uuid);
    runner.definition_is("the definition that this node keeps (of " + one->origin + ", epoch " + std::to_string(one->epoch.value) + ")" + because, "");
  } else if (order.definition) {
    runner.definition_is("", "");
  } else if (order.no_file) {
    runner.definition_is("the definition that this node was told when it had the domain last" + because, "");
  } else {
    runner.definition_is("", order.no_definition.reason);
  }
}

void Engine::saw_file(const Order& order) {
  if (!order.definition) return;
  const DomainRunner* runner = find(order.definition->uuid);
  const Epoch epoch = held_here(order.definition->uuid) ? runner->state().epoch : Epoch{};
  definitions_.defined_here(*order.definition, order.resource, parameter(order.parameters, "config"), epoch);
}

void DomainRunner::definition_shared(const std::string& trouble) {
  if (trouble.empty()) {
    share_trouble_.clear();
    clear(AlarmKind::definition_not_shared, "it can be read");
  } else if (std::exchange(share_trouble_, trouble) != trouble) {
    alarm(AlarmKind::definition_not_shared, "the other nodes keep its definition as it was: " + trouble);
  }
}

/// What is held here is defined by the file, else by what is kept, else by what was told when it came.
void Engine::share_definition(const DomainUuid& uuid) {
  const DomainRunner* runner = find(uuid);
  const std::string config = runner == nullptr ? "" : parameter(runner->record().parameters, "config");
  if (config.empty() || !held_here(uuid)) return;
  world_.definitions.read_config(config, alive<Result<std::optional<Definition>>>([this, uuid, config](Result<std::optional<Definition>> read) {
    DomainRunner* runner = find(uuid);
    if (runner == nullptr || !held_here(uuid) || parameter(runner->record().parameters, "config") != config) return;
    std::string trouble;
    if (!read.ok()) {
      trouble = read.error();
    } else if (read.value() && read.value()->uuid != uuid) {
      trouble = config + " defines another domain, " + read.value()->name;
    }
    runner->definition_shared(trouble);
    if (!trouble.empty()) return;
    const Record& record = runner->record();
    const KeptDefinition* kept = definitions_.of(uuid);
    Definition definition{uuid, record.name, kept != nullptr ? kept->xml : record.definition, 0};
    if (read.value()) definition = *read.value();
    definitions_.defined_here(definition, record.resource, config, record.state.epoch);
  }));
}

// ---------------------------------------------------------------- probes that are ahead of the definition

bool Engine::waits_for_definition(const Order& order) const {
  if (order.definition || !order.no_file || !parameter(order.parameters, "name").empty() || undefined_.contains(order.resource)) return false;
  for (const auto& [uuid, runner] : runners_)
    if (runner->record().resource == order.resource) return false;
  for (const NodeName& node : cluster_.others)
    if (world_.peers.linked(node)) return !order.resource.empty();
  return false;
}

void Engine::wait_for_definition(Order order, Callback<OrderReply> reply) {
  const Milliseconds wait = order.timeout.count() <= 0 ? longest_wait_for_definition : std::min(order.timeout / 4, longest_wait_for_definition);
  probes_.push_back({std::move(order), std::move(reply), world_.clock.now() + wait});
}

void Engine::answer_probes() {
  for (Probe& probe : std::exchange(probes_, {})) {
    if (use_kept(probe.order)) {
      probe.reply(monitor(probe.order));
    } else if (probe.ends <= world_.clock.now()) {
      undefined_.insert(probe.order.resource);
      probe.reply(monitor(probe.order));
    } else {
      probes_.push_back(std::move(probe));
    }
  }
}

/// A probe that was answered without it has closed this node to the resource.
void Engine::definition_kept(const KeptDefinition& kept) {
  answer_probes();
  if (undefined_.erase(kept.resource) == 0) return;
  world_.cluster.clean_up(kept.resource, alive<Outcome>([this, name = kept.name](Outcome done) {
    if (!done.ok()) world_.log.write(Log::Level::notice, name, "its definition is here now, but the probe that missed it is not cleaned up: " + done.error());
  }));
}

void Engine::look_for_resources() {
  if (ticks_ % look_for_resources_every_ticks != 0 || definitions_.empty() || !world_.cluster.active_here() || !world_.cluster.quorate()) return;
  world_.cluster.resources(alive<Result<std::set<std::string>>>([this](Result<std::set<std::string>> all) {
    if (all.ok()) definitions_.only_these_exist(all.value());
  }));
}

// ---------------------------------------------------------------- saved on a stop

/// Where it goes, and whether at all, is the word of the cluster's configuration as this node knows it, never of the sender.
void Engine::take_definition(const NodeName& from, const wire::Note& note) {
  const DomainRunner* known = find(note.domain);
  const bool older = known != nullptr && (known->state().phase != Phase::gone || note.epoch < known->state().epoch);
  if (older) return;  // ours, or that of who had it since, is the newer one
  const auto refuse = [this, from, name = note.name](const std::string& why) {
    world_.log.write(Log::Level::warning, name, "its definition, which " + from + " sent, is not taken: " + why);
  };
  world_.cluster.parameters_of(note.resource, alive<Result<std::map<std::string, std::string>>>([this, refuse, from, note](auto parameters) {
    if (!parameters.ok()) return refuse(parameters.error());
    const auto policy = read_policy_(parameters.value());
    if (!policy.ok()) return refuse(policy.error());
    if (!policy.value().sync_config) return refuse("the resource " + note.resource + " does not have sync_config_on_stop here");
    const std::string file = policy.value().save_config_to;
    world_.hypervisor.take_definition(note.domain, file, note.definition, alive<Result<SavedDefinition>>([this, refuse, from, file, name = note.name](auto saved) {
      if (!saved.ok()) return refuse(saved.error());
      if (saved.value().written) world_.log.write(Log::Level::notice, name, "its definition, as " + from + " has it, was written to " + file);
    }));
  }));
}

}  // namespace migrationd::engine
