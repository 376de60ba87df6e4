// SPDX-License-Identifier: GPL-2.0-or-later
// The definitions that every node keeps of all domains, so that one without the file that a resource's `config` names knows
// the domain, and can boot it. Who holds a domain says what its definition is; the others keep it:
//
//     holder                                       another node
//       | defined(digest) -----------------------> |  newer than its own?
//       | <------------------------ ask_definition |
//       | defined(digest, xml) ------------------> |  kept, in memory and on disk
//
// Everybody says what it keeps when a link comes up, so that a node which was away, or is installed anew, gets what it
// missed from whoever has it. Newer is the larger epoch of the hand-off; within one epoch, which has one holder, the larger
// version of that holder. No clock has a say.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "migrationd/engine/world.h"

namespace migrationd::engine {

/// Larger definitions are not kept, in bytes; nor more of them all together.
inline constexpr std::size_t kept_definition_limit = 1024 * 1024;
inline constexpr std::size_t kept_definitions_limit = 64 * 1024 * 1024;

/// Whether `said`, by the node `from`, is newer than `kept`, of the same domain.
bool newer(const KeptDefinition& kept, const wire::Defined& said, const NodeName& from);

class DefinitionKeeper {
 public:
  struct Events {
    std::function<std::set<NodeName>()> others;
    /// Whether this node holds the domain.
    std::function<bool(const DomainUuid&)> held;
    /// One came from another node.
    std::function<void(const KeptDefinition&)> kept;
  };
  /// `kept`: what is on disk.
  DefinitionKeeper(World& world, NodeName self, Events events, std::vector<KeptDefinition> kept);
  DefinitionKeeper(const DefinitionKeeper&) = delete;
  DefinitionKeeper& operator=(const DefinitionKeeper&) = delete;

  /// Null: none is kept.
  const KeptDefinition* of(const DomainUuid& uuid) const;
  const KeptDefinition* of(const std::string& resource, const std::string& config) const;

  /// The domain is defined so here, by the resource's file or by what is kept; `epoch`: it is held here in that one, 0: nobody
  /// is known to hold it.
  void defined_here(const Definition& definition, const std::string& resource, const std::string& config, Epoch epoch);

  void link_changed(const NodeName& node, bool up);
  void heard(const NodeName& from, const wire::Defined& said);
  void asked(const NodeName& from, const wire::AskDefinition& question);
  void tick();
  /// The cluster's configuration has these resources: what is kept of others is removed when it is said
  /// for the second time, unless it is held here.
  void only_these_exist(const std::set<std::string>& resources);
  bool empty() const { return kept_.empty(); }

 private:
  wire::Defined message(const KeptDefinition& one) const;
  std::string why_not(const KeptDefinition& one) const;
  void keep(KeptDefinition one, const char* whose);
  void remove(const DomainUuid& uuid, const std::string& why);
  void want(const NodeName& from, const DomainUuid& uuid);
  void ask_next(const NodeName& from);
  void refuse(const NodeName& from, const wire::Defined& said, const std::string& why);

  /// One at a time is asked for, so that a node which comes back gets many without a queue that is too long for its link.
  struct Wanted {
    std::set<DomainUuid> waiting;
    std::optional<DomainUuid> asked;
    Instant since;
  };

  World& world_;
  NodeName self_;
  Events events_;
  std::map<DomainUuid, KeptDefinition> kept_;
  std::map<DomainUuid, std::string> refused_;  ///< by its digest: said once
  std::map<NodeName, Wanted> wanted_;
  std::set<DomainUuid> missing_;  ///< whose resource the cluster's configuration did not have when it was asked last
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::engine
