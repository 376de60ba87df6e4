// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that can happen next in the explorer's world: the cluster manager's orders, messages, the
// hypervisor's work, a migration job's course, crashes, cuts, and time. Each daemon's reaction is the
// product's own step(), carried out here as the engine does.
//
// Taken for granted, kept by engine and io as HACKING.md says: a restarted daemon looks at the hypervisor only after the
// calls of its predecessor have ended; a link delivers nothing to a newer daemon than it was opened to; the link
// of a node that was fenced or said farewell is closed before the proof counts, so that nothing older comes
// after it; a farewell is dropped when a newer incarnation of its sender was heard; a fencing proves nothing about a
// node that was known to hold the domain, or to answer a job of ours, after it; a resume or destroy does not
// hit what comes after what it was ordered for; a job that is begun while an abort or a switch that was ordered for an earlier
// one is still under way can't go over to post-copy; `here` is the truth or unknown.
#pragma once

#include <string>
#include <vector>

#include "tests/model/room.h"
#include "tests/model/world.h"

namespace model {

struct Move {
  World to;
  bool free = true;              ///< happens by itself in the end: no fault, no new order
  const char* broken = nullptr;  ///< a rule that this very move breaks
  std::string text;              ///< only when asked for
};

class Moves {
 public:
  Moves(Room& room, const Config& config) : room_(room), config_(config) {}

  World beginning();
  /// All moves from `world`; with their texts when `texts`.
  std::vector<Move> from(const World& world, bool texts);
  /// The rule that `world` breaks; nullptr when none.
  const char* broken(const World& world) const;
  /// Everything up, exactly one runs at its holder, and the others have nothing.
  bool settled_running(const World& world) const;
  /// Everything up, nothing anywhere.
  bool settled_absent(const World& world) const;
  std::string text(const World& world) const;

 private:
  using Moving = std::vector<Move>;

  handoff::Context view(const World& world, int n) const;
  const handoff::State& memory(const World& w, int n) const { return room_.state(w.node[n].memory); }

  // feeding a daemon (moves.cc)
  Moving feed(const Move& before, int n, EventKey key);
  Moving carry_out(const Move& before, int n, const StepResult& result);
  void act(Moving& moving, int n, const Act& act);
  void send(Moving& moving, std::uint16_t message);
  void add(Moving&& moving) {
    for (Move& move : moving) moves_.push_back(std::move(move));
  }
  void add(Move&& move) { moves_.push_back(std::move(move)); }
  Move begin(bool free, const char* what, int n = -1, int m = -1) const;

  // the orders and the clock (moves.cc)
  void orders(int n);
  void work(int n);
  void messages();

  // what proves nodes absent (proofs.cc)
  void links();
  void proofs(int n);
  unsigned members(int n) const;
  bool farewell_counts(int n, int m) const;

  // what goes wrong, and jobs (faults.cc)
  void node_down(int n);
  void faults(int n);
  void job();
  void cuts();
  static void excuse_loss(World& world, int n);
  void excuse_copies(World& world, int source) const;
  static void end_instance(World& world, int n);
  void break_post_copy(Move& move) const;
  void post_copy();
  void carry_pending(Move& move, int n, Pending what) const;
  Moving kill(const Move& before, int n) const;
  void crash(Move& move, int n) const;
  void fence(World& world, int n) const;
  void forget_farewells(World& world, int from) const;
  void forget_messages(World& world, int from, int to) const;

  Room& room_;
  const Config& config_;
  bool texts_ = false;
  World world_;
  Moving moves_;
};

}  // namespace model
