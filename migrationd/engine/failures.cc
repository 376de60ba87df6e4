// SPDX-License-Identifier: GPL-2.0-or-later
// A domain that this node holds came to its end without anybody here having been asked: the cluster manager is told at once,
// not at the next monitor. A guest that was powered off and is to stay off (on_poweroff=stay-off) is none that failed: it is set
// to stopped instead.
//
//   the hypervisor's view --> ended? --> how: recovery::how_it_ended --> report_failure, or stay_off and only if that fails the other
//
// While that is under way,
//   - a stop of it waits: a failure that the cluster manager notes after the stop would be one of a resource that may run
//     elsewhere by then, and have both stopped. It waits until its time to decide is up, which calls off what is not ordered
//     yet; for what is ordered it waits to the end;
//   - a monitor waits: "not running", said before the resource is set to stopped, has it started again; and said beside
//     the report or that setting it counts as another failure. So it is a success when the cluster manager was told, also a moment later,
//     until that has ordered something; and true in any other case. If its own time is up first, it is a success, too: the wait is bounded by
//     that of the commands, and the next one is true.
#include <algorithm>

#include "migrationd/engine/engine.h"
#include "migrationd/engine/pending.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;
using recovery::Ending;
using wire::OcfCode;

namespace {

/// A guest that panicked may be started again by the hypervisor itself (on_crash=restart): this long it is waited for.
constexpr Milliseconds stays_crashed = 3s;
/// Of a monitor whose caller sets no limit.
constexpr Milliseconds monitor_without_limit = 20s;
/// What the cluster manager was told it acts upon within this time; its stop ends it.
constexpr Milliseconds acts_within = 2s;
/// A daemon that was just started may know what runs here before it knows that its cluster manager does.
constexpr Milliseconds cluster_known_after = 2s;

bool has_crashed(const DomainView& view) { return view.here == Here::running && view.crashed; }

}  // namespace

bool Engine::ordered(const DomainUuid& uuid) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const auto& entry) { return entry.second->uuid == uuid; });
}

/// Ours, and nobody has ordered anything about it: neither a stop nor a move is the reason of what is seen of it.
bool Engine::answers_for(const DomainRunner& runner) const {
  const handoff::State& state = runner.state();
  if (leaving_ || runner.record().resource.empty()) return false;
  if (state.phase != Phase::held || state.due != handoff::Due::nothing || !state.inviting.empty()) return false;
  return !ordered(runner.record().uuid);
}

void Engine::notice_end(const DomainUuid& uuid, bool earlier) {
  const DomainRunner* runner = find(uuid);
  if (runner == nullptr) return;
  const DomainView view = runner->view();
  const bool crashed = has_crashed(view);
  if (const auto told = tellings_.find(uuid); told != tellings_.end()) {
    if (told->second.under_way || view.here != Here::running || crashed) return;
    tellings_.erase(told);  // it is another life
  }
  if (!answers_for(*runner)) return;
  if (view.here == Here::absent) return tell_end(uuid, world_.hypervisor.ending(uuid, runner->record().name), earlier);
  if (!crashed || !crashed_.insert(uuid).second) return;
  world_.clock.schedule(stays_crashed, [this, uuid] {
    crashed_.erase(uuid);
    const DomainRunner* still = find(uuid);
    if (!tellings_.contains(uuid) && still != nullptr && has_crashed(still->view()) && answers_for(*still)) tell_end(uuid, Ending::crashed, false);
  });
}

/// It ended while no daemon was here. Where the cluster manager is not here either, as after a boot of the node, it knows.
void Engine::notice_earlier_end(const DomainUuid& uuid) {
  if (world_.cluster.active_here()) return notice_end(uuid, true);
  const DomainRunner& runner = *find(uuid);
  if (!answers_for(runner) || runner.view().here != Here::absent) return;
  const Ending ending = world_.hypervisor.ending(uuid, runner.record().name);
  world_.clock.schedule(cluster_known_after, [this, uuid, ending] {
    const DomainRunner* still = find(uuid);
    const bool gone = still != nullptr && still->state().phase == Phase::gone && still->view().here == Here::absent;
    if (gone && !ordered(uuid) && !tellings_.contains(uuid) && world_.cluster.active_here()) tell_end(uuid, ending, true);
  });
}

/// `earlier`: at a daemon's start the cluster manager knows most of it already, and nothing is said unless it did not.
void Engine::tell_end(const DomainUuid& uuid, Ending ending, bool earlier) {
  DomainRunner& runner = *find(uuid);
  tellings_[uuid] = {};
  const std::string what = std::string("it ") + recovery::in_words(ending) + (earlier ? " while no daemon was here" : "");
  if (!earlier) runner.remark(what + "; that was not asked for here");
  if (ending != Ending::powered_off || !runner.policy().stay_off) return report_end(uuid, what, earlier, "");
  world_.cluster.stay_off(runner.record().resource, still_wanted(uuid), alive<Outcome>([this, uuid, what, earlier](Outcome set) {
    if (set.ok()) {
      find(uuid)->alarm(AlarmKind::domain_gone, what + " and stays off (on_poweroff=stay-off), until the cluster manager is told to start it");
      return end_told(uuid, true);
    }
    tellings_.at(uuid).ordered = false;
    const std::string alarm = what + " and was to stay off (on_poweroff=stay-off), but the cluster manager could not be told so: " +
                              set.error() + "; it may start it again";
    if (!earlier) find(uuid)->alarm(AlarmKind::domain_gone, alarm);
    report_end(uuid, what, earlier, earlier ? alarm : "");
  }));
}

/// `alarm`: to be said if the report was made.
void Engine::report_end(const DomainUuid& uuid, const std::string& what, bool earlier, const std::string& alarm) {
  world_.cluster.report_failure(find(uuid)->record().resource, what, still_wanted(uuid), alive<Outcome>([this, uuid, what, earlier, alarm](Outcome told) {
    DomainRunner& runner = *find(uuid);
    if (told.ok() && !alarm.empty()) runner.alarm(AlarmKind::domain_gone, alarm);
    if (told.ok()) runner.remark("the cluster manager was told of its end: " + what);
    else if (!earlier) runner.remark("the cluster manager was not told of its end: " + told.error());
    end_told(uuid, told.ok());
  }));
}

/// Asked right before the cluster manager is told.
std::function<bool()> Engine::still_wanted(const DomainUuid& uuid) {
  return [this, weak = std::weak_ptr<int>(life_), uuid] {
    if (!weak.lock()) return false;
    Telling& telling = tellings_.at(uuid);
    const Instant now = world_.clock.now();
    const bool late = std::any_of(telling.stops.begin(), telling.stops.end(), [&](const auto& stop) { return stop.second <= now; });
    return telling.ordered = !telling.called_off && !late;
  };
}

void Engine::end_told(const DomainUuid& uuid, bool told) {
  Telling over;
  over.under_way = false;
  const Telling waiting = std::exchange(tellings_.at(uuid), over);
  if (told && waiting.stops.empty()) tellings_.at(uuid).acted_upon_by = world_.clock.now() + acts_within;
  for (const auto& [stop, until] : waiting.stops) mean_stop(stop);
  for (const auto& [number, one] : waiting.monitors) {
    world_.clock.cancel(one.timer);
    one.reply(told ? OrderReply{OcfCode::success, ""} : monitor(one.order));
  }
  notice_end(uuid);  // it may execute again
}

bool Engine::wait_until_told(Pending& pending) {
  const auto found = tellings_.find(pending.uuid);
  if (found == tellings_.end()) return false;
  found->second.acted_upon_by = Instant{};
  if (!found->second.under_way || world_.clock.now() >= pending.decide_by) return false;
  const handoff::Token token = pending.token;
  found->second.stops[token] = pending.decide_by;
  world_.clock.schedule(pending.decide_by - world_.clock.now(), [this, uuid = pending.uuid, token] {
    const auto still = tellings_.find(uuid);
    if (still == tellings_.end() || !still->second.stops.contains(token) || still->second.ordered) return;
    still->second.called_off = true;
    still->second.stops.erase(token);
    mean_stop(token);
  });
  return true;
}

void Engine::answer_monitor(Order order, Callback<OrderReply> reply) {
  const DomainRunner* runner = order.definition ? find(order.definition->uuid) : find_resource(order.resource);
  if (runner == nullptr) return reply(monitor(order));
  const DomainUuid uuid = runner->record().uuid;
  notice_end(uuid);  // a view can change with time alone
  const auto found = tellings_.find(uuid);
  if (found == tellings_.end()) return reply(monitor(order));
  const bool on_its_way = !found->second.under_way && world_.clock.now() < found->second.acted_upon_by;
  if (on_its_way && runner->view().here != Here::running) return reply({OcfCode::success, ""});
  if (!found->second.under_way) return reply(monitor(order));
  const Milliseconds time = order.timeout.count() > 0 ? order.timeout * 3 / 4 : monitor_without_limit;
  auto& waiting = found->second.monitors;
  const std::uint64_t number = waiting.empty() ? 1 : waiting.rbegin()->first + 1;
  const TimerId timer = world_.clock.schedule(time, [this, uuid, number] {
    const auto late = tellings_.at(uuid).monitors.extract(number);
    late.mapped().reply({OcfCode::success, ""});
  });
  waiting[number] = {std::move(order), std::move(reply), timer};
}

}  // namespace migrationd::engine
