// SPDX-License-Identifier: GPL-2.0-or-later
// See definition-keeper.h.
#include "migrationd/engine/definition-keeper.h"

#include <algorithm>
#include <utility>

namespace migrationd::engine {

using namespace std::chrono_literals;

namespace {
/// An answer that has not come by then was lost.
constexpr Milliseconds asked_again_after = 5s;
/// What is said of those that were refused is forgotten with this many.
constexpr std::size_t refusals_remembered = 4096;
}  // namespace

bool newer(const KeptDefinition& kept, const wire::Defined& said, const NodeName& from) {
  if (said.epoch != kept.epoch) return kept.epoch < said.epoch;
  if (said.origin != kept.origin) return false;  // nobody held it: who said so first is believed
  if (said.version != kept.version) return said.version > kept.version;
  return said.digest != kept.digest && from == said.origin;  // its disk lost the version, as a full one does
}

DefinitionKeeper::DefinitionKeeper(World& world, NodeName self, Events events, std::vector<KeptDefinition> kept)
    : world_(world), self_(std::move(self)), events_(std::move(events)) {
  for (KeptDefinition& one : kept) {
    const DomainUuid uuid = one.uuid;
    kept_[uuid] = std::move(one);
  }
}

const KeptDefinition* DefinitionKeeper::of(const DomainUuid& uuid) const {
  const auto found = kept_.find(uuid);
  return found == kept_.end() ? nullptr : &found->second;
}

const KeptDefinition* DefinitionKeeper::of(const std::string& resource, const std::string& config) const {
  for (const auto& [uuid, one] : kept_)
    if (!resource.empty() && one.resource == resource && one.config == config) return &one;
  return nullptr;
}

wire::Defined DefinitionKeeper::message(const KeptDefinition& one) const {
  const bool held = one.origin == self_ && events_.held(one.uuid);
  return {one.uuid, one.name, one.resource, one.config, one.origin, one.epoch, one.version, one.digest, held};
}

/// Why there is no room for it; empty: there is.
std::string DefinitionKeeper::why_not(const KeptDefinition& one) const {
  if (one.xml.size() > kept_definition_limit)
    return "it has more than " + std::to_string(kept_definition_limit / 1024) + " KiB";
  std::size_t all = one.xml.size();
  for (const auto& [uuid, other] : kept_)
    if (uuid != one.uuid) all += other.xml.size();
  return all <= kept_definitions_limit ? "" : "all definitions that are kept have more than " + std::to_string(kept_definitions_limit / 1024 / 1024) + " MiB";
}

void DefinitionKeeper::keep(KeptDefinition one, const char* whose) {
  const auto same_resource = [&](const auto& entry) { return entry.first != one.uuid && entry.second.resource == one.resource && entry.second.config == one.config; };
  if (const auto before = std::find_if(kept_.begin(), kept_.end(), same_resource); before != kept_.end())
    remove(before->first, "the resource " + one.resource + " has the domain " + one.name + " now");
  KeptDefinition& kept = kept_[one.uuid] = std::move(one);
  world_.log.write(Log::Level::info, kept.name, std::string("its definition is kept ") + whose);
  world_.definitions.keep_definition(kept, [this, life = std::weak_ptr<int>(life_), name = kept.name](Outcome written) {
    if (life.lock() && !written.ok()) world_.log.write(Log::Level::warning, name, "its definition is kept only while this daemon runs: " + written.error());
  });
}

void DefinitionKeeper::remove(const DomainUuid& uuid, const std::string& why) {
  const auto found = kept_.find(uuid);
  world_.log.write(Log::Level::notice, found->second.name, "its definition is not kept here any more: " + why);
  world_.definitions.remove_definition(uuid, [this, life = std::weak_ptr<int>(life_), name = found->second.name](Outcome removed) {
    if (life.lock() && !removed.ok()) world_.log.write(Log::Level::warning, name, removed.error());
  });
  kept_.erase(found);
}

// ---------------------------------------------------------------- ours

void DefinitionKeeper::defined_here(const Definition& definition, const std::string& resource, const std::string& config, Epoch epoch) {
  if (resource.empty() || config.empty() || definition.xml.empty()) return;
  const KeptDefinition* kept = of(definition.uuid);
  const bool named_so = kept != nullptr && kept->resource == resource && kept->config == config;
  const bool same = named_so && kept->xml == definition.xml && kept->name == definition.name;
  if (epoch.value == 0 && ((kept != nullptr && kept->epoch.value > 0) || same)) return;  // what a holder says counts more
  if (same && kept->origin == self_ && kept->epoch == epoch) return;
  if (kept != nullptr && epoch < kept->epoch) return;
  const KeptDefinition* others = of(resource, config);
  if (epoch.value == 0 && others != nullptr && others->uuid != definition.uuid) return;
  KeptDefinition one{definition.uuid, definition.name, resource, config, self_, epoch, 1, world_.definitions.digest(definition.xml), definition.xml};
  if (kept != nullptr && kept->origin == self_ && kept->epoch == epoch) one.version = kept->version + 1;
  if (const std::string why = why_not(one); !why.empty()) {
    if (std::exchange(refused_[one.uuid], one.digest) != one.digest)
      world_.log.write(Log::Level::warning, one.name, "its definition is not kept on the other nodes: " + why + "; copy the file " + config + " there by hand");
    return;
  }
  const DomainUuid uuid = one.uuid;
  keep(std::move(one), "as it is here");
  for (const NodeName& node : events_.others())
    if (world_.peers.linked(node)) world_.peers.send(node, message(kept_.at(uuid)));
}

// ---------------------------------------------------------------- theirs

void DefinitionKeeper::link_changed(const NodeName& node, bool up) {
  wanted_.erase(node);
  if (!up) return;
  for (const auto& [uuid, one] : kept_) world_.peers.send(node, message(one));
}

void DefinitionKeeper::refuse(const NodeName& from, const wire::Defined& said, const std::string& why) {
  if (refused_.size() >= refusals_remembered) refused_.clear();
  if (std::exchange(refused_[said.domain], said.digest) != said.digest)
    world_.log.write(Log::Level::warning, said.name, "its definition, which " + from + " sent, is not kept: " + why);
}

void DefinitionKeeper::heard(const NodeName& from, const wire::Defined& said) {
  if (!said.xml.empty()) {
    Wanted& wanted = wanted_[from];
    if (wanted.asked == said.domain) wanted.asked.reset();
    wanted.waiting.erase(said.domain);
  }
  const KeptDefinition* kept = of(said.domain);
  const KeptDefinition* others = of(said.resource, said.config);
  // Another domain takes the place of the resource's only where it is held, and what was there before is not.
  const bool replaces = others != nullptr && others->uuid != said.domain;
  const bool wanted = !said.resource.empty() && !said.config.empty() && !events_.held(said.domain) &&
                      (kept == nullptr || newer(*kept, said, from)) && (!replaces || (said.held && !events_.held(others->uuid)));
  if (wanted) {
    KeptDefinition one{said.domain, said.name, said.resource, said.config, said.origin, said.epoch, said.version, said.digest, said.xml};
    const bool have = kept != nullptr && kept->digest == said.digest && kept->name == said.name;
    if (have) one.xml = kept->xml;
    if (one.xml.empty()) {
      want(from, said.domain);
    } else if (const Outcome good = have ? Outcome(Done{}) : world_.definitions.examine(one); !good.ok()) {
      refuse(from, said, good.error());
    } else if (const std::string why = why_not(one); !why.empty()) {
      refuse(from, said, why);
    } else {
      const DomainUuid uuid = one.uuid;
      keep(std::move(one), ("as " + from + " has it").c_str());
      events_.kept(kept_.at(uuid));
    }
  }
  ask_next(from);
}

void DefinitionKeeper::asked(const NodeName& from, const wire::AskDefinition& question) {
  const KeptDefinition* kept = of(question.domain);
  if (kept == nullptr) return;
  wire::Defined answer = message(*kept);
  answer.xml = kept->xml;
  world_.peers.send(from, std::move(answer));
}

void DefinitionKeeper::want(const NodeName& from, const DomainUuid& uuid) { wanted_[from].waiting.insert(uuid); }

void DefinitionKeeper::ask_next(const NodeName& from) {
  const auto found = wanted_.find(from);
  if (found == wanted_.end()) return;
  Wanted& wanted = found->second;
  if (wanted.asked && world_.clock.now() < wanted.since + asked_again_after) return;
  wanted.asked.reset();
  if (wanted.waiting.empty()) {
    wanted_.erase(found);
    return;
  }
  // Who is asked and does not answer has it no more, or says anew what it has when the link is up again.
  wanted.asked = *wanted.waiting.begin();
  wanted.waiting.erase(wanted.waiting.begin());
  wanted.since = world_.clock.now();
  world_.peers.send(from, wire::AskDefinition{*wanted.asked});
}

void DefinitionKeeper::tick() {
  std::vector<NodeName> nodes;
  for (const auto& [node, wanted] : wanted_) nodes.push_back(node);
  for (const NodeName& node : nodes) ask_next(node);
}

void DefinitionKeeper::only_these_exist(const std::set<std::string>& resources) {
  std::set<DomainUuid> missing;
  for (const auto& [uuid, one] : kept_)
    if (!resources.contains(one.resource) && !events_.held(uuid)) missing.insert(uuid);
  // Not at once: one can have come for a resource that was configured while the question was under way.
  const std::set<DomainUuid> before = std::exchange(missing_, missing);
  for (const DomainUuid& uuid : missing)
    if (before.contains(uuid)) remove(uuid, "the cluster's configuration has no resource " + kept_.at(uuid).resource);
}

}  // namespace migrationd::engine
