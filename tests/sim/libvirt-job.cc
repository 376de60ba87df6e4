// SPDX-License-Identifier: GPL-2.0-or-later
// The simulated migration job, seen from the source's libvirtd.
#include "tests/sim/libvirt.h"
#include "tests/sim/node.h"
#include "tests/sim/simulation.h"

namespace migrationd::sim {

using handoff::JobEnd;

std::shared_ptr<Job> Libvirt::job_of(const DomainUuid& uuid) const {
  const auto found = jobs_.find(uuid);
  return found == jobs_.end() || found->second->stage == Job::Stage::over ? nullptr : found->second;
}

bool Libvirt::path_ok(const Job& job) const {
  return job.destination->powered && job.destination->libvirt.service == Service::up &&
         sim_.network.migration_path(job.source->name, job.destination->name);
}

void Libvirt::migrate(DaemonRef from, const DomainUuid& uuid, const engine::MigrateOrder& order,
                      engine::Callback<engine::MigrationEnd> done) {
  auto answered = std::make_shared<bool>(false);
  const auto refuse = [this, from, done, answered](std::string why) {
    if (std::exchange(*answered, true)) return;
    answer(from, [done, why] { done({JobEnd::runs_here, why}); });
  };
  call(from, sim_.settings.call, [this, from, uuid, order, done, refuse, answered] {
    Node* destination = sim_.node(order.to);
    if (!executes(uuid)) {
      const bool there = instances.contains(uuid);
      answer(from, [done, there] { done({there ? JobEnd::paused_here : JobEnd::vanished, "it does not run here"}); });
      return;
    }
    if (destination == nullptr || job_of(uuid)) return refuse("a migration is active already");
    *answered = true;
    auto job = std::make_shared<Job>();
    job->uuid = uuid;
    job->source = &node_;
    job->destination = destination;
    job->image = instances[uuid].image;
    job->attempt = order.attempt;
    job->may_switch = order.post_copy;
    job->watchers.emplace_back(from, done);
    jobs_[uuid] = job;
    sim_.step("job prepare");
    if (!path_ok(*job)) {
      sim_.queue.after(sim_.settings.keepalive, [this, job] { fail(job, "the destination's libvirtd does not answer"); });
    } else if (destination->libvirt.instances.contains(uuid)) {
      sim_.queue.after(2 * sim_.settings.latency, [this, job] { fail(job, "the domain exists at the destination"); });
    } else {
      sim_.queue.after(2 * sim_.settings.latency, [this, job] { copying(job); });
    }
    limit_job(from, job, order.limit.count());
    if (job->may_switch) want_switch(from, job);
  }, refuse, true);
}

/// The daemon keeps the time, so it ends with that one.
void Libvirt::limit_job(DaemonRef keeper, std::shared_ptr<Job> job, Time limit) {
  if (limit <= 0) return;
  sim_.to_daemon(limit, keeper, [this, job] {
    if (job->stage == Job::Stage::prepare || job->stage == Job::Stage::copying) fail(job, "its time is up");
  });
}

void Libvirt::copying(std::shared_ptr<Job> job) {
  if (job->stage != Job::Stage::prepare) return;
  if (!path_ok(*job)) return fail(job, "the connection to the destination broke");
  Libvirt& there = job->destination->libvirt;
  if (there.instances.contains(job->uuid)) return fail(job, "the domain exists at the destination");
  job->stage = Job::Stage::copying;
  job->copy = there.create(job->uuid, instances[job->uuid].name, Instance::Run::incoming, job->image).serial;
  changed(job->uuid);
  sim_.step("job copying");
  sim_.queue.after(sim_.settings.copy, [this, job] { switchover(job); });
}

void Libvirt::switchover(std::shared_ptr<Job> job) {
  if (job->stage != Job::Stage::copying || job->orphan) return;
  if (service == Service::hung || !path_ok(*job)) {  // stalls, until it heals or is given up
    sim_.queue.after(100, [this, job] { switchover(job); });
    return;
  }
  const auto copy = job->destination->libvirt.instances.find(job->uuid);
  if (copy == job->destination->libvirt.instances.end() || copy->second.serial != job->copy) {
    return fail(job, "the copy died at the destination");
  }
  job->stage = Job::Stage::switchover;
  instances[job->uuid].run = Instance::Run::paused;
  changed(job->uuid);
  sim_.step("job switchover");
  sim_.queue.after(sim_.settings.latency, [this, job] { arrived(job); });
}

void Libvirt::arrived(std::shared_ptr<Job> job) {
  if (job->stage != Job::Stage::switchover || job->orphan) return;
  if (!path_ok(*job)) return;  // the last of it never came: given up after the keepalive
  auto& there = job->destination->libvirt;
  const auto copy = there.instances.find(job->uuid);
  if (copy == there.instances.end() || copy->second.serial != job->copy) return fail(job, "the copy died");
  copy->second.run = Instance::Run::paused;
  there.changed(job->uuid);
  job->stage = Job::Stage::arrived;
  sim_.step("job arrived");
  sim_.queue.after(sim_.settings.latency, [this, job] { finished(job); });
}

void Libvirt::finished(std::shared_ptr<Job> job) {
  if (job->stage != Job::Stage::arrived || job->orphan) return;
  if (service == Service::hung) {
    sim_.queue.after(100, [this, job] { finished(job); });
    return;
  }
  const bool way_back = !sim_.network.cut(Channel::migration, job->destination->name, node_.name);
  if (!way_back || sim_.answer_lost(node_)) {  // this answer is lost: the source can only guess
    if (!way_back) return;                     // after the keepalive
    return fail(job, "the answer of the finish was lost");
  }
  over(job, JobEnd::migrated, "");
  end(job->uuid, Cause::migrated);
  sim_.step("job migrated");
}

void Libvirt::resume_source(const Job& job) {
  Instance& one = instances[job.uuid];
  one.run = Instance::Run::running;
  sim_.executed(node_, job.uuid, one);
  sim_.log(node_.name, one.name + " resumes at the source");
  changed(job.uuid);
}

void Libvirt::fail(std::shared_ptr<Job> job, const std::string& why) {
  if (job->stage == Job::Stage::over || job->orphan) return;
  if (job->stage == Job::Stage::post_copy) return break_post_copy(job, why);
  drop_incomplete(job, path_ok(*job) ? sim_.settings.latency : sim_.settings.keepalive);
  const bool stopped = !executes(job->uuid);
  if (!stopped) return over(job, JobEnd::runs_here, why);
  if (sim_.settings.resume_on_lost_answer || job->stage != Job::Stage::arrived) {
    resume_source(*job);
    return over(job, JobEnd::runs_here, why);
  }
  over(job, JobEnd::paused_here, why);
}

void Libvirt::drop_incomplete(const std::shared_ptr<Job>& job, Time after) {
  Libvirt& there = job->destination->libvirt;
  sim_.queue.after(after, [&there, uuid = job->uuid, serial = job->copy] {
    const auto found = there.instances.find(uuid);
    if (found == there.instances.end() || found->second.serial != serial) return;
    if (found->second.run == Instance::Run::incoming) there.end(uuid, Cause::dropped);
  });
}

void Libvirt::over(const std::shared_ptr<Job>& job, JobEnd end, const std::string& why) {
  job->stage = Job::Stage::over;
  sim_.log(node_.name, "job ended: " + (why.empty() ? std::string("migrated") : why));
  for (auto& [daemon, done] : job->watchers) {
    sim_.to_daemon(0, daemon, [done = done, end, why] { done({end, why}); });
  }
  jobs_.erase(job->uuid);
}

void Libvirt::path_changed() {
  for (auto& [uuid, job] : jobs_) {
    if (job->stage == Job::Stage::over) continue;
    const bool broken = !path_ok(*job);
    if (broken && !job->broken) {
      const bool seen_at_once = job->destination->powered && job->destination->libvirt.service == Service::down;
      sim_.queue.after(seen_at_once ? 100 : sim_.settings.keepalive, [this, job = job] { watch_break(job); });
    }
    job->broken = broken;
  }
}

void Libvirt::watch_break(std::shared_ptr<Job> job) {
  const bool lost_word = job->stage == Job::Stage::arrived || job->stage == Job::Stage::switchover;
  if (job->stage != Job::Stage::over && (lost_word || !path_ok(*job))) {
    if (service == Service::hung) {
      sim_.queue.after(100, [this, job] { watch_break(job); });
      return;
    }
    fail(job, "the connection to the destination broke");
  }
}

void Libvirt::watch(DaemonRef from, const DomainUuid& uuid, Time limit, engine::Callback<engine::MigrationEnd> done) {
  const auto effect = [this, from, uuid, limit, done] {
    if (const auto job = job_of(uuid)) {
      job->watchers.emplace_back(from, done);
      limit_job(from, job, limit);
      return;
    }
    JobEnd end = JobEnd::vanished;
    if (const auto found = instances.find(uuid); found != instances.end()) {
      if (found->second.run == Instance::Run::remains) {
        sim_.queue.after(1000, [this, from, uuid, limit, done] { watch(from, uuid, limit, done); });
        return;
      }
      end = found->second.run == Instance::Run::running ? JobEnd::runs_here : JobEnd::paused_here;
    } else if (ended_migrated_.contains(uuid)) {
      end = JobEnd::migrated;
    }
    answer(from, [done, end] { done({end, "it was over already"}); });
  };
  call(from, sim_.settings.call, effect, [this, from, uuid, limit, done](std::string) {
    // Not certain yet: asked again until it is.
    sim_.queue.after(1000, [this, from, uuid, limit, done] { watch(from, uuid, limit, done); });
  }, true);
}

void Libvirt::abort(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done) {
  simple(from, sim_.settings.call, [this, uuid]() -> Outcome {
    const auto job = job_of(uuid);
    if (!job) return Error{"no job is active"};
    if (job->stage == Job::Stage::prepare || job->stage == Job::Stage::copying) {
      fail(job, "aborted");
      return Done{};
    }
    return Error{"too late"};
  }, std::move(done));
}

}  // namespace migrationd::sim
