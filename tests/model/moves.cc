// SPDX-License-Identifier: GPL-2.0-or-later
// A daemon is fed an event, its record is written, its actions are carried out; and what feeds it in an
// ordinary life. What proves nodes absent is in proofs.cc, what goes wrong in faults.cc, the rules in rules.cc.
#include "tests/model/moves.h"

#include <algorithm>

namespace model {

using handoff::Here;
using handoff::Journal;
using handoff::Phase;
using handoff::State;

handoff::Context Moves::view(const World& w, int n) const {
  if (w.is(n, silent)) return {{}, Here::unknown};
  switch (w.node[n].instance) {
    case Instance::none: return {{}, Here::absent};
    case Instance::running: return {{}, Here::running, w.job.stage == JobStage::post_copy_runs && w.job.to == n};
    case Instance::starving: return {{}, Here::running, true};
    case Instance::stopped:
    case Instance::copy: return {{}, Here::paused};
    case Instance::incoming:
    case Instance::half: return {{}, Here::incoming};
    case Instance::remains: return {{}, Here::remains};
  }
  return {};
}

namespace {

const char* text_of(Pending what) {
  switch (what) {
    case boot: return "boots";
    case resume: return "resumes";
    case drop: return "drops the copy";
    case shut_down: return "ends it";
    case abort_job: return "aborts the job";
    case order_switch: return "tells the hypervisor to switch to post-copy";
    case let_run: return "lets the copy run";
    case here_changed: case executes: case boot_failed: case judge_stop: case retry_start: case fence_self: case resumed: break;
  }
  return "?";
}

}  // namespace

World Moves::beginning() {
  World w;
  std::copy(std::begin(config_.left), std::end(config_.left), std::begin(w.left));
  for (int n = config_.nodes; n < max_nodes; ++n) w.node[n].flags = 0;
  w.full = config_.full;
  if (config_.beginning == Beginning::nothing) return w;
  const int last = config_.nodes - 1;
  const int at = config_.beginning == Beginning::by_hand_at_last ? last : 0;
  w.node[at].instance = Instance::running;
  w.life = Life::healthy;
  if (config_.beginning == Beginning::by_hand_at_last) return w;
  for (int n = 0; n < config_.nodes; ++n) {
    State s;
    s.epoch = Epoch{1};
    s.noted = {"a", "of a", Epoch{1}};
    if (n == 0) s.phase = Phase::held;
    if (n == last && config_.beginning == Beginning::ahead_at_last) {
      s.epoch = Epoch{4};
      s.noted = {Room::name(n), "of " + Room::name(n), s.epoch};
    }
    if (config_.beginning == Beginning::last_was_back && n != last - 1) {
      s.epoch = Epoch{2};
      s.noted = {Room::name(last), "", s.epoch};
      s.phase = n == last ? Phase::held : Phase::gone;
    }
    w.node[n].memory = w.node[n].disk = room_.number(s);
  }
  if (config_.beginning == Beginning::last_was_back) {
    std::swap(w.node[0].instance, w.node[last].instance);
    w.node[last - 1].farewells = static_cast<std::uint8_t>(1u << last);
    w.cuts = static_cast<std::uint8_t>(1u << (last + last - 1 - 1));
  }
  return w;
}

Move Moves::begin(bool free, const char* what, int n, int m) const {
  Move move{world_, free, nullptr, {}};
  if (texts_) {
    move.text = what;
    if (n >= 0) move.text = Room::name(n) + ": " + move.text;
    if (m >= 0) move.text += " " + Room::name(m);
  }
  return move;
}

Moves::Moving Moves::feed(const Move& before, int n, EventKey key) {
  const Node& node = before.to.node[n];
  const StepResult& result = room_.step(n, node.incarnation, node.memory, view(before.to, n), key, false);
  const bool full = (before.to.full >> n & 1) != 0;
  Moving all;
  if (!full || result.journal != Journal::required) all = carry_out(before, n, result);
  const bool writes = result.journal != Journal::unchanged && !full;
  if (result.journal == Journal::required && (full || before.to.budget(Budget::journal) > 0)) {
    Move failed = before;
    if (!full) {
      failed.free = false;
      --failed.to.budget(Budget::journal);
    }
    if (texts_) failed.text += "; the journal could not be written";
    for (Move& move : carry_out(failed, n, room_.step(n, node.incarnation, node.memory, view(before.to, n), key, true))) {
      // An offer that can't be journalled is a real stop.
      const State& real = memory(move.to, n);
      if ((real.phase == Phase::stopping || (real.stop != 0 && real.stop_is_real))) move.to.excuse();
      all.push_back(std::move(move));
    }
  }
  // The daemon is killed, or its node crashes, after the record was written and before any action.
  if (!writes || result.acts.empty()) return all;
  for (const Budget fault : {Budget::kill, Budget::crash}) {
    if (before.to.budget(fault) == 0) continue;
    Move lost = before;
    lost.free = false;
    --lost.to.budget(fault);
    lost.to.node[n].disk = result.disk;
    lost.to.node[n].before = 0;
    if (texts_) lost.text += fault == Budget::kill ? "; killed after the journal" : "; its node crashes after the journal";
    for (Move& killed : kill(lost, n)) {
      if (fault == Budget::crash) crash(killed, n);
      all.push_back(std::move(killed));
    }
  }
  return all;
}

Moves::Moving Moves::carry_out(const Move& before, int n, const StepResult& result) {
  Moving moving{before};
  Node& node = moving[0].to.node[n];
  const State& was = room_.state(node.memory);
  const bool really_stops = was.phase != Phase::stopping && room_.state(result.next).phase == Phase::stopping &&
                            was.stop != 0 && was.stop_is_real;
  if (really_stops) moving[0].to.excuse();
  node.memory = result.next;
  const bool full = (before.to.full >> n & 1) != 0;
  switch (full ? Journal::unchanged : result.journal) {
    case Journal::unchanged:
      break;
    case Journal::required:
      node.disk = result.disk;
      node.before = 0;
      break;
    case Journal::best_effort:
      if (node.before == 0 && node.disk != result.disk) node.before = node.disk + 1;
      node.disk = result.disk;
      if (node.before == node.disk + 1) node.before = 0;
      break;
  }
  if (texts_) {
    for (const std::string& text : result.texts) moving[0].text += "; " + text;
  }
  for (const Act& a : result.acts) act(moving, n, a);
  return moving;
}

void Moves::send(Moving& moving, std::uint16_t message) {
  if (config_.narrow && room_.message(message).say == Say::wait) return;
  const int from = room_.message(message).from;
  const int to = room_.message(message).to;
  const std::size_t count = moving.size();
  for (std::size_t i = 0; i < count; ++i) {
    World& w = moving[i].to;
    if (!w.linked(from, to)) continue;
    std::uint16_t* const first = w.messages;
    std::uint16_t* const last = first + config_.messages;
    if (std::find(first, last, message) != last) continue;
    std::uint16_t* const room = std::find(first, last, std::uint16_t{0});
    if (room == last) {  // the new one is lost, or any of the old ones
      for (int old = 0; old < config_.messages; ++old) {
        Move other = moving[i];
        other.to.messages[old] = message;
        std::sort(other.to.messages, other.to.messages + config_.messages);
        moving.push_back(std::move(other));
      }
      continue;
    }
    *room = message;
    std::sort(first, room + 1);
  }
}

void Moves::act(Moving& moving, int n, const Act& a) {
  if (a.what == Act::What::send) return send(moving, a.argument);
  for (Move& move : moving) {
    Node& node = move.to.node[n];
    const auto due = [&](Pending what) { node.pending = static_cast<std::uint16_t>(node.pending | what); };
    switch (a.what) {
      case Act::What::send: break;
      case Act::What::boot: due(boot); break;
      case Act::What::resume: due(resume); break;
      case Act::What::drop_copy: due(node.instance == Instance::none ? here_changed : drop); break;
      case Act::What::shut_down: due(node.instance == Instance::none ? here_changed : shut_down); break;
      case Act::What::judge_stop: due(judge_stop); break;
      case Act::What::retry_start: due(retry_start); break;
      case Act::What::request_fencing:
        if (a.node == n) due(fence_self);
        break;
      case Act::What::start_job:
        node.waiter = static_cast<std::uint8_t>(a.argument);
        node.pending = static_cast<std::uint16_t>(node.pending & ~order_switch);  // meant for an earlier one, see moves.h
        if (move.to.job.stage == JobStage::none && node.instance == Instance::running) {
          move.to.job = {JobStage::ordered, static_cast<std::uint8_t>(n), a.node};
        }
        break;
      case Act::What::watch_job: node.waiter = static_cast<std::uint8_t>(a.argument); break;
      case Act::What::start_succeeds:
        if (!executing(node.instance)) move.broken = "I4: a start succeeded though it does not run here";
        break;
      case Act::What::stop_succeeds: {
        if (node.instance != Instance::running && node.instance != Instance::stopped) break;
        const auto kept = [&](std::uint32_t number) {
          const State& s = room_.state(number);
          return s.phase == Phase::offered || (s.phase == Phase::moving && !s.from_held);
        };
        if (!kept(node.disk) || (node.before != 0 && !kept(node.before - 1))) {
          move.broken = "I2: a stop succeeded, it runs here, and a crash would forget the offer";
        }
        break;
      }
      case Act::What::abort_job:
        if (config_.post_copy) due(abort_job);
        break;
      case Act::What::order_switch: due(order_switch); break;
      case Act::What::let_run: due(let_run); break;
      case Act::What::two_ran: move.broken = "I1: a daemon found two instances"; break;
    }
  }
}

void Moves::orders(int n) {
  const State& s = memory(world_, n);
  const auto order = [&](Budget budget, const char* what, Kind kind, int argument = 0) {
    if (world_.budget(budget) == 0) return;
    Move move = begin(false, what, n, kind == Kind::push ? argument : -1);
    --move.to.budget(budget);
    if (kind == Kind::stop_real && (s.phase != Phase::gone || world_.node[n].instance == Instance::running) &&
        s.phase != Phase::claim && s.phase != Phase::withdrawn && s.phase != Phase::given) {
      move.to.excuse();
    }
    // Nobody can see whether it is healthy: a real stop, too.
    if (kind == Kind::stop_offer && world_.is(n, silent)) move.to.excuse();
    add(feed(move, n, {kind, static_cast<std::uint16_t>(argument)}));
  };
  if (s.start == 0 && (world_.node[n].pending & retry_start) == 0) order(Budget::start, "start", Kind::start);
  if (s.stop == 0 && (world_.node[n].pending & judge_stop) == 0) {
    order(Budget::stop, "stop, an offer", Kind::stop_offer);
    order(Budget::stop, "stop, a real one", Kind::stop_real);
  }
  for (int m = 0; m < config_.nodes; ++m) {
    if (m != n && s.push == 0) order(Budget::push, "push to", Kind::push, m);
  }
  if (s.phase == Phase::offered || (s.phase == Phase::moving && !s.from_held)) {
    order(Budget::judge, "the offer is taken back", Kind::take_back);
  }
  if (s.phase == Phase::offered) {
    Move late = begin(true, "deadline", n);
    late.to.excuse();
    add(feed(late, n, {Kind::deadline}));
  }
  if (s.start != 0 && !config_.narrow) add(feed(begin(true, "the start's time is up", n), n, {Kind::start_ended}));
  if (s.push != 0) add(feed(begin(true, "the push's time is up", n), n, {Kind::push_ended}));
  if (s.phase == Phase::withdrawn && s.stop != 0) {
    Move late = begin(true, "the stop's time is short", n);
    late.to.excuse();
    add(feed(late, n, {Kind::time_short}));
  }
  if (s.phase == Phase::given && s.post_copy && s.stop != 0) add(feed(begin(true, "the stop's time is short", n), n, {Kind::time_short}));
  const bool waits = (s.phase == Phase::held && world_.node[n].instance == Instance::none) || s.phase == Phase::claim || s.phase == Phase::withdrawn || s.phase == Phase::given ||
                     !s.inviting.empty() || world_.node[n].instance == Instance::stopped ||
                     world_.node[n].instance == Instance::copy || world_.node[n].instance == Instance::remains;
  if (waits) add(feed(begin(true, "resend", n), n, {Kind::resend}));
}

void Moves::work(int n) {
  const Node& node = world_.node[n];
  const auto taken = [&](bool free, const char* what, Pending bit) {
    Move move = begin(free, what, n);
    move.to.node[n].pending = static_cast<std::uint16_t>(node.pending & ~bit);
    return move;
  };
  if (!world_.is(n, silent)) {
    for (const Pending what : {boot, resume, drop, shut_down, abort_job, order_switch, let_run}) {
      if ((node.pending & what) == 0) continue;
      Move move = begin(true, text_of(what), n);
      carry_pending(move, n, what);
      add(std::move(move));
      if ((what == boot || what == shut_down) && world_.budget(Budget::trouble) > 0) {
        Move failed = taken(false, what == boot ? "the boot fails" : "the end fails", what);
        --failed.to.budget(Budget::trouble);
        add(feed(failed, n, {what == boot ? Kind::boot_failed : Kind::destroy_failed}));
      }
    }
    const bool job_over = world_.job.stage == JobStage::none || world_.job.from != n;
    const bool ended = node.instance == Instance::none || node.instance == Instance::running || node.instance == Instance::stopped;
    if (node.waiter != 0 && job_over && ended) {
      Kind kind = Kind::job_vanished;
      if (node.instance == Instance::running) kind = Kind::job_runs_here;
      if (node.instance == Instance::stopped) kind = Kind::job_paused_here;
      if (node.instance == Instance::none && world_.is(n, left_migrated)) kind = Kind::job_migrated;
      Move move = begin(true, "the job's end is seen", n);
      move.to.node[n].waiter = 0;
      add(feed(move, n, {kind, node.waiter}));
    }
  }
  if ((node.pending & here_changed) != 0) add(feed(taken(true, "the view changed", here_changed), n, {Kind::here_changed}));
  if ((node.pending & executes) != 0) add(feed(taken(true, "booted", executes), n, {Kind::boot_done}));
  if ((node.pending & resumed) != 0) add(feed(taken(true, "resumed", resumed), n, {Kind::resume_done}));
  if ((node.pending & boot_failed) != 0) add(feed(taken(true, "boot failed", boot_failed), n, {Kind::boot_failed}));
  if ((node.pending & judge_stop) != 0) {
    if (!world_.is(n, silent)) add(feed(taken(true, "the stop is judged: an offer", judge_stop), n, {Kind::stop_offer}));
    Move real = taken(true, "the stop is judged: a real one", judge_stop);
    real.to.excuse();
    add(feed(real, n, {Kind::stop_real}));
  }
  if ((node.pending & retry_start) != 0) {
    add(taken(true, "the start is not tried again", retry_start));
    Move again = taken(true, "tries the start again", retry_start);
    if (again.to.budget(Budget::retry) > 0) {
      --again.to.budget(Budget::retry);
      add(feed(again, n, {Kind::start}));
    }
  }
}

void Moves::messages() {
  for (int i = 0; i < config_.messages && world_.messages[i] != 0; ++i) {
    const std::uint16_t number = world_.messages[i];
    const Message& m = room_.message(number);
    if (world_.cut(m.from, m.to) || !world_.is(m.to, daemon_up)) continue;
    // A message of a daemon that is down now may still come; one of a daemon not yet linked again can't.
    if (world_.is(m.from, daemon_up) && !world_.linked(m.from, m.to)) continue;
    for (const bool repeated : {false, true}) {
      if (repeated && world_.budget(Budget::repeat) == 0) continue;
      Move move = begin(!repeated, repeated ? "delivered, and once more later: " : "delivered: ");
      if (texts_) move.text += room_.text(m);
      if (repeated) {
        --move.to.budget(Budget::repeat);
      } else {
        std::uint16_t* const first = move.to.messages;
        std::copy(first + i + 1, first + config_.messages, first + i);
        first[config_.messages - 1] = 0;
      }
      if (m.say == Say::farewell) {
        Node& to = move.to.node[m.to];
        to.farewells = static_cast<std::uint8_t>(to.farewells | 1u << m.from);
        forget_messages(move.to, m.from, m.to);
      }
      if (m.say == Say::gone && !m.noted.node.empty() && memory(move.to, m.to).noted.epoch < m.noted.epoch) {
        move.to.heard(m.to, Room::index(m.noted.node));
      }
      const Phase phase = memory(move.to, m.to).phase;
      add(feed(move, m.to, {Kind::message, number}));
      if (m.say == Say::claim && (phase == Phase::held || phase == Phase::gone) &&
          move.to.node[m.to].instance == Instance::running) {
        if (texts_) move.text += " (not claimable)";
        add(feed(move, m.to, {Kind::message_not_claimable, number}));
      }
    }
  }
}

std::vector<Move> Moves::from(const World& world, bool texts) {
  world_ = world;
  texts_ = texts;
  moves_.clear();
  for (int n = 0; n < config_.nodes; ++n) {
    if (world_.is(n, daemon_up)) {
      orders(n);
      work(n);
      proofs(n);
    } else {
      node_down(n);
    }
    faults(n);
  }
  messages();
  links();
  job();
  if (config_.post_copy) post_copy();
  cuts();
  return std::move(moves_);
}

}  // namespace model
