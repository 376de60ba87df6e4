// SPDX-License-Identifier: GPL-2.0-or-later
// A stop: its meaning is asked of the cluster manager, the destination is asked whether it is ready, and what
// stands offered is judged again. Whatever is unsure, silent or not ready makes it a real stop.
#include <algorithm>

#include "migrationd/engine/engine.h"
#include "migrationd/engine/pending.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;
using handoff::StopMeaning;
namespace event = handoff::event;

namespace {

/// An offer with something active beneath the domain stands no longer than this.
constexpr Milliseconds short_offer = 30s;
/// Of a stop whose caller sets no limit, where shutdown_timeout does not ask for more.
constexpr Milliseconds stop_of_a_guest = 180s;
/// A silent hypervisor is waited for so long before a stop is a real one; and looked at in this rhythm.
constexpr Milliseconds hypervisor_silence = 20s;
constexpr Milliseconds look_again_after = 200ms;
/// Somebody waits for an explanation as if for a stop of this length; a quarter of it is the destination's.
constexpr Milliseconds explained_stop = 12s;

/// It is ours to offer or to end. Also what runs here without us having been asked, started by hand.
bool is_ours(const handoff::State& state, const DomainView& view) {
  const bool by_hand = state.phase == Phase::gone && view.here == Here::running;
  return by_hand || state.phase == Phase::held || state.phase == Phase::offered || state.phase == Phase::moving;
}

}  // namespace

void Engine::begin_stop(Pending& pending) {
  const handoff::Token token = pending.token;
  const Milliseconds time = pending.ends - world_.clock.now();
  pending.short_timer = world_.clock.schedule(time * 2 / 3, [this, token] {
    const auto found = pending_.find(token);
    if (found == pending_.end()) return;
    found->second->short_timer = 0;
    find(found->second->uuid)->feed(event::TimeShort{});
  });
  find(pending.uuid)->stop_by(real_stop_by(pending));
  pending.decide_by = world_.clock.now() + std::min(hypervisor_silence, time / 3);
  mean_stop(token);
}

StopQuestion Engine::question_of(const DomainRunner& runner) const {
  return {runner.record().resource, "ocf", 0, runner.record().uuid};
}

void Engine::mean_stop(handoff::Token token) {
  const auto found = pending_.find(token);
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  if (wait_until_told(pending) || wait_for_hypervisor(pending)) return;
  DomainRunner& runner = *find(pending.uuid);
  if (!is_ours(runner.state(), runner.view())) {
    runner.feed(event::Stop{token, StopMeaning::real, {}});
    return;
  }
  if (const std::string why = why_real_stop(runner); !why.empty()) {
    real_stop(pending, why);
    return;
  }
  StopQuestion question = question_of(runner);
  question.face = pending.order.face;
  question.heartbeat_cause = static_cast<int>(pending.order.cause);
  world_.cluster.intent_of_stop(question, alive<StopIntent>([this, token](StopIntent intent) {
    offer_if_ready(token, intent);
  }));
}

std::string Engine::why_real_stop(const handoff::State& state, const DomainView& view, const Policy& policy) {
  if (!is_ours(state, view)) {
    return std::string("it is not this node's to hand over (") + handoff::to_string(state.phase) + ", " + handoff::to_string(view.here) + " here)";
  }
  const bool well = view.here == Here::running && view.healthy;
  if (!well && state.phase != Phase::moving) return view.detail.empty() ? "it is not healthy" : "it is " + view.detail;
  switch (policy.handoff) {
    case Policy::Handoff::off: return "handoff=off";
    case Policy::Handoff::automatic: return {};
  }
  return {};
}

std::string Engine::why_real_stop(const DomainRunner& runner) const {
  const auto twice = ran_twice_.find(runner.record().uuid);
  if (twice != ran_twice_.end() && twice->second == runner.state().epoch)
    return "it ran on two nodes at once: its disks are to be checked by a new boot";
  return why_real_stop(runner.state(), runner.view(), runner.policy());
}

void Engine::ask_whether_ready(const DomainUuid& uuid, const NodeName& node, Callback<WouldTake> done) {
  if (!cluster_.others.contains(node)) {
    done({Error{"'" + node + "' is not another node of this cluster"}});
    return;
  }
  ask_ready(node, runner(uuid, ""), world_.clock.now() + explained_stop, runner(uuid, "").policy().handoff_timeout,
            [this, uuid, done = std::move(done)](Fitness ready) {
              done({ready.ok() ? Outcome{Done{}} : Outcome{Error{ready.error()}}, ready.takes, runner(uuid, "").priority()});
            }, true);
}

/// A libvirtd or daemon that was just restarted does not say yet what runs here: nothing is decided about a
/// domain on such a moment, as long as the stop has time for its real end, too.
bool Engine::wait_for_hypervisor(Pending& pending) {
  const bool time_left = world_.clock.now() < pending.decide_by;
  if (find(pending.uuid)->view().here != Here::unknown || !time_left) return false;
  const handoff::Token token = pending.token;
  world_.clock.schedule(look_again_after, [this, token] { mean_stop(token); });
  return true;
}

Milliseconds Engine::real_stop_time(const DomainRunner& runner) {
  return std::max(stop_of_a_guest, runner.policy().shutdown_timeout * 5 / 4 + 30s);
}

/// A guest that does not listen is not waited for all the time that a move may take.
Instant Engine::real_stop_by(const Pending& pending) {
  if (!pending.without_limit) return pending.ends;
  return std::min(pending.ends, world_.clock.now() + real_stop_time(*find(pending.uuid)));
}

void Engine::real_stop(Pending& pending, const std::string& reason) {
  DomainRunner& runner = *find(pending.uuid);
  runner.stop_by(real_stop_by(pending));
  runner.remark("a real stop: " + reason);
  runner.feed(event::Stop{pending.token, StopMeaning::real, {}});
}

/// on_incompatible=restart: a migrate_to that ends with the domain really stopped is a success, and the migrate_from that follows
/// boots it, as nobody has it. Only where it surely can, also for the proof that a boot needs of every node and a migration does
/// not: before that nothing is parted with.
void Engine::move_cold(Pending& pending, const std::string& why) {
  const handoff::Token token = pending.token;
  const NodeName to = pending.order.target;
  const auto refuse = [this, token, why](const std::string& more) {
    const auto found = pending_.find(token);
    if (found == pending_.end() || found->second->time_is_up || !found->second->reply) return;
    finish(token, {wire::OcfCode::error, why + "; " + more});
  };
  if (find(pending.uuid)->record().definition.empty())
    return refuse("it can't be booted there, as its definition is not known on this node: give the parameter config");
  ask_whether_it_boots(to, *find(pending.uuid), pending.ends, alive<Fitness>([this, token, to, why, refuse](Fitness boots) {
    if (!boots.ok()) return refuse("booted anew it could not run there either: " + boots.error());
    ask_whether_absent_beside_us(alive<Outcome>([this, token, to, why, refuse](Outcome absent) {
      const auto found = pending_.find(token);
      if (found == pending_.end() || found->second->time_is_up || !found->second->reply) return;
      const DomainRunner& runner = *find(found->second->uuid);
      if (!absent.ok()) return refuse("stopped here it could be booted nowhere: " + absent.error());
      if (runner.state().phase != Phase::held || runner.view().here != Here::running) return refuse("it is not this node's to stop any more");
      real_stop(*found->second, why + "; it is stopped here, to be booted on " + to + " (on_incompatible=restart)");
    }));
  }));
}

void Engine::offer_if_ready(handoff::Token token, const StopIntent& intent) {
  const auto found = pending_.find(token);
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  DomainRunner& runner = *find(pending.uuid);
  if (intent.intent != Intent::stop && wait_for_hypervisor(pending)) return;
  const Milliseconds stands =
      intent.short_offer ? std::min(short_offer, runner.policy().handoff_timeout) : runner.policy().handoff_timeout;
  switch (intent.intent) {
    case Intent::stop:
      real_stop(pending, intent.reason);
      return;
    case Intent::keep:
      keep(token, intent, stands);
      return;
    case Intent::offer:
    case Intent::push:
      break;
  }
  // A push has half of the stop's time; who fetches an offer has as much as the offer (start_job).
  const Milliseconds job_time =
      intent.intent == Intent::push ? (pending.ends - world_.clock.now()) / 2 : runner.policy().handoff_timeout;
  ask_ready(intent.to, runner, pending.ends, job_time, alive<Fitness>([this, token, intent, stands](Fitness ready) {
    const auto still = pending_.find(token);
    if (still == pending_.end()) return;
    Pending& waiting = *still->second;
    DomainRunner& one = *find(waiting.uuid);
    if (!ready.ok()) {
      const bool restart = ready.incompatible && one.policy().restart_if_incompatible;
      // After a failed migration that may be why it failed: it is fetched when it can be, or started here again.
      if (intent.intent == Intent::offer && intent.after_failed_migration && !restart) {
        keep(token, {Intent::keep, {}, "a migration failed before, and " + ready.error()}, stands);
        return;
      }
      real_stop(waiting, "it was to go to " + intent.to + ", but " + ready.error());
      return;
    }
    if (wait_for_hypervisor(waiting)) return;
    if (intent.intent == Intent::offer) {
      waiting.parted = "offered to " + intent.to + ": " + intent.reason;
      offered_to_[waiting.uuid] = {intent.to, world_.peers.boot_id(intent.to)};
      one.feed(event::Stop{token, StopMeaning::offer, stands});
      return;
    }
    one.remark("pushed to " + intent.to + " before the stop returns: " + intent.reason);
    waiting.pushing = true;
    // Half of the time is the real stop's, should the push fail: a stop that fails gets the node fenced.
    const Milliseconds half = (waiting.ends - world_.clock.now()) / 2;
    one.job_by(world_.clock.now() + half);
    world_.clock.schedule(half, [this, token] {
      const auto late = pending_.find(token);
      if (late == pending_.end() || !late->second->pushing) return;
      find(late->second->uuid)->feed(event::PushEnded{token, "half of the stop's time is over"});
    });
    one.feed(event::Push{token, intent.to});
  }));
}

/// An offer to ourselves; at once, unless another node may run it, too.
void Engine::keep(handoff::Token token, const StopIntent& intent, Milliseconds stands) {
  const auto offer = [this, token, intent, stands](Fitness alone) {
    const auto found = pending_.find(token);
    if (found == pending_.end()) return;
    Pending& pending = *found->second;
    if (!alone.ok()) {
      real_stop(pending, intent.reason + ", but " + alone.error());
      return;
    }
    if (wait_for_hypervisor(pending)) return;
    pending.parted = "kept running: " + intent.reason;
    offered_to_.erase(pending.uuid);
    find(pending.uuid)->feed(event::Stop{token, StopMeaning::offer, stands});
  };
  Pending& pending = *pending_.at(token);
  DomainRunner& runner = *find(pending.uuid);
  if (intent.also_on.empty()) return offer(Fitness{});
  ask_ready(intent.also_on, runner, pending.ends, runner.policy().handoff_timeout, alive<Fitness>(offer), true);
}

void Engine::rejudge_stop(handoff::Token token) {
  world_.clock.schedule(0ms, [this, token] { mean_stop(token); });
}

OfferQuestion Engine::offer_question(const DomainRunner& runner) const {
  OfferQuestion question{question_of(runner), {}, {}, {}};
  for (const NodeName& node : cluster_.others) {
    if (world_.peers.linked(node)) continue;
    if (farewells_.contains(node)) {
      question.left.insert(node);
    } else {
      const auto lost = link_lost_.find(node);
      question.silent[node] = lost == link_lost_.end() ? begun_ : lost->second;
    }
  }
  const auto offered = offered_to_.find(runner.record().uuid);
  if (offered != offered_to_.end()) {
    const auto& [node, boot_id] = offered->second;
    if (!boot_id.empty() && world_.peers.linked(node) && world_.peers.boot_id(node) != boot_id) question.rebooted = {node};
  }
  return question;
}

void Engine::judge_offers() {
  for (auto& [uuid, runner] : runners_) {
    const handoff::State& state = runner->state();
    const OfferQuestion question = offer_question(*runner);
    // A job to a node that is not there any more can stall until its time is up.
    const bool stalls = state.phase == Phase::moving && !state.from_held &&
                        (!world_.peers.linked(state.peer) || question.rebooted.contains(state.peer));
    if (state.phase != Phase::offered && !stalls) continue;
    const DomainUuid id = uuid;
    world_.cluster.judge_offer(question, alive<OfferJudgement>([this, id](OfferJudgement judged) {
      DomainRunner* one = find(id);
      if (one == nullptr || judged.judgement == handoff::Judgement::stands) return;
      one->feed(event::Judged{judged.judgement, judged.reason});
    }));
  }
}

}  // namespace migrationd::engine
