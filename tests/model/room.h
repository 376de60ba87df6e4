// SPDX-License-Identifier: GPL-2.0-or-later
// The room `handoff` behind numbers: States, messages and steps are kept once each and named by number, so
// that the explorer's world is small and the same step is computed once, not a million times. The step
// itself is the product's own handoff::step().
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "migrationd/handoff/handoff.h"

namespace model {

namespace handoff = migrationd::handoff;
using migrationd::Attempt;
using migrationd::Epoch;
using migrationd::NodeName;

/// What nodes say to each other, as the engine maps it from and to the room's events and actions.
enum class Say : std::uint8_t {
  claim, withdraw, given, released, gone, acknowledged, wait, invite, refusal, note, farewell
};

struct Message {
  Say say;
  std::uint8_t from = 0;
  std::uint8_t to = 0;
  std::uint8_t incarnation = 0;  ///< farewell: the sender's; given: 1 in post-copy; acknowledged: 1 still fetching
  Attempt attempt;
  Epoch epoch;
  handoff::Holder noted;
};

/// An event for a node: its kind and an argument, whose meaning depends on the kind.
enum class Kind : std::uint8_t {
  start, start_ended, stop_offer, stop_real, push, push_ended, message, message_not_claimable, proven_fenced,
  proven_farewell, unproven, job_runs_here, job_paused_here, job_migrated, job_vanished, here_changed, boot_done, resume_done,
  boot_failed, destroy_failed, deadline, take_back, time_short, recovered, recovered_late, resend, switch_wanted, switch_refused
};
struct EventKey {
  Kind kind;
  std::uint16_t argument = 0;
};

/// An action of the room, as the explorer carries it out. `argument`: the message's number, a packed attempt
/// or a node.
struct Act {
  enum class What : std::uint8_t {
    send, boot, start_job, watch_job, resume, drop_copy, shut_down, request_fencing, start_succeeds, stop_succeeds,
    judge_stop, retry_start, two_ran, abort_job, order_switch, let_run
  };
  What what;
  std::uint16_t argument = 0;
  std::uint8_t node = 0;
};

struct StepResult {
  std::uint32_t next = 0;  ///< number of the State
  std::uint32_t disk = 0;  ///< number of its journalled half
  handoff::Journal journal = handoff::Journal::unchanged;
  std::vector<Act> acts;
  std::vector<std::string> texts;  ///< of all actions, for traces
};

class Room {
 public:
  explicit Room(int nodes);

  int nodes() const { return nodes_; }
  const handoff::State& state(std::uint32_t number) const { return states_[number]; }
  std::uint32_t number(handoff::State state);
  /// The number of what a crash of the daemon leaves of `state`.
  std::uint32_t journalled(handoff::State state);
  const Message& message(std::uint16_t number) const { return messages_[number]; }
  std::uint16_t number(const Message& message);

  /// One step of `node`. `journal_fails`: what happens instead when its record can't be written.
  const StepResult& step(int node, int incarnation, std::uint32_t state, handoff::Context view, EventKey key,
                         bool journal_fails);
  handoff::Event event(std::uint32_t state, EventKey key) const;
  std::string text(const Message& message) const;

  static NodeName name(int node) { return std::string(1, static_cast<char>('a' + node)); }
  static int index(const NodeName& name) { return name.at(0) - 'a'; }
  static std::uint8_t pack(Attempt attempt);
  static Attempt unpack(std::uint8_t packed) { return {packed / 32u, packed % 32u}; }

 private:
  StepResult compute(int node, int incarnation, std::uint32_t state, handoff::Context view, EventKey key,
                     bool journal_fails);
  void carry(int node, const handoff::Action& action, StepResult& result);

  int nodes_;
  std::deque<handoff::State> states_;
  std::unordered_map<std::string, std::uint32_t> state_numbers_;
  std::deque<Message> messages_;
  std::map<std::string, std::uint16_t> message_numbers_;
  std::unordered_map<std::uint64_t, StepResult> steps_;
};

}  // namespace model
