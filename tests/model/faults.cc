// SPDX-License-Identifier: GPL-2.0-or-later
// What the hypervisor does, how a migration job ends, and what goes wrong.
#include <algorithm>

#include "tests/model/moves.h"

namespace model {

using handoff::Phase;
using handoff::State;

namespace {

void set(World& w, int n, NodeFlag flag, bool on) {
  w.node[n].flags = static_cast<std::uint8_t>(on ? w.node[n].flags | flag : w.node[n].flags & ~flag);
}

void due(World& w, int n, Pending what) { w.node[n].pending = static_cast<std::uint16_t>(w.node[n].pending | what); }

}  // namespace

/// What had the guest is lost by a fault. A copy elsewhere does not count: it was not given.
void Moves::excuse_loss(World& w, int n) {
  if (w.life == Life::risked && (w.job.from == n || w.job.to == n)) w.excuse();
  if (w.life != Life::healthy || !alive(w.node[n].instance)) return;
  for (int m = 0; m < max_nodes; ++m) {
    const Instance other = w.node[m].instance;
    if (m != n && (other == Instance::running || other == Instance::stopped)) return;
  }
  w.life = Life::excused;
}

/// The source crashes before the destination has its word: the copy is thrown away, by design.
void Moves::excuse_copies(World& w, int source) const {
  const auto parting = [&](std::uint32_t number) {
    const Phase phase = room_.state(number).phase;
    return phase == Phase::moving || phase == Phase::given;
  };
  const Node& node = w.node[source];
  if (w.life != Life::healthy || !(parting(node.disk) || (node.before != 0 && parting(node.before - 1)))) return;
  for (int m = 0; m < config_.nodes; ++m) {
    if (m == source || !alive(w.node[m].instance)) continue;
    if (w.node[m].instance != Instance::copy || room_.state(w.node[m].disk).phase == Phase::held) return;
  }
  w.life = Life::excused;
}

/// The instance on `n` ends; a job from here ends with it.
void Moves::end_instance(World& w, int n) {
  w.node[n].instance = Instance::none;
  if (w.in_post_copy() && (w.job.from == n || w.job.to == n)) {
    Instance& there = w.node[w.job.to].instance;
    if (there == Instance::running) there = Instance::starving;
    if (w.life == Life::risked) w.excuse();
    w.job = {};
  }
  w.node[n].pending = static_cast<std::uint16_t>(w.node[n].pending & ~(resume | drop | shut_down));  // they find nothing any more
  set(w, n, left_migrated, false);
  if (w.job.from == n) w.job = {};
}

/// What is on its way from `from` to `to` is lost; -1: any.
void Moves::forget_messages(World& w, int from, int to) const {
  std::uint16_t* const end = w.messages + config_.messages;
  std::uint16_t* const rest = std::remove_if(w.messages, end, [&](std::uint16_t number) {
    const Message& m = room_.message(number);
    return number == 0 || ((from == -1 || m.from == from) && (to == -1 || m.to == to));
  });
  std::fill(rest, end, std::uint16_t{0});
}

/// A farewell that was not read yet is lost with its link when its sender's next daemon comes.
void Moves::forget_farewells(World& w, int from) const {
  std::uint16_t* const end = w.messages + config_.messages;
  std::uint16_t* const rest = std::remove_if(w.messages, end, [&](std::uint16_t number) {
    return number == 0 || (room_.message(number).say == Say::farewell && room_.message(number).from == from);
  });
  std::fill(rest, end, std::uint16_t{0});
}

void Moves::carry_pending(Move& move, int n, Pending what) const {
  World& w = move.to;
  Node& node = w.node[n];
  node.pending = static_cast<std::uint16_t>(node.pending & ~what);
  switch (what) {
    case boot:
      if (node.instance != Instance::none) return due(w, n, boot_failed);
      if (w.life == Life::healthy || w.life == Life::risked) move.broken = "I3: booted although it was healthy: its life before is lost";
      node.instance = Instance::running;
      set(w, n, left_migrated, false);
      // A real stop may already wait for the boot's end.
      w.life = w.is(n, daemon_up) && memory(w, n).phase == Phase::stopping ? Life::excused : Life::healthy;
      return due(w, n, executes);
    case resume:
      if (node.instance != Instance::stopped && node.instance != Instance::copy) return due(w, n, here_changed);
      if (w.job.stage == JobStage::switched && w.job.from == n) return due(w, n, here_changed);  // the hypervisor refuses
      node.instance = Instance::running;
      return due(w, n, resumed);
    case drop:
      if (executing(node.instance)) move.broken = "I3: a running domain was dropped as if it were a copy";
      if (node.instance == Instance::remains && w.in_post_copy() && w.job.from == n) move.broken = "I3: the destination still fetched from what was dropped";
      end_instance(w, n);
      return due(w, n, here_changed);
    case shut_down:
      end_instance(w, n);
      return due(w, n, here_changed);
    case abort_job:
      if (w.job.stage == JobStage::none || w.job.from != n) return;
      if (w.job.stage >= JobStage::switched && node.instance != Instance::none) {
        node.instance = Instance::running;  // QEMU takes it for a cancelled migration, and goes on here
        if (w.life == Life::risked) w.life = Life::healthy;
        due(w, n, here_changed);
      }
      w.job = {};
      return;
    case order_switch:
      if (w.job.stage == JobStage::copying && w.job.from == n) w.job.stage = JobStage::switching;
      return;
    case let_run:
      if (w.job.stage != JobStage::post_copy || w.job.to != n || node.instance != Instance::half) return;
      w.job.stage = JobStage::post_copy_runs;
      node.instance = Instance::running;
      return due(w, n, here_changed);
    case here_changed:
    case executes:
    case boot_failed:
    case judge_stop:
    case retry_start:
    case fence_self:
    case resumed:
      return;
  }
}

/// kill -9 of the daemon: each call to the hypervisor that was on its way was carried out, or was not.
Moves::Moving Moves::kill(const Move& before, int n) const {
  Moving moving{before};
  for (const Pending what : {boot, resume, drop, shut_down, abort_job, order_switch, let_run}) {
    if ((before.to.node[n].pending & what) == 0 || before.to.is(n, silent)) continue;
    const std::size_t count = moving.size();
    for (std::size_t i = 0; i < count; ++i) {
      Move done = moving[i];
      carry_pending(done, n, what);
      moving.push_back(std::move(done));
    }
  }
  for (Move& move : moving) {
    Node& node = move.to.node[n];
    node.pending = 0;
    node.waiter = 0;
    node.memory = 0;
    set(move.to, n, daemon_up, false);
    forget_messages(move.to, -1, n);
  }
  return moving;
}

/// The node goes down, after kill().
void Moves::crash(Move& move, int n) const {
  World& w = move.to;
  excuse_loss(w, n);
  excuse_copies(w, n);
  if (w.in_post_copy()) end_instance(w, n);
  w.node[n].instance = Instance::none;
  if (w.job.from == n) w.job = {};
  set(w, n, node_up, false);
  set(w, n, silent, false);
}

/// Everybody else has the proof until it speaks again; the links to it are closed first.
void Moves::fence(World& w, int n) const {
  for (int m = 0; m < config_.nodes; ++m) {
    if (m != n) w.node[m].proofs = static_cast<std::uint8_t>(w.node[m].proofs | 1u << n);
  }
  forget_messages(w, n, -1);
}

void Moves::node_down(int n) {
  if (!world_.is(n, node_up)) {
    Move boots = begin(true, "the node boots", n);
    set(boots.to, n, node_up, true);
    add(std::move(boots));
    Move fenced = begin(true, "is fenced", n);
    fence(fenced.to, n);
    if (!(fenced.to == world_)) add(std::move(fenced));
    return;
  }
  for (const bool old : {false, true}) {
    const Node& node = world_.node[n];
    if (old && node.before == 0) continue;
    const std::uint32_t found = old ? node.before - 1 : node.disk;
    for (const bool late : {false, true}) {
      if (late && room_.state(found).phase != Phase::offered) continue;
      Move up = begin(true, old ? "the daemon starts (the last record was lost)" : "the daemon starts", n);
      if (late && texts_) up.text += " after the deadline";
      if (late) up.to.excuse();
      Node& started = up.to.node[n];
      started.disk = found;
      started.memory = found;
      started.before = 0;
      up.to.full = static_cast<std::uint8_t>(up.to.full & ~(1u << n));  // it needs to count its incarnation there
      started.incarnation = static_cast<std::uint8_t>(started.incarnation + 1);
      set(up.to, n, daemon_up, true);
      forget_farewells(up.to, n);
      add(feed(up, n, {late ? Kind::recovered_late : Kind::recovered}));
    }
  }
}

void Moves::faults(int n) {
  if (!world_.is(n, node_up)) return;
  const auto spend = [&](Budget budget, const char* what) {
    Move move = begin(false, what, n);
    --move.to.budget(budget);
    return move;
  };
  if (world_.is(n, daemon_up) && (world_.full >> n & 1) != 0) {
    Move repaired = begin(true, "the disk is repaired", n);
    repaired.to.full = static_cast<std::uint8_t>(world_.full & ~(1u << n));
    add(std::move(repaired));
  }
  if (world_.is(n, daemon_up) && world_.budget(Budget::kill) > 0) add(kill(spend(Budget::kill, "the daemon is killed"), n));
  if (world_.budget(Budget::crash) > 0) {
    for (Move& move : kill(spend(Budget::crash, "the node crashes"), n)) {
      crash(move, n);
      add(std::move(move));
    }
    if (world_.job.stage == JobStage::switched && world_.job.to == n) {
      Move move = spend(Budget::crash, "the job succeeds, and the node crashes");
      end_instance(move.to, world_.job.from);
      set(move.to, world_.job.from, left_migrated, true);
      move.to.excuse();
      for (Move& killed : kill(move, n)) {
        crash(killed, n);
        add(std::move(killed));
      }
    }
  }
  if ((world_.node[n].pending & fence_self) != 0) {
    if (world_.is(n, daemon_up) && memory(world_, n).phase != Phase::stopping) {
      Move not_fenced = begin(true, "is not fenced", n);
      not_fenced.to.node[n].pending = static_cast<std::uint16_t>(world_.node[n].pending & ~fence_self);
      add(std::move(not_fenced));
    }
    for (Move& move : kill(begin(true, "is fenced on its own wish", n), n)) {
      crash(move, n);
      fence(move.to, n);
      add(std::move(move));
    }
  }
  if (world_.is(n, silent)) {
    Move speaks = begin(true, "the hypervisor answers again", n);
    set(speaks.to, n, silent, false);
    if (world_.is(n, daemon_up)) due(speaks.to, n, here_changed);
    add(std::move(speaks));
  } else if (world_.budget(Budget::silence) > 0) {
    Move falls = spend(Budget::silence, "the hypervisor falls silent");
    set(falls.to, n, silent, true);
    if (world_.is(n, daemon_up)) due(falls.to, n, here_changed);
    add(std::move(falls));
  }
  // Also: stopped without the daemon (--direct), or by the dead-man.
  const Instance dying = world_.node[n].instance;
  if ((alive(dying) || dying >= Instance::half) && world_.budget(Budget::death) > 0) {
    Move dies = spend(Budget::death, "the guest dies");
    excuse_loss(dies.to, n);
    end_instance(dies.to, n);
    if (world_.is(n, daemon_up)) due(dies.to, n, here_changed);
    if (dying == Instance::remains) {  // it had switched: its end may look like that of a migration
      Move migrated = dies;
      set(migrated.to, n, left_migrated, true);
      add(std::move(migrated));
    }
    add(std::move(dies));
  }
  if (world_.is(n, daemon_up) && world_.budget(Budget::farewell) > 0) {
    const Node& node = world_.node[n];
    const State& s = memory(world_, n);
    if (s.phase != Phase::gone || s.start != 0 || s.stop != 0 || s.push != 0 || node.pending != 0 || node.waiter != 0 ||
        world_.is(n, silent) || node.instance != Instance::none) {
      return;
    }
    Moving leaving{spend(Budget::farewell, "leaves with a farewell")};
    for (int m = 0; m < config_.nodes; ++m) {
      if (m == n) continue;
      send(leaving, room_.number({Say::farewell, static_cast<std::uint8_t>(n), static_cast<std::uint8_t>(m),
                                  node.incarnation, {}, {}, {}}));
    }
    for (const Move& move : leaving) add(kill(move, n));
  }
}

void Moves::job() {
  for (int n = 0; n < config_.nodes; ++n) {  // a copy that nobody sends to any more ends by itself
    const bool fed = (world_.job.stage == JobStage::copying || world_.job.stage == JobStage::switching || world_.in_post_copy()) && world_.job.to == n;
    const Instance it = world_.node[n].instance;
    if ((it != Instance::incoming && it != Instance::half && it != Instance::starving) || fed) continue;
    Move ends = begin(true, "the broken copy ends by itself", n);
    end_instance(ends.to, n);
    if (world_.is(n, daemon_up)) due(ends.to, n, here_changed);
    add(std::move(ends));
  }
  const Job job = world_.job;
  if (job.stage == JobStage::none || world_.in_post_copy()) return;
  const bool flows = !world_.cut(job.from, job.to) && !world_.is(job.from, silent) && !world_.is(job.to, silent) &&
                     world_.is(job.to, node_up);
  const auto changed = [&](Move& move, int n) {
    if (world_.is(n, daemon_up)) due(move.to, n, here_changed);
  };
  const Instance there = world_.node[job.to].instance;
  if (flows && job.stage == JobStage::ordered && there == Instance::none) {
    Move copies = begin(true, "the job begins to copy to", job.from, job.to);
    copies.to.node[job.to].instance = Instance::incoming;
    set(copies.to, job.to, left_migrated, false);
    copies.to.job.stage = JobStage::copying;
    copies.to.heard(job.from, job.to);  // who answers a job was seen
    changed(copies, job.to);
    add(std::move(copies));
  }
  if (flows && (job.stage == JobStage::copying || job.stage == JobStage::switching) && there == Instance::incoming) {
    Move switches = begin(true, "switchover to", job.from, job.to);
    switches.to.node[job.to].instance = Instance::copy;
    switches.to.node[job.from].instance = Instance::stopped;
    switches.to.job.stage = JobStage::switched;
    changed(switches, job.to);
    changed(switches, job.from);
    add(std::move(switches));
  }
  if (flows && job.stage == JobStage::switched && there == Instance::copy) {
    Move succeeds = begin(true, "the job succeeds", job.from);
    end_instance(succeeds.to, job.from);
    set(succeeds.to, job.from, left_migrated, true);
    changed(succeeds, job.from);
    add(std::move(succeeds));
  }
  // It fails, in any stage; what was copied may stay.
  const bool copied = job.stage != JobStage::ordered && (there == Instance::incoming || there == Instance::copy);
  for (const bool stays : {true, false}) {
    if ((stays && !copied) || (config_.narrow && copied && !stays)) continue;
    for (const bool resumed : {true, false}) {
      if (!resumed && (job.stage != JobStage::switched || config_.narrow)) continue;
      Move fails = begin(true, resumed ? "the job fails, the source runs" : "the job fails, the source is left stopped",
                         job.from);
      if (texts_ && stays) fails.text += ", the copy stays";
      fails.to.job = {};
      if (!stays && copied) {
        end_instance(fails.to, job.to);
        changed(fails, job.to);
      }
      if (resumed && fails.to.node[job.from].instance == Instance::stopped) {
        fails.to.node[job.from].instance = Instance::running;
        changed(fails, job.from);
      }
      add(std::move(fails));
    }
  }
}

void Moves::cuts() {
  for (int a = 0; a < config_.nodes; ++a) {
    for (int b = a + 1; b < config_.nodes; ++b) {
      const bool is_cut = world_.cut(a, b);
      if (!is_cut && world_.budget(Budget::cut) == 0) continue;
      Move move = begin(is_cut, is_cut ? "the cut heals to" : "cut from", a, b);
      move.to.cuts = static_cast<std::uint8_t>(world_.cuts ^ 1u << (a + b - 1));
      if (!is_cut) --move.to.budget(Budget::cut);
      add(std::move(move));
    }
  }
}

}  // namespace model
