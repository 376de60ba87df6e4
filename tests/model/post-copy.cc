// SPDX-License-Identifier: GPL-2.0-or-later
// A migration job that may go over to post-copy: when that is wanted, ordered, done, and how it ends. Its loss is excused from the
// moment of the switch until the destination has all the memory: that is what the administrator consents to.
#include "tests/model/moves.h"

namespace model {

using handoff::Phase;

/// The streams break: whether the destination had all it needed is not known.
void Moves::break_post_copy(Move& move) const {
  World& w = move.to;
  Instance& there = w.node[w.job.to].instance;
  if (there == Instance::running) there = Instance::starving;
  w.excuse();
  for (const int n : {w.job.from, w.job.to}) {
    if (w.is(n, daemon_up)) w.node[n].pending = static_cast<std::uint16_t>(w.node[n].pending | here_changed);
  }
  w.job = {};
}

void Moves::post_copy() {
  const Job job = world_.job;
  if (job.stage == JobStage::none) return;
  const int from = job.from, to = job.to;
  const bool flows = !world_.cut(from, to) && !world_.is(from, silent) && !world_.is(to, silent) && world_.is(to, node_up);
  const auto changed = [&](Move& move, int n) {
    if (world_.is(n, daemon_up)) move.to.node[n].pending = static_cast<std::uint16_t>(move.to.node[n].pending | here_changed);
  };
  const Node& source = world_.node[from];
  if (world_.is(from, daemon_up) && source.waiter != 0) {
    const handoff::State& s = memory(world_, from);
    if (job.stage == JobStage::copying && s.phase == Phase::moving && !s.post_copy && (source.pending & abort_job) == 0)
      add(feed(begin(true, "post-copy is wanted", from), from, {Kind::switch_wanted, source.waiter}));
    if (job.stage == JobStage::copying && s.phase == Phase::moving && s.post_copy && (source.pending & order_switch) == 0)
      add(feed(begin(true, "post-copy is refused", from), from, {Kind::switch_refused, source.waiter}));
  }
  if (flows && job.stage == JobStage::switching && world_.node[to].instance == Instance::incoming) {
    Move switches = begin(true, "the switch to post-copy, to", from, to);
    switches.to.node[from].instance = Instance::remains;
    switches.to.node[to].instance = Instance::half;
    switches.to.job.stage = JobStage::post_copy;
    if (switches.to.life == Life::healthy) switches.to.life = Life::risked;
    changed(switches, from);
    changed(switches, to);
    add(std::move(switches));
  }
  if (!world_.in_post_copy()) return;
  if (job.stage == JobStage::post_copy) {
    Move doubt = begin(true, "nobody said in time that it may run", to);
    doubt.to.job.stage = JobStage::post_copy_paused;
    add(std::move(doubt));
  } else if (flows) {
    Move done = begin(true, "all memory has come from", to, from);
    if (job.stage == JobStage::post_copy_paused) done.to.node[to].instance = Instance::copy;
    if (done.to.life == Life::risked) done.to.life = Life::healthy;
    done.to.job = {};
    end_instance(done.to, from);
    done.to.node[from].flags = static_cast<std::uint8_t>(done.to.node[from].flags | left_migrated);
    changed(done, from);
    changed(done, to);
    add(std::move(done));
    if (job.stage == JobStage::post_copy_runs) {
      Move kept = begin(true, "all memory has come, and what remains at the source stays, from", to, from);
      if (kept.to.life == Life::risked) kept.to.life = Life::healthy;
      kept.to.job = {};
      changed(kept, from);
      changed(kept, to);
      add(std::move(kept));
    }
  }
  Move breaks = begin(true, "the streams of post-copy break, to", from, to);
  break_post_copy(breaks);
  add(std::move(breaks));
}

}  // namespace model
