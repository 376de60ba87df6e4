// SPDX-License-Identifier: GPL-2.0-or-later
// A simulated migration job that goes over to post-copy. It is carried by the daemons, and ends with either of them.
#include "tests/sim/libvirt.h"
#include "tests/sim/node.h"
#include "tests/sim/simulation.h"

namespace migrationd::sim {

using handoff::JobEnd;

namespace {
/// libvirt's Finish is held back so long for the word that the copy may run.
constexpr Time finish_waits = 5000;
constexpr Time look_again = 10;
}  // namespace

/// The planner asks for it at each pass over the memory.
void Libvirt::want_switch(DaemonRef keeper, std::shared_ptr<Job> job) {
  sim_.to_daemon(sim_.settings.copy / 2, keeper, [this, keeper, job] {
    const auto daemon = keeper.lock();
    if (job->stage != Job::Stage::copying || job->orphan || !daemon || daemon->hypervisor_listener == nullptr) return;
    daemon->hypervisor_listener->switch_wanted(job->uuid, job->attempt, "it does not converge");
  });
}

void Libvirt::start_post_copy(DaemonRef from, const DomainUuid& uuid, Attempt attempt, engine::Callback<Outcome> done) {
  simple(from, sim_.settings.call, [this, uuid, attempt]() -> Outcome {
    const auto job = job_of(uuid);
    if (!job || job->attempt != attempt || !job->may_switch || job->stage != Job::Stage::copying) return Error{"no such migration is active"};
    sim_.queue.after(sim_.settings.latency, [this, job] { switch_over(job); });
    return Done{};
  }, std::move(done));
}

void Libvirt::switch_over(std::shared_ptr<Job> job) {
  if (job->stage != Job::Stage::copying || job->orphan) return;
  const auto copy = job->destination->libvirt.instances.find(job->uuid);
  if (!path_ok(*job) || copy == job->destination->libvirt.instances.end() || copy->second.serial != job->copy) return;
  job->stage = Job::Stage::post_copy;
  instances[job->uuid].run = Instance::Run::remains;
  changed(job->uuid);
  sim_.log(node_.name, "job goes over to post-copy");
  sim_.step("job post-copy");
  finish_in_post_copy(job, sim_.now() + finish_waits);
  sim_.queue.after(sim_.settings.copy, [this, job] { fetched(job); });
}

void Libvirt::let_copy_run(const DomainUuid& uuid, Attempt attempt) {
  if (const auto job = job_of(uuid); job && job->attempt == attempt) job->let_run = true;
}

void Libvirt::finish_in_post_copy(std::shared_ptr<Job> job, Time until) {
  if (job->stage != Job::Stage::post_copy || sim_.now() > until) return;
  if (!job->let_run) {
    sim_.queue.after(look_again, [this, job, until] { finish_in_post_copy(job, until); });
    return;
  }
  Libvirt& there = job->destination->libvirt;
  Instance& copy = there.instances[job->uuid];
  copy.run = Instance::Run::running;
  copy.fetching = true;
  copy.since = sim_.now();
  if (copy.stale) sim_.violated(copy.name + " runs in post-copy from a stale copy");
  sim_.executed(*job->destination, job->uuid, copy);
  sim_.log(job->destination->name, copy.name + " runs in post-copy, memory " + std::to_string(copy.image));
  there.changed(job->uuid);
  sim_.step("job runs in post-copy");
}

/// The destination has all the memory.
void Libvirt::fetched(std::shared_ptr<Job> job) {
  if (job->stage != Job::Stage::post_copy) return;
  if (service == Service::hung || !path_ok(*job)) {
    sim_.queue.after(100, [this, job] { fetched(job); });
    return;
  }
  Libvirt& there = job->destination->libvirt;
  Instance& copy = there.instances[job->uuid];
  copy.fetching = false;
  if (copy.run == Instance::Run::incoming) copy.run = Instance::Run::paused;
  there.changed(job->uuid);
  over(job, JobEnd::migrated, "");
  end(job->uuid, Cause::migrated);
  sim_.step("job migrated");
}

/// What is at the source stays, without use; what executes at the destination lacks memory. Nobody is told how the job ended: as long as
/// the source's emulator lives, libvirt does not say it either.
void Libvirt::break_post_copy(std::shared_ptr<Job> job, const std::string& why) {
  if (job->stage == Job::Stage::over) return;
  job->stage = Job::Stage::over;
  jobs_.erase(job->uuid);
  sim_.log(node_.name, "post-copy is broken: " + why);
  sim_.consented_loss(job->uuid, job->image);
  changed(job->uuid);
  Libvirt& there = job->destination->libvirt;
  const auto copy = there.instances.find(job->uuid);
  if (copy == there.instances.end() || copy->second.serial != job->copy) return;
  if (copy->second.run == Instance::Run::running) {
    copy->second.healthy = false;
    there.changed(job->uuid);
  } else {
    drop_incomplete(job, sim_.settings.latency);
  }
}

void Libvirt::carrier_died(const Node& where) {
  for (const auto& [uuid, job] : std::map(jobs_))
    if (job->may_switch && (job->source == &where || job->destination == &where)) fail(job, "its streams ended");
}

}  // namespace migrationd::sim
