// SPDX-License-Identifier: GPL-2.0-or-later
// Words for phases, events and actions: for the log, `explain`, the simulator and the explorer's traces.
#include "migrationd/handoff/handoff.h"

namespace migrationd::handoff {

const char* to_string(Phase phase) {
  switch (phase) {
    case Phase::gone: return "gone";
    case Phase::claim: return "claim";
    case Phase::withdrawn: return "withdrawn";
    case Phase::held: return "held";
    case Phase::offered: return "offered";
    case Phase::moving: return "moving";
    case Phase::stopping: return "stopping";
    case Phase::given: return "given";
  }
  return "?";
}

const char* to_string(Here here) {
  switch (here) {
    case Here::absent: return "absent";
    case Here::running: return "running";
    case Here::paused: return "paused";
    case Here::incoming: return "incoming";
    case Here::remains: return "in post-copy";
    case Here::unknown: return "unknown";
  }
  return "?";
}

namespace {

const char* to_string(JobEnd end) {
  switch (end) {
    case JobEnd::runs_here: return "runs here";
    case JobEnd::paused_here: return "paused here";
    case JobEnd::migrated: return "migrated";
    case JobEnd::vanished: return "vanished";
  }
  return "?";
}

const char* to_string(Proof proof) {
  switch (proof) {
    case Proof::fenced: return "fenced";
    case Proof::farewell: return "farewell";
    case Proof::not_member: return "not a member";
  }
  return "?";
}

const char* to_string(Judgement judgement) {
  switch (judgement) {
    case Judgement::stands: return "stands";
    case Judgement::real_stop: return "real stop";
    case Judgement::take_back: return "take back";
  }
  return "?";
}

std::string because(const std::string& why) { return why.empty() ? "" : " (" + why + ")"; }

struct EventText {
  std::string operator()(const event::Start&) const { return "start"; }
  std::string operator()(const event::StartEnded& e) const { return "start ended" + because(e.why); }
  std::string operator()(const event::Stop& e) const {
    return e.meaning == StopMeaning::real ? "stop, a real one" : "stop, an offer";
  }
  std::string operator()(const event::Push& e) const { return "push to " + e.to; }
  std::string operator()(const event::PushEnded& e) const { return "push ended" + because(e.why); }
  std::string operator()(const event::Invite& e) const { return "invite from " + e.from; }
  std::string operator()(const event::Claim& e) const { return "claim " + name(e.attempt) + " from " + e.from; }
  std::string operator()(const event::Withdraw& e) const { return "withdraw " + name(e.attempt) + " from " + e.from; }
  std::string operator()(const event::Given& e) const {
    return "given " + name(e.attempt) + " epoch " + migrationd::to_string(e.epoch) + " from " + e.from + (e.post_copy ? " in post-copy" : "");
  }
  std::string operator()(const event::Released& e) const {
    return "released " + name(e.attempt) + " from " + e.from + because(e.why);
  }
  std::string operator()(const event::Gone& e) const {
    return "gone " + name(e.attempt) + " epoch " + migrationd::to_string(e.epoch) + " from " + e.from;
  }
  std::string operator()(const event::Acknowledged& e) const { return "acknowledged by " + e.from + (e.fetching ? ", which still fetches memory" : ""); }
  std::string operator()(const event::Wait& e) const { return "wait from " + e.from + because(e.why); }
  std::string operator()(const event::Note& e) const {
    return "note from " + e.holder.node + " epoch " + migrationd::to_string(e.holder.epoch);
  }
  std::string operator()(const event::Proven& e) const { return e.node + " proven absent: " + to_string(e.proof); }
  std::string operator()(const event::Unproven& e) const { return e.node + " spoke again"; }
  std::string operator()(const event::JobEnded& e) const {
    return "job " + name(e.attempt) + " ended: " + to_string(e.end);
  }
  std::string operator()(const event::HereChanged&) const { return "the hypervisor's view changed"; }
  std::string operator()(const event::Executes&) const { return "executes"; }
  std::string operator()(const event::BootFailed& e) const { return "boot failed" + because(e.why); }
  std::string operator()(const event::DestroyFailed& e) const { return "destroy failed" + because(e.why); }
  std::string operator()(const event::Deadline&) const { return "the offer's deadline"; }
  std::string operator()(const event::Judged& e) const {
    return std::string("judged: ") + to_string(e.judgement) + because(e.why);
  }
  std::string operator()(const event::TimeShort&) const { return "the stop's time is short"; }
  std::string operator()(const event::Recovered&) const { return "daemon came up"; }
  std::string operator()(const event::Forget& e) const { return "forget " + e.node; }
  std::string operator()(const event::Resend&) const { return "resend"; }
  std::string operator()(const event::SwitchWanted& e) const { return "post-copy wanted for " + name(e.attempt); }
  std::string operator()(const event::SwitchRefused& e) const { return "post-copy refused for " + name(e.attempt) + because(e.why); }
  static std::string name(Attempt attempt) { return migrationd::to_string(attempt); }
};

struct ActionText {
  std::string operator()(const action::SendClaim& a) const { return "claim " + name(a.attempt) + " to " + a.to + " knowing epoch " + migrationd::to_string(a.epoch);
  }
  std::string operator()(const action::SendWithdraw& a) const { return "withdraw " + name(a.attempt) + " to " + a.to; }
  std::string operator()(const action::SendGiven& a) const {
    return "given " + name(a.attempt) + " epoch " + migrationd::to_string(a.epoch) + " to " + a.to + (a.post_copy ? " in post-copy" : "");
  }
  std::string operator()(const action::SendReleased& a) const {
    return "released " + name(a.attempt) + " to " + a.to + because(a.why);
  }
  std::string operator()(const action::SendGone& a) const {
    return "gone " + name(a.attempt) + " epoch " + migrationd::to_string(a.epoch) + " to " + a.to;
  }
  std::string operator()(const action::SendWait& a) const { return "wait to " + a.to + because(a.why); }
  std::string operator()(const action::SendAcknowledged& a) const { return "acknowledged to " + a.to + (a.fetching ? ", memory still fetched" : ""); }
  std::string operator()(const action::SendInvite& a) const { return "invite to " + a.to; }
  std::string operator()(const action::SendRefusal& a) const { return "refusal to " + a.to + because(a.why); }
  std::string operator()(const action::SendNote& a) const { return "note epoch " + migrationd::to_string(a.epoch); }
  std::string operator()(const action::Boot&) const { return "boot"; }
  std::string operator()(const action::StartJob& a) const { return "start job " + name(a.attempt) + " to " + a.to; }
  std::string operator()(const action::AbortJob&) const { return "abort job"; }
  std::string operator()(const action::StartPostCopy& a) const { return "start post-copy of " + name(a.attempt); }
  std::string operator()(const action::LetRun& a) const { return "let the copy of " + name(a.attempt) + " from " + a.from + " run"; }
  std::string operator()(const action::WatchJob& a) const { return "watch job " + name(a.attempt); }
  std::string operator()(const action::Resume&) const { return "resume"; }
  std::string operator()(const action::DropCopy&) const { return "drop copy"; }
  std::string operator()(const action::ShutDown& a) const { return a.at_once ? "destroy" : "shut down"; }
  std::string operator()(const action::ArmOffer&) const { return "arm offer"; }
  std::string operator()(const action::DisarmOffer&) const { return "disarm offer"; }
  std::string operator()(const action::RequestFencing& a) const { return "request fencing of " + a.node; }
  std::string operator()(const action::AnswerStart& a) const { return answer("start", a.ok, a.why); }
  std::string operator()(const action::AnswerStop& a) const { return answer("stop", a.ok, a.why); }
  std::string operator()(const action::AnswerPush& a) const { return answer("push", a.ok, a.why); }
  std::string operator()(const action::RejudgeStop&) const { return "judge the stop anew"; }
  std::string operator()(const action::RetryStart&) const { return "try the start again"; }
  std::string operator()(const action::Say& a) const { return (a.alarm ? "ALARM: " : "say: ") + a.text; }
  static std::string name(Attempt attempt) { return migrationd::to_string(attempt); }
  static std::string answer(const char* what, bool ok, const std::string& why) {
    return std::string(what) + (ok ? " succeeds" : " fails") + because(why);
  }
};

}  // namespace

std::string to_string(const Event& event) { return std::visit(EventText{}, event); }
std::string to_string(const Action& action) { return std::visit(ActionText{}, action); }

}  // namespace migrationd::handoff
