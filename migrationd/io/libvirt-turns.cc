// SPDX-License-Identifier: GPL-2.0-or-later
// LibvirtHypervisor's migrations: each waits for its turn, then it is a MigrationJob.
#include <boost/asio/post.hpp>

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
  queue_[++queued_] = {uuid, order, std::move(done), std::chrono::steady_clock::now()};
  next_turns();
  const auto waits = std::find_if(queue_.begin(), queue_.end(), [&](const auto& one) { return one.second.uuid == uuid; });
  if (waits == queue_.end()) return;
  log_.write(engine::Log::Level::notice, uuid.str(), "waits for its turn: " + std::to_string(ordered_jobs()) + " migrations leave this node already (migrations_at_once = " +
                                                         std::to_string(config_.migrations_at_once) + ")");
}

void LibvirtHypervisor::watch_job(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) {
  auto job = std::make_shared<MigrationJob>(*this, uuid, tracked_[uuid].emulator, order, std::move(done));
  jobs_[uuid].push_back(job);
  job->watch(order.limit);
}

int LibvirtHypervisor::ordered_jobs() const {
  int count = 0;
  for (const auto& [uuid, jobs] : jobs_)
    for (const auto& job : jobs) count += job->ordered() ? 1 : 0;
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
    const auto known = carried_to_.find(queued.order.to);
    std::uint64_t speed = known != carried_to_.end() ? known->second : usual_speed;
    if (queued.order.speed_mib != 0) speed = std::min<std::uint64_t>(speed, queued.order.speed_mib * 1024 * 1024);
    const Milliseconds limit = queued.order.limit;
    waiting.push_back({id, Milliseconds{static_cast<std::int64_t>(bytes * 1000 / speed)},
                       limit.count() == 0 ? limit : std::max(limit - since(queued.since), Milliseconds{1})});
  }
  for (const std::uint64_t id : converge::next_turns(waiting, ordered_jobs(), config_.migrations_at_once)) {
    Queued queued = std::move(queue_.extract(id).mapped());
    const Milliseconds waited = since(queued.since);
    begin_job(std::move(queued), waited);
  }
  if (queue_.empty()) return;
  turn_timer_.expires_after(look_again);  // time alone can make one urgent
  turn_timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (!error && life.lock()) next_turns();
  });
}

}  // namespace migrationd::io
