// SPDX-License-Identifier: GPL-2.0-or-later
// The rules that are looked at in every state, and how a state reads.
#include "tests/model/moves.h"

namespace model {

using handoff::Phase;
using handoff::State;

const char* Moves::broken(const World& w) const {
  int running = 0;
  bool there = false;
  for (const Node& node : w.node) {
    if (executing(node.instance)) ++running;
    if (alive(node.instance)) there = true;
  }
  if (running > 1) return "I1: two instances execute";
  if (w.life == Life::healthy && !there) return "I3: a healthy domain is lost";
  return nullptr;
}

bool Moves::settled_running(const World& w) const {
  int running = 0;
  for (int n = 0; n < config_.nodes; ++n) {
    const Node& node = w.node[n];
    if (!w.is(n, daemon_up) || w.is(n, silent) || node.pending != 0 || node.waiter != 0) return false;
    const State& s = room_.state(node.memory);
    if (s.start != 0 || s.stop != 0 || s.push != 0) return false;
    const bool by_hand = config_.beginning == Beginning::by_hand_at_last && s.phase == Phase::gone;
    const bool has = (by_hand && node.instance == Instance::running) || (s.phase == Phase::held && s.due == handoff::Due::nothing) || s.phase == Phase::offered;
    if (has && node.instance == Instance::running) {
      ++running;
    } else if (s.phase != Phase::gone || node.instance != Instance::none) {
      return false;
    }
  }
  return running == 1 && w.cuts == 0 && w.job.stage == JobStage::none;
}

bool Moves::settled_absent(const World& w) const {
  for (int n = 0; n < config_.nodes; ++n) {
    const Node& node = w.node[n];
    if (!w.is(n, daemon_up) || w.is(n, silent) || node.pending != 0 || node.waiter != 0) return false;
    const State& s = room_.state(node.memory);
    if (s.phase != Phase::gone || s.start != 0 || s.stop != 0 || s.push != 0 || node.instance != Instance::none) return false;
  }
  return w.cuts == 0 && w.job.stage == JobStage::none;
}

std::string Moves::text(const World& w) const {
  static const char* const instances[] = {"-", "RUNNING", "stopped", "incoming", "copy", "half a copy", "remains", "STARVING"};
  std::string out;
  for (int n = 0; n < config_.nodes; ++n) {
    const Node& node = w.node[n];
    out += "  " + Room::name(n) + "[";
    if (!w.is(n, node_up)) {
      out += "down";
    } else {
      out += std::string(w.is(n, daemon_up) ? handoff::to_string(memory(w, n).phase) : "no daemon");
      if (w.is(n, daemon_up)) out += " e" + migrationd::to_string(memory(w, n).epoch);
      out += std::string(" ") + instances[static_cast<int>(node.instance)];
      if (w.is(n, silent)) out += " silent";
    }
    out += std::string("; disk ") + handoff::to_string(room_.state(node.disk).phase);
    if (node.before != 0) out += std::string(" or ") + handoff::to_string(room_.state(node.before - 1).phase);
    out += "]";
  }
  for (int i = 0; i < config_.messages && w.messages[i] != 0; ++i) out += "  <" + room_.text(room_.message(w.messages[i])) + ">";
  if (w.cuts != 0) out += "  cut";
  return out;
}

}  // namespace model
