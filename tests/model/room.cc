// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers for States, messages and steps; and the translation between the room's events and actions and the
// explorer's, which does what the engine does.
#include "tests/model/room.h"

#include <cstdio>
#include <cstdlib>

namespace model {

namespace {

using handoff::Journal;
using handoff::State;

constexpr migrationd::Milliseconds offer_time{1000};

void put(std::string& out, std::uint64_t value) { out.append(reinterpret_cast<const char*>(&value), 2); }
void put(std::string& out, const NodeName& name) { out += name.empty() ? '-' : name[0]; }
void put(std::string& out, migrationd::Epoch epoch) {
  put(out, epoch.value % 1'000'000);
  put(out, epoch.value / 1'000'000);
}
void put(std::string& out, Attempt attempt) { put(out, attempt.incarnation * 64 + attempt.number); }
void put(std::string& out, const handoff::Holder& holder) {
  put(out, holder.node);
  put(out, holder.epoch);
}

/// Everything that decides what a State does: all but the texts for people.
std::string key_of(const State& s) {
  std::string out;
  put(out, static_cast<std::uint64_t>(s.phase) | std::uint64_t{s.from_held} << 4 | std::uint64_t{s.invited} << 5 |
               std::uint64_t{s.was_offered} << 6 | std::uint64_t{s.stop_is_real} << 7 | std::uint64_t{s.aborting} << 8 |
               std::uint64_t{s.dropping} << 14 | std::uint64_t{s.post_copy} << 15 | static_cast<std::uint64_t>(s.due) << 9 | s.start << 11 | s.stop << 12 | s.push << 13);
  put(out, s.epoch);
  put(out, s.own);
  put(out, s.peer);
  put(out, s.serving);
  put(out, static_cast<std::uint64_t>(s.offer_left.count()));
  put(out, static_cast<std::uint64_t>(s.offer_ends.since_boot.count()));
  put(out, s.noted);
  put(out, s.inviting);
  put(out, s.given_by);
  put(out, s.given_attempt);
  put(out, s.given_epoch);
  put(out, std::uint64_t{s.given_post_copy} | std::uint64_t{s.acknowledged} << 1 | std::uint64_t{s.useless} << 2);
  put(out, s.open);
  for (const auto& [node, attempt] : s.last) {
    put(out, node);
    put(out, attempt);
  }
  out += '|';
  for (const NodeName& node : s.asked) put(out, node);
  out += '|';
  for (const auto& [node, answer] : s.answers) {
    put(out, node);
    put(out, static_cast<std::uint64_t>(answer.kind));
  }
  return out;
}

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "explore: too many %s for their numbers: make the run smaller\n", what);
  std::exit(2);
}

}  // namespace

Room::Room(int nodes) : nodes_(nodes) {
  messages_.push_back({});  // number 0 is no message
  number(State{});
}

std::uint8_t Room::pack(Attempt attempt) {
  if (attempt.incarnation > 7 || attempt.number > 31) give_up("attempts");
  return static_cast<std::uint8_t>(attempt.incarnation * 32 + attempt.number);
}

std::uint32_t Room::number(State state) {
  state.doubt.clear();
  const auto [found, is_new] = state_numbers_.try_emplace(key_of(state), static_cast<std::uint32_t>(states_.size()));
  if (is_new) {
    if (states_.size() >= 1u << 24) give_up("states of a node");
    states_.push_back(std::move(state));
  }
  return found->second;
}

std::uint32_t Room::journalled(State s) {
  const State fresh;
  s.start = s.stop = s.push = 0;
  s.stop_is_real = s.aborting = s.dropping = false;
  s.inviting.clear();
  s.answers.clear();
  s.given_by.clear();
  s.given_attempt = fresh.given_attempt;
  s.given_epoch = fresh.given_epoch;
  s.given_post_copy = s.acknowledged = s.useless = false;
  return number(std::move(s));
}

std::uint16_t Room::number(const Message& m) {
  std::string key;
  put(key, static_cast<std::uint64_t>(m.say) * 64 + m.from * 8u + m.to);
  put(key, m.incarnation);
  put(key, m.attempt);
  put(key, m.epoch);
  put(key, m.noted);
  const auto [found, is_new] = message_numbers_.try_emplace(key, static_cast<std::uint16_t>(messages_.size()));
  if (is_new) {
    if (messages_.size() > 0xffff) give_up("messages");
    messages_.push_back(m);
  }
  return found->second;
}

handoff::Event Room::event(std::uint32_t state, EventKey key) const {
  namespace ev = handoff::event;
  const Attempt attempt = unpack(static_cast<std::uint8_t>(key.argument));
  switch (key.kind) {
    case Kind::start: return ev::Start{1};
    case Kind::start_ended: return ev::StartEnded{1, "its time is up"};
    case Kind::stop_offer: return ev::Stop{1, handoff::StopMeaning::offer, offer_time};
    case Kind::stop_real: return ev::Stop{1, handoff::StopMeaning::real, {}};
    case Kind::push: return ev::Push{1, name(key.argument)};
    case Kind::push_ended: return ev::PushEnded{states_[state].push, "its time is up"};
    case Kind::proven_fenced: return ev::Proven{name(key.argument), handoff::Proof::fenced};
    case Kind::proven_farewell: return ev::Proven{name(key.argument), handoff::Proof::farewell};
    case Kind::unproven: return ev::Unproven{name(key.argument)};
    case Kind::job_runs_here: return ev::JobEnded{attempt, handoff::JobEnd::runs_here};
    case Kind::job_paused_here: return ev::JobEnded{attempt, handoff::JobEnd::paused_here};
    case Kind::job_migrated: return ev::JobEnded{attempt, handoff::JobEnd::migrated};
    case Kind::job_vanished: return ev::JobEnded{attempt, handoff::JobEnd::vanished};
    case Kind::here_changed: return ev::HereChanged{};
    case Kind::boot_done: return ev::Executes{handoff::Due::boot};
    case Kind::resume_done: return ev::Executes{handoff::Due::resume};
    case Kind::boot_failed: return ev::BootFailed{"it could not"};
    case Kind::destroy_failed: return ev::DestroyFailed{"it could not"};
    case Kind::deadline: return ev::Deadline{};
    case Kind::take_back: return ev::Judged{handoff::Judgement::take_back, "unmanaged"};
    case Kind::time_short: return ev::TimeShort{};
    case Kind::recovered:
    case Kind::recovered_late: return ev::Recovered{};
    case Kind::resend: return ev::Resend{};
    case Kind::switch_wanted: return ev::SwitchWanted{attempt};
    case Kind::switch_refused: return ev::SwitchRefused{attempt, ""};
    case Kind::message:
    case Kind::message_not_claimable: break;
  }
  const Message& m = messages_[key.argument];
  const NodeName from = name(m.from);
  switch (m.say) {
    case Say::claim: return ev::Claim{from, m.attempt, key.kind == Kind::message, "another cluster manager holds it", m.epoch};
    case Say::withdraw: return ev::Withdraw{from, m.attempt};
    case Say::given: return ev::Given{from, m.attempt, m.epoch, m.incarnation != 0};
    case Say::released: return ev::Released{from, m.attempt, ""};
    case Say::gone: return ev::Gone{from, m.attempt, m.epoch, "of " + from, m.noted};
    case Say::acknowledged: return ev::Acknowledged{from, m.attempt, m.incarnation != 0};
    case Say::wait: return ev::Wait{from, m.attempt, ""};
    case Say::invite: return ev::Invite{from};
    case Say::refusal: {  // of a push that is still on; 0 names none
      const State& s = states_[state];
      return ev::PushEnded{s.inviting == from ? s.push : 0, "refused by " + from};
    }
    case Say::note: return ev::Note{{from, "of " + from, m.epoch}};
    case Say::farewell: return ev::Proven{from, handoff::Proof::farewell};
  }
  std::abort();
}

void Room::carry(int node, const handoff::Action& action, StepResult& result) {
  namespace ac = handoff::action;
  using What = Act::What;
  const auto me = static_cast<std::uint8_t>(node);
  const auto send = [&](Message m) {
    m.from = me;
    result.acts.push_back({What::send, number(m)});
  };
  const auto to = [](const NodeName& name) { return static_cast<std::uint8_t>(index(name)); };
  const auto act = [&](What what, std::uint16_t argument = 0, std::uint8_t at = 0) {
    result.acts.push_back({what, argument, at});
  };
  if (const auto* a = std::get_if<ac::SendClaim>(&action)) send({Say::claim, 0, to(a->to), 0, a->attempt, a->epoch, {}});
  if (const auto* a = std::get_if<ac::SendWithdraw>(&action)) send({Say::withdraw, 0, to(a->to), 0, a->attempt, {}, {}});
  if (const auto* a = std::get_if<ac::SendGiven>(&action)) send({Say::given, 0, to(a->to), a->post_copy, a->attempt, a->epoch, {}});
  if (const auto* a = std::get_if<ac::SendReleased>(&action)) send({Say::released, 0, to(a->to), 0, a->attempt, {}, {}});
  if (const auto* a = std::get_if<ac::SendGone>(&action)) {
    send({Say::gone, 0, to(a->to), 0, a->attempt, a->epoch, a->noted});
  }
  if (const auto* a = std::get_if<ac::SendWait>(&action)) send({Say::wait, 0, to(a->to), 0, a->attempt, {}, {}});
  if (const auto* a = std::get_if<ac::SendAcknowledged>(&action)) {
    send({Say::acknowledged, 0, to(a->to), a->fetching, a->attempt, {}, {}});
  }
  if (const auto* a = std::get_if<ac::SendInvite>(&action)) send({Say::invite, 0, to(a->to), 0, {}, {}, {}});
  if (const auto* a = std::get_if<ac::SendRefusal>(&action)) send({Say::refusal, 0, to(a->to), 0, {}, {}, {}});
  if (const auto* a = std::get_if<ac::SendNote>(&action)) {
    for (int other = 0; other < nodes_; ++other) {
      if (other != node) send({Say::note, 0, static_cast<std::uint8_t>(other), 0, {}, a->epoch, {}});
    }
  }
  if (std::get_if<ac::Boot>(&action)) act(What::boot);
  if (const auto* a = std::get_if<ac::StartJob>(&action)) act(What::start_job, pack(a->attempt), to(a->to));
  if (const auto* a = std::get_if<ac::WatchJob>(&action)) act(What::watch_job, pack(a->attempt));
  if (std::get_if<ac::Resume>(&action)) act(What::resume);
  if (std::get_if<ac::AbortJob>(&action)) act(What::abort_job);
  if (std::get_if<ac::StartPostCopy>(&action)) act(What::order_switch);
  if (std::get_if<ac::LetRun>(&action)) act(What::let_run);
  if (std::get_if<ac::DropCopy>(&action)) act(What::drop_copy);
  if (std::get_if<ac::ShutDown>(&action)) act(What::shut_down);
  if (const auto* a = std::get_if<ac::RequestFencing>(&action)) act(What::request_fencing, 0, to(a->node));
  if (const auto* a = std::get_if<ac::AnswerStart>(&action); a && a->ok) act(What::start_succeeds);
  if (const auto* a = std::get_if<ac::AnswerStop>(&action); a && a->ok) act(What::stop_succeeds);
  if (std::get_if<ac::RejudgeStop>(&action)) act(What::judge_stop);
  if (std::get_if<ac::RetryStart>(&action)) act(What::retry_start);
  if (const auto* a = std::get_if<ac::Say>(&action); a && a->text.find("Two instances ran") != std::string::npos) {
    act(What::two_ran);
  }
  result.texts.push_back(handoff::to_string(action));
}

StepResult Room::compute(int node, int incarnation, std::uint32_t state, handoff::Context context, EventKey key,
                         bool journal_fails) {
  handoff::Cluster cluster;
  cluster.self = name(node);
  cluster.installation = "of " + cluster.self;
  cluster.incarnation = static_cast<std::uint64_t>(incarnation);
  for (int other = 0; other < nodes_; ++other) {
    if (other != node) cluster.others.insert(name(other));
  }
  context.now.since_boot = key.kind == Kind::recovered_late ? offer_time * 2 : offer_time * 0;
  const State before = states_[state];
  const handoff::Event what = event(state, key);
  handoff::Step step = journal_fails ? handoff::journal_failed(cluster, before, context, what, "the disk is full")
                                     : handoff::step(cluster, before, context, what);
  StepResult result;
  result.journal = step.journal;
  for (const handoff::Action& action : step.actions) carry(node, action, result);
  result.next = number(step.next);
  result.disk = journalled(std::move(step.next));
  return result;
}

const StepResult& Room::step(int node, int incarnation, std::uint32_t state, handoff::Context view, EventKey key,
                             bool journal_fails) {
  const std::uint64_t number = std::uint64_t{state} << 40 | std::uint64_t{key.argument} << 24 |
                               static_cast<std::uint64_t>(key.kind) << 16 | std::uint64_t{view.fetching} << 15 | static_cast<std::uint64_t>(view.here) << 12 |
                               static_cast<std::uint64_t>(incarnation) << 8 | static_cast<std::uint64_t>(node) << 4 |
                               std::uint64_t{journal_fails};
  const auto found = steps_.find(number);
  if (found != steps_.end()) return found->second;
  StepResult result = compute(node, incarnation, state, view, key, journal_fails);
  return steps_.emplace(number, std::move(result)).first->second;
}

std::string Room::text(const Message& m) const {
  static const char* const words[] = {"claim", "withdraw", "given", "released", "gone", "acknowledged", "wait",
                                      "invite", "refusal", "note", "farewell"};
  std::string out = std::string(words[static_cast<int>(m.say)]) + " " + name(m.from) + "->" + name(m.to);
  if (m.say != Say::farewell && m.incarnation != 0) out += m.say == Say::given ? " (post-copy)" : " (still fetching)";
  if (!m.attempt.none()) out += " " + migrationd::to_string(m.attempt);
  if (m.epoch.value != 0) out += " e" + migrationd::to_string(m.epoch);
  return out;
}

}  // namespace model
