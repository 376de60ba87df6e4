// SPDX-License-Identifier: GPL-2.0-or-later
// What runs is written back to the file that it is started from (save_config_on_stop), here and at the other nodes
// (sync_config_on_stop). Who holds the domain writes and sends; nothing waits for either.
#include <functional>
#include <utility>

#include "migrationd/engine/engine.h"

namespace migrationd::engine {

using handoff::Here;
using handoff::Phase;

namespace {
/// The definitions of the domains that run here are compared with their files this often, each at a moment of its own.
constexpr unsigned save_every_ticks = 60;
}  // namespace

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
    if (saved.error() != save_trouble_) remark("its definition is not saved: " + saved.error(), true);
    save_trouble_ = saved.error();
    return;
  }
  save_trouble_.clear();
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
    if (std::hash<std::string>{}(uuid.str()) % save_every_ticks == ticks_ % save_every_ticks) one->save_config();
}

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
