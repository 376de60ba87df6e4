// SPDX-License-Identifier: GPL-2.0-or-later
// What people must look at, and when that is over. Ends are told whenever all is seen to be well, not only when it becomes so:
// the alarm may be one of a daemon before this one.
#include <algorithm>
#include <utility>

#include "migrationd/engine/engine.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;

namespace {

/// The same alarm is not said again before this.
constexpr Milliseconds said_again_after = 30s;
/// libvirtd is restarted and upgraded now and then.
constexpr unsigned away_for_seconds = 30;

bool ours(Phase phase) { return phase == Phase::held || phase == Phase::offered || phase == Phase::moving; }

}  // namespace

void DomainRunner::alarm(AlarmKind kind, const std::string& text) {
  const bool lately = std::any_of(remarks_.begin(), remarks_.end(), [&](const Remark& before) {
    return before.stands && before.text == text && before.at + said_again_after > world_.clock.now();
  });
  if (!lately) note(text, kind);
  world_.log.raise(kind, subject(), text, lately);
}

void DomainRunner::clear(AlarmKind kind, const std::string& why) {
  for (Remark& before : remarks_)
    if (before.stands == kind) before.stands.reset();
  world_.log.clear(kind, subject(), why);
}

void DomainRunner::look_at_alarms(const handoff::State& before) {
  const handoff::State& now = record_.state;
  const DomainView seen = view();
  const bool settled = now.due == handoff::Due::nothing && (now.phase == Phase::held || now.phase == Phase::offered);
  seen_here_ = seen_here_ || (settled && seen.here == Here::running);
  // A migration's end leaves it paused for a moment, and so does a job under way. What just ends is no fault, either.
  if (settled && seen.here == Here::running && !seen.healthy && !seen.job && !seen.ending) {
    alarm(AlarmKind::domain_unhealthy, "it is not healthy: " + (seen.detail.empty() ? std::string("stopped") : seen.detail));
  } else if (settled && seen.here == Here::running && seen.healthy) {
    for (const AlarmKind kind : {AlarmKind::domain_unhealthy, AlarmKind::domain_gone, AlarmKind::resume_failed, AlarmKind::lost_in_post_copy,
                                 AlarmKind::copy_dropped, AlarmKind::copy_not_dropped, AlarmKind::not_ended})
      clear(kind, "it runs here");
  }
  if (now.phase != Phase::gone) return;
  // A stop leads over `stopping`, a migration over `given`. What is gone when the daemon begins may have gone with the node.
  if (std::exchange(seen_here_, false) && ours(before.phase) && before.due == handoff::Due::nothing)
    alarm(AlarmKind::domain_gone, std::string("it ") + recovery::in_words(world_.hypervisor.ending(record_.uuid, record_.name)) + ", and was not told to end here");
  if (seen.here != Here::absent) return;
  save_trouble_.clear();
  share_trouble_.clear();
  for (const AlarmKind kind : {AlarmKind::domain_unhealthy, AlarmKind::resume_failed, AlarmKind::copy_not_dropped, AlarmKind::not_ended,
                               AlarmKind::not_fetched, AlarmKind::definition_not_saved, AlarmKind::definition_not_shared})
    clear(kind, "nothing of it is here any more");
}

void DomainRunner::held_elsewhere(const NodeName& node) {
  for (const AlarmKind kind : {AlarmKind::domain_gone, AlarmKind::lost_in_post_copy, AlarmKind::copy_dropped}) clear(kind, "it runs on " + node);
}

void Engine::say_link(const NodeName& node, bool up) {
  world_.log.happened(up ? EventKind::link_up : EventKind::link_down, Subject::node(node), Log::Level::notice,
                      "the link to " + node + (up ? " is up" : " is down"));
  if (!up) return;
  for (const AlarmKind kind : {AlarmKind::absent_without_proof, AlarmKind::fencing_failed})
    world_.log.clear(kind, Subject::node(node), "it is linked again");
}

void Engine::say_whether_hypervisor_answers() {
  const bool answers = hypervisor_usable_;
  seconds_away_ = 0;
  world_.log.happened(answers ? EventKind::hypervisor_back : EventKind::hypervisor_away, Subject::daemon(),
                      answers ? Log::Level::notice : Log::Level::warning, answers ? "the hypervisor answers" : "the hypervisor does not answer");
  if (answers) world_.log.clear(AlarmKind::hypervisor_away, Subject::daemon(), "it answers again");
}

void Engine::still_away() {
  if (++seconds_away_ == away_for_seconds)
    world_.log.raise(AlarmKind::hypervisor_away, Subject::daemon(),
                     "the hypervisor has not answered for " + std::to_string(away_for_seconds) + " s: nothing is started, moved or stopped here");
}

void Engine::request_fencing(const NodeName& node, const std::string& why) {
  world_.cluster.request_fencing(node, why, alive<Outcome>([this, node](Outcome outcome) {
    if (outcome.ok()) return world_.log.clear(AlarmKind::fencing_failed, Subject::node(node), "it was fenced");
    world_.log.raise(AlarmKind::fencing_failed, Subject::node(node), "fencing of " + node + " failed: " + outcome.error());
  }));
}

}  // namespace migrationd::engine
