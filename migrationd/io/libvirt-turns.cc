// SPDX-License-Identifier: GPL-2.0-or-later
// LibvirtHypervisor's migrations: each waits for its turn, then it is a MigrationJob.
#include <algorithm>

#include "migrationd/converge/turns.h"
#include "migrationd/io/libvirt-migration.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds look_again{1000};
/// Until a migration has gone to a node, in bytes per second: a network of 1 Gbit/s.
constexpr std::uint64_t usual_speed = 100 * 1024 * 1024;

Milliseconds since(std::chrono::steady_clock::time_point when) {
  return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - when);
}

}  // namespace

void LibvirtHypervisor::migrate(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) {
  queue_[++queued_] = {uuid, order, std::move(done), std::chrono::steady_clock::now(), ""};
  next_turns();
}

void LibvirtHypervisor::places_at(const NodeName& to, std::optional<int> places) {
  const auto known = places_.find(to);
  if (places ? known != places_.end() && known->second == *places : known == places_.end()) return;
  if (places) places_[to] = *places;
  else places_.erase(to);
  next_turns();
}

std::string LibvirtHypervisor::why_it_waits(const Queued& queued) const {
  const std::map<NodeName, int> going = ordered_jobs();
  int all = 0;
  for (const auto& [node, count] : going) all += count;
  const std::string begin = "waits for its turn: ";
  if (all >= config_.migrations_at_once)
    return begin + std::to_string(all) + " migrations leave this node already (migrations_at_once = " + std::to_string(config_.migrations_at_once) + ")";
  const auto places = places_.find(queued.order.to);
  if (places == places_.end()) return begin + "others go first";
  return begin + queued.order.to + " takes " + (places->second == 0 ? "none" : "no more than " + std::to_string(places->second)) +
         " from here now (its migrations_at_once, shared by all that send to it)";
}

std::string LibvirtHypervisor::waits_because(const DomainUuid& uuid) const {
  const auto waits = std::find_if(queue_.begin(), queue_.end(), [&](const auto& one) { return one.second.uuid == uuid; });
  return waits == queue_.end() ? "" : why_it_waits(waits->second);
}

void LibvirtHypervisor::measured(const NodeName& to, std::uint64_t bytes_per_second) {
  // One that shared the network with others was slower than it can be: the best counts, and is forgotten by and by.
  Measured& known = measured_[to];
  known = {std::max(bytes_per_second, known.bytes_per_second / 4 * 3), std::chrono::steady_clock::now()};
}

engine::Speed LibvirtHypervisor::measured_speed(const NodeName& to) const {
  const auto known = measured_.find(to);
  return known == measured_.end() ? engine::Speed{} : engine::Speed{known->second.bytes_per_second, since(known->second.when)};
}

void LibvirtHypervisor::watch_job(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) {
  auto job = std::make_shared<MigrationJob>(*this, uuid, tracked_[uuid].emulator, order, std::move(done));
  jobs_[uuid].push_back(job);
  job->watch(order.limit);
}

std::map<NodeName, int> LibvirtHypervisor::ordered_jobs() const {
  std::map<NodeName, int> count;
  for (const auto& [uuid, jobs] : jobs_)
    for (const auto& job : jobs)
      if (job->ordered()) ++count[job->to()];
  return count;
}

void LibvirtHypervisor::begin_job(Queued queued, Milliseconds waited) {
  // What is left of its time; it had a moment at least, or it would have begun before.
  if (queued.order.limit.count() > 0) queued.order.limit = std::max(queued.order.limit - waited, Milliseconds{1});
  if (queued.order.post_copy && !steering_[queued.uuid].expired()) {
    queued.order.post_copy = false;
    log_.write(engine::Log::Level::notice, queued.uuid.str(), "this migration does not go over to post-copy: an abort of the one before it is still under way");
  }
  auto job = std::make_shared<MigrationJob>(*this, queued.uuid, tracked_[queued.uuid].emulator, queued.order, std::move(queued.done));
  jobs_[queued.uuid].push_back(job);
  job->order(queued.order);
}

bool LibvirtHypervisor::end_waiting(const DomainUuid& uuid, const std::string& why) {
  const auto waits = std::find_if(queue_.begin(), queue_.end(), [&](const auto& one) { return one.second.uuid == uuid; });
  if (waits == queue_.end()) return false;
  Queued queued = std::move(waits->second);
  queue_.erase(waits);
  auto job = std::make_shared<MigrationJob>(*this, uuid, tracked_[uuid].emulator, queued.order, std::move(queued.done));
  jobs_[uuid].push_back(job);
  job->refuse(why);
  return true;
}

void LibvirtHypervisor::next_turns() {
  if (queue_.empty()) return;
  std::vector<converge::Waiting> waiting;
  for (const auto& [id, queued] : queue_) {
    const auto tracked = tracked_.find(queued.uuid);
    const std::uint64_t bytes = tracked != tracked_.end() && tracked->second.emulator ? resident_kib(*tracked->second.emulator) * 1024 : 0;
    const std::uint64_t known = measured_speed(queued.order.to).bytes_per_second;
    const auto needs = converge::predicted(bytes, known != 0 ? known : usual_speed, queued.order.speed_mib * 1024 * 1024);
    const Milliseconds limit = queued.order.limit;
    waiting.push_back({id, needs.value_or(Milliseconds{0}), limit.count() == 0 ? limit : std::max(limit - since(queued.since), Milliseconds{1}),
                       queued.order.priority, queued.order.to});
  }
  for (const std::uint64_t id : converge::next_turns(waiting, {config_.migrations_at_once, ordered_jobs(), places_})) {
    Queued queued = std::move(queue_.extract(id).mapped());
    const Milliseconds waited = since(queued.since);
    begin_job(std::move(queued), waited);
  }
  for (auto& [id, queued] : queue_) {
    if (!queued.why.empty()) continue;
    queued.why = why_it_waits(queued);
    log_.write(engine::Log::Level::notice, queued.uuid.str(), queued.why);
  }
  if (queue_.empty()) return;
  turn_timer_.expires_after(look_again);  // time alone can make one urgent
  turn_timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (!error && life.lock()) next_turns();
  });
}

}  // namespace migrationd::io
