// SPDX-License-Identifier: GPL-2.0-or-later
// One state of the explorer's small world: two or three nodes with one domain, what each daemon remembers
// and has on disk, what really runs where, the messages on their way, and what may still go wrong (budgets).
// Plain bytes without padding, so that a state is compared and hashed as memory; what the room `handoff`
// remembers and says is kept outside (room.h) and named here by number.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace model {

inline constexpr int max_nodes = 3;
inline constexpr int max_messages = 8;

/// What there is of the domain on a node, in truth.
enum class Instance : std::uint8_t {
  none,
  running,
  stopped,   ///< the source's, not executing: during the switchover, or left so by a failed job
  incoming,  ///< a copy that is still arriving
  copy,      ///< a complete copy that never executed here
  half,      ///< a copy in post-copy that does not execute
  remains,   ///< the source's half in post-copy
  starving,  ///< executes, and some of its memory is lost
};

/// Whether there is an image of the guest that executes or could.
inline bool alive(Instance i) { return i == Instance::running || i == Instance::stopped || i == Instance::copy; }
inline bool executing(Instance i) { return i == Instance::running || i == Instance::starving; }

/// What a node's engine or hypervisor has still to do; bits.
enum Pending : std::uint16_t {
  boot = 1,
  resume = 2,
  drop = 4,
  shut_down = 8,
  here_changed = 16,  ///< the daemon is to be told
  executes = 32,
  boot_failed = 64,
  judge_stop = 128,
  retry_start = 256,
  fence_self = 512,
  resumed = 1024,     ///< the daemon is to be told: the resume is done
  abort_job = 2048,   ///< only where post-copy is possible: else a job may fail at any time in any case
  order_switch = 4096,
  let_run = 8192,
};

enum NodeFlag : std::uint8_t {
  node_up = 1,
  daemon_up = 2,
  silent = 4,         ///< the hypervisor does not answer
  left_migrated = 8,  ///< the hypervisor's log says that the last instance here ended by a migration
};

struct Node {
  std::uint32_t memory = 0;  ///< number of the daemon's State; meaningless while it is down
  std::uint32_t disk = 0;    ///< number of the State on disk
  std::uint32_t before = 0;  ///< + 1: what is on disk instead if the last best-effort write was lost; 0: nothing
  std::uint16_t pending = 0;
  Instance instance = Instance::none;
  std::uint8_t flags = node_up | daemon_up;
  std::uint8_t incarnation = 1;
  std::uint8_t proofs = 0;   ///< bit m: node m was fenced, and no link came up since
  std::uint8_t farewells = 0;  ///< bit m: node m said farewell, and no link came up since
  std::uint8_t waiter = 0;   ///< the packed attempt whose job's end the daemon waits for; 0: none
};

/// In `post_copy` the destination is asked whether the copy may execute; then it does (`post_copy_runs`) or is only filled (`post_copy_paused`).
enum class JobStage : std::uint8_t { none, ordered, copying, switching, switched, post_copy, post_copy_runs, post_copy_paused };

struct Job {
  JobStage stage = JobStage::none;
  std::uint8_t from = 0;
  std::uint8_t to = 0;
};

/// The guest's life: nothing healthy may be lost.
enum class Life : std::uint8_t {
  none,
  healthy,
  risked,   ///< in post-copy: either node may take it along
  excused,  ///< it may be gone now: a real stop, a deadline, a crash of what had it
};

/// What may still happen; each is counted down.
enum class Budget : std::uint8_t {
  start, retry, stop, push, crash, kill, cut, repeat, silence, death, journal, trouble, farewell, judge, count_
};
inline constexpr int budgets = static_cast<int>(Budget::count_);

struct World {
  Node node[max_nodes];
  std::uint16_t messages[max_messages] = {};  ///< numbers of messages, ascending; 0: none
  Job job;
  std::uint8_t cuts = 0;                      ///< bit (a + b - 1): the pair a, b is cut
  Life life = Life::none;
  std::uint8_t left[budgets] = {};
  std::uint8_t full = 0;                      ///< bit n: the state disk of n takes no record, until its daemon's next start

  World() { std::memset(static_cast<void*>(this), 0, sizeof *this); for (Node& n : node) n = Node{}; }
  bool in_post_copy() const { return job.stage >= JobStage::post_copy; }
  void excuse() {
    if (life != Life::none) life = Life::excused;
  }
  bool operator==(const World& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
  bool is(int n, NodeFlag flag) const { return (node[n].flags & flag) != 0; }
  bool cut(int a, int b) const { return (cuts >> (a + b - 1) & 1) != 0; }
  /// Both daemons are linked: each has heard the other since any proof of its absence.
  bool linked(int a, int b) const {
    return is(a, daemon_up) && is(b, daemon_up) && !cut(a, b) && !absent_for(a, b) && !absent_for(b, a);
  }
  /// a has heard nothing of b since b was fenced or left.
  bool absent_for(int a, int b) const { return ((node[a].proofs | node[a].farewells) >> b & 1) != 0; }
  /// a hears b again, or of it.
  void heard(int a, int b) {
    node[a].proofs = static_cast<std::uint8_t>(node[a].proofs & ~(1u << b));
    node[a].farewells = static_cast<std::uint8_t>(node[a].farewells & ~(1u << b));
  }
  std::uint8_t& budget(Budget b) { return left[static_cast<int>(b)]; }
  std::uint8_t budget(Budget b) const { return left[static_cast<int>(b)]; }
};
static_assert(sizeof(Node) == 20 && sizeof(World) == 60 + 16 + 3 + 1 + 1 + budgets + 1, "no padding anywhere");

/// How the world begins.
/// ahead_at_last: held by the first, and the last knows a larger epoch, of its own: it held the domain before it was
/// fenced, changed hands with itself (took back offers) while it was cut off, and nobody was told.
/// last_was_back: the last said farewell, is back, cut off from the one between, and was given the domain by the first.
enum class Beginning { nothing, held_by_first, by_hand_at_last, ahead_at_last, last_was_back };

/// One run of the explorer.
struct Config {
  std::string name;
  int nodes = 2;
  int messages = 5;  ///< at most so many different ones on their way; more: one of them is lost
  Beginning beginning = Beginning::held_by_first;
  /// For runs of three nodes, whose other moves the runs of two cover: all `wait` messages are lost (they commit
  /// nobody, and there are many), no start's time is ever up, and a job fails only with its copy left behind.
  bool narrow = false;
  bool post_copy = false;  ///< the domain consents to it
  std::uint8_t full = 0;  ///< World::full at the beginning
  std::uint8_t left[budgets] = {};
  Config& full_disk(int n) {
    full = static_cast<std::uint8_t>(full | 1u << n);
    return *this;
  }
  Config& consents() {
    post_copy = true;
    return *this;
  }
  Config& narrowed() {
    narrow = true;
    return *this;
  }
  Config& with(Budget b, int n) {
    left[static_cast<int>(b)] = static_cast<std::uint8_t>(n);
    return *this;
  }
};

}  // namespace model
