// SPDX-License-Identifier: GPL-2.0-or-later
// The simulated network: links between the daemons, and what can be cut. Each way of each pair of nodes has
// three channels, so that the cluster's own traffic can break alone (a split membership) or the daemons' can.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/wire/peer-message.h"
#include "tests/sim/event-queue.h"

namespace migrationd::sim {

class Simulation;
struct Daemon;

enum class Channel { peers, cluster, migration };
inline constexpr Channel all_channels[] = {Channel::peers, Channel::cluster, Channel::migration};

/// What is done to one message.
struct MessageFault {
  enum class Kind { none, lost, repeated, late };
  Kind kind = Kind::none;
  Time after = 0;  ///< repeated, late: by how much
};

class Network {
 public:
  explicit Network(Simulation& simulation) : sim_(simulation) {}

  bool cut(Channel channel, const NodeName& from, const NodeName& to) const {
    return cuts_.contains({channel, from, to});
  }
  bool any_cut() const { return !cuts_.empty(); }
  void set_cut(Channel channel, const NodeName& from, const NodeName& to, bool cut);
  void heal_all();
  /// Both ways free for a migration's traffic.
  bool migration_path(const NodeName& a, const NodeName& b) const {
    return !cut(Channel::migration, a, b) && !cut(Channel::migration, b, a);
  }

  bool linked(const NodeName& a, const NodeName& b) const;
  void send(const NodeName& from, const NodeName& to, const wire::PeerMessage& message);
  /// Something changed that links depend on: a cut, a daemon's life, a node's power.
  void update();

  /// Asked of each message; set by scenarios and the matrix.
  std::function<MessageFault(const std::string& kind, const NodeName& from, const NodeName& to)> fault;

  static std::string kind_of(const wire::PeerMessage& message);

 private:
  struct Link {
    bool up = false;
    bool changing = false;  ///< a look at it is due
    std::uint64_t lives = 0;  ///< the daemons' lives it was made with
  };
  using Pair = std::pair<NodeName, NodeName>;
  static Pair pair_of(const NodeName& a, const NodeName& b) { return a < b ? Pair{a, b} : Pair{b, a}; }
  /// Identifies both ends' daemons; 0 when the link can't be.
  std::uint64_t wanted(const Pair& pair) const;
  bool cut_either_way(const Pair& pair) const;
  void look(const Pair& pair);
  void set_up(const Pair& pair, bool up, std::uint64_t lives);
  void deliver(const NodeName& from, const std::string& installation, const NodeName& to,
               const wire::PeerMessage& message, const std::string& kind);

  Simulation& sim_;
  std::set<std::tuple<Channel, NodeName, NodeName>> cuts_;
  std::map<Pair, Link> links_;
};

}  // namespace migrationd::sim
