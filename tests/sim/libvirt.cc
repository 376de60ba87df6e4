// SPDX-License-Identifier: GPL-2.0-or-later
// The simulated libvirtd: calls, and the life and death of emulators. Migrations are in libvirt-job.cc.
#include "tests/sim/libvirt.h"

#include "tests/sim/node.h"
#include "tests/sim/simulation.h"

namespace migrationd::sim {

using handoff::Here;

const char* to_string(Libvirt::Cause cause) {
  switch (cause) {
    case Libvirt::Cause::order: return "destroyed";
    case Libvirt::Cause::migrated: return "migrated away";
    case Libvirt::Cause::dropped: return "copy dropped by libvirt";
    case Libvirt::Cause::shutdown: return "shut down";
    case Libvirt::Cause::guest: return "died";
    case Libvirt::Cause::failed: return "crashed";
    case Libvirt::Cause::powered_off: return "powered itself off";
    case Libvirt::Cause::by_hand: return "destroyed by hand";
    case Libvirt::Cause::crash: return "lost with its node";
    case Libvirt::Cause::dead_man: return "ended by the dead-man";
  }
  return "?";
}

namespace {

std::vector<recovery::Sign> signs_of(Libvirt::Cause cause) {
  using recovery::Sign;
  switch (cause) {
    case Libvirt::Cause::order:
    case Libvirt::Cause::dropped:
    case Libvirt::Cause::by_hand:
    case Libvirt::Cause::dead_man: return {Sign::signalled, Sign::destroyed};
    case Libvirt::Cause::migrated: return {Sign::migrated};
    case Libvirt::Cause::shutdown:
    case Libvirt::Cause::powered_off: return {Sign::guest_shut_down, Sign::off};
    case Libvirt::Cause::failed: return {Sign::failed};
    case Libvirt::Cause::guest:
    case Libvirt::Cause::crash: return {};
  }
  return {};
}

}  // namespace

recovery::Ending Libvirt::ending(const DomainUuid& uuid) const {
  const auto found = signs_.find(uuid);
  return recovery::how_it_ended(found == signs_.end() ? std::vector<recovery::Sign>{} : found->second);
}

bool Libvirt::executes(const DomainUuid& uuid) const {
  const auto found = instances.find(uuid);
  return found != instances.end() && found->second.run == Instance::Run::running;
}

engine::DomainView Libvirt::view(const DomainUuid& uuid) const {
  engine::DomainView view;
  const auto found = instances.find(uuid);
  if (found == instances.end()) {
    const auto crashed = crashed_at_.find(uuid);
    const bool recently = crashed != crashed_at_.end() && sim_.now() < crashed->second + 5000;
    view.here = recently ? Here::unknown : Here::absent;
    return view;
  }
  const Instance& one = found->second;
  view.name = one.name;
  view.memory_kib = one.memory_kib;
  view.healthy = one.run == Instance::Run::running && one.healthy;
  view.job = job_of(uuid) != nullptr;
  switch (one.run) {
    case Instance::Run::running: view.here = Here::running; break;
    case Instance::Run::paused: view.here = Here::paused; break;
    case Instance::Run::incoming: view.here = Here::incoming; break;
    case Instance::Run::remains: view.here = Here::remains; break;
  }
  view.fetching = one.fetching;
  if (!one.healthy) view.detail = one.fetching ? "running (post-copy failed: memory is missing)" : "paused (I/O error)";
  return view;
}

std::uint64_t Libvirt::free_memory_kib() const {
  std::uint64_t used = 0;
  for (const auto& [uuid, one] : instances) used += one.memory_kib;
  return used > sim_.settings.memory_kib ? 0 : sim_.settings.memory_kib - used;
}

// ---------------------------------------------------------------- calls

void Libvirt::call(DaemonRef from, Time takes, Effect effect, std::function<void(std::string)> refuse, bool waits) {
  const int boot = node_.boots;
  sim_.queue.after(takes, [this, from, boot, waits, effect = std::move(effect), refuse = std::move(refuse)] {
    if (boot != node_.boots || !node_.powered) return;  // that libvirtd died with its node, and so did who called it
    if (from.expired() && node_.unsent_calls_die) return;
    switch (service) {
      case Service::up:
        effect();
        return;
      case Service::down:
        refuse("libvirtd does not answer");
        return;
      case Service::hung:
        break;
    }
    held_up_.emplace_back(effect, refuse);
    if (waits) return;
    sim_.queue.after(sim_.settings.call_deadline, [refuse] { refuse("no answer from libvirtd in time"); });
  });
}

void Libvirt::answer(const DaemonRef& to, std::function<void()> call) { sim_.to_daemon(0, to, std::move(call)); }

void Libvirt::simple(DaemonRef from, Time takes, std::function<Outcome()> effect, engine::Callback<Outcome> done) {
  auto once = std::make_shared<bool>(false);
  const auto reply = [this, from, done, once](Outcome outcome) {
    if (std::exchange(*once, true)) return;
    answer(from, [done, outcome] { done(outcome); });
  };
  call(from, takes, [effect, reply] { reply(effect()); }, [reply](std::string why) { reply(Error{why}); });
}

void Libvirt::changed(const DomainUuid& uuid) {
  if (node_.daemon && service == Service::up) {
    sim_.to_daemon(sim_.settings.event_lag, node_.daemon, [this, uuid] { node_.view_changed(uuid); });
  }
}

Instance& Libvirt::create(const DomainUuid& uuid, const std::string& name, Instance::Run run, int image) {
  Instance& one = instances[uuid];
  one = {};
  one.name = name;
  one.run = run;
  one.image = image;
  one.memory_kib = sim_.memory_of(uuid);
  one.serial = sim_.next_serial();
  one.since = sim_.now();
  ended_migrated_.erase(uuid);
  crashed_at_.erase(uuid);
  changed(uuid);
  return one;
}

void Libvirt::boot(DaemonRef from, const engine::Definition& definition, engine::Callback<Outcome> done) {
  const DomainUuid uuid = definition.uuid;
  const std::string name = definition.name;
  simple(from, sim_.settings.boot, [this, uuid, name]() -> Outcome {
    if (instances.contains(uuid)) return Error{"domain '" + name + "' exists already"};
    const int image = sim_.next_image(uuid);
    create(uuid, name, Instance::Run::running, image);
    sim_.log(node_.name, name + " boots, memory " + std::to_string(image));
    sim_.step("boot " + node_.name);
    return Done{};
  }, std::move(done));
}

void Libvirt::resume(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done) {
  simple(from, sim_.settings.call, [this, uuid]() -> Outcome {
    const auto found = instances.find(uuid);
    if (found == instances.end()) return Error{"no such domain"};
    Instance& one = found->second;
    if (one.run == Instance::Run::running) return Done{};
    if (one.run == Instance::Run::incoming) return Error{"it is still arriving"};
    if (one.run == Instance::Run::remains) return Error{"it is in post-copy"};
    one.run = Instance::Run::running;
    if (one.stale) sim_.violated(one.name + " was resumed on " + node_.name + " from a stale copy");
    sim_.executed(node_, uuid, one);
    sim_.log(node_.name, one.name + " resumes, memory " + std::to_string(one.image));
    changed(uuid);
    sim_.step("resumed " + node_.name);
    return Done{};
  }, std::move(done));
}

void Libvirt::ask_shutdown(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done) {
  simple(from, sim_.settings.call, [this, uuid]() -> Outcome {
    const auto found = instances.find(uuid);
    if (found == instances.end()) return Error{"no such domain"};
    if (found->second.deaf || found->second.run != Instance::Run::running) return Done{};
    sim_.queue.after(sim_.settings.guest_shutdown, [this, uuid, serial = found->second.serial] {
      const auto still = instances.find(uuid);
      if (still != instances.end() && still->second.serial == serial) end(uuid, Cause::shutdown);
    });
    return Done{};
  }, std::move(done));
}

void Libvirt::destroy(DaemonRef from, const DomainUuid& uuid, engine::Callback<Outcome> done) {
  if (service == Service::down && !instances.contains(uuid)) {  // no emulator of it lives
    sim_.to_daemon(sim_.settings.call, from, [done] { done(Done{}); });
    return;
  }
  simple(from, sim_.settings.call, [this, uuid]() -> Outcome {
    end(uuid, Cause::order);
    return Done{};
  }, std::move(done));
}

void Libvirt::ask(DaemonRef from, engine::Callback<Outcome> done) {
  simple(from, sim_.settings.call, []() -> Outcome { return Done{}; }, std::move(done));
}

void Libvirt::list(DaemonRef from) {
  if (service != Service::up) return;
  sim_.to_daemon(sim_.settings.listing, from, [this] {
    if (service == Service::up) node_.listed();
  });
}

// ---------------------------------------------------------------- what happens to it

void Libvirt::start_by_hand(const DomainUuid& uuid, const std::string& name) {
  if (instances.contains(uuid)) return;
  const int image = sim_.next_image(uuid);
  create(uuid, name, Instance::Run::running, image);
  sim_.log(node_.name, name + " boots by hand, memory " + std::to_string(image));
}

void Libvirt::end(const DomainUuid& uuid, Cause cause) {
  const auto found = instances.find(uuid);
  if (found == instances.end()) return;
  const Instance was = found->second;
  instances.erase(found);
  signs_[uuid] = signs_of(cause);
  if (cause == Cause::migrated) ended_migrated_[uuid] = true;
  if (cause == Cause::guest) crashed_at_[uuid] = sim_.now();
  sim_.log(node_.name, was.name + " " + to_string(cause) + ", memory " + std::to_string(was.image));
  sim_.instance_ended(node_, uuid, was, cause);
  changed(uuid);
  if (cause == Cause::guest) {
    sim_.queue.after(5001, [this, uuid] { changed(uuid); });
  }
  for (const auto& [name, other] : sim_.nodes()) {  // it was the destination of one in post-copy
    const auto job = other->libvirt.job_of(uuid);
    if (job && job->stage == Job::Stage::post_copy && job->destination == &node_) other->libvirt.break_post_copy(job, "the copy died");
  }
  if (const auto job = job_of(uuid); job && cause != Cause::migrated) {
    if (job->stage == Job::Stage::post_copy) return break_post_copy(job, "the emulator died");
    drop_incomplete(job, sim_.settings.latency);
    over(job, handoff::JobEnd::vanished, "the emulator died");
  }
}

void Libvirt::sicken(const DomainUuid& uuid) {
  instances[uuid].healthy = false;
  changed(uuid);
}

void Libvirt::power_off() {
  for (const auto& [uuid, job] : std::map(jobs_))
    if (job->stage == Job::Stage::post_copy) break_post_copy(job, "the source lost power");
  for (auto& [uuid, job] : jobs_) {
    if (job->stage != Job::Stage::over) {
      drop_incomplete(job, sim_.settings.keepalive);
      job->stage = Job::Stage::over;
    }
  }
  jobs_.clear();
  while (!instances.empty()) {
    const DomainUuid uuid = instances.begin()->first;
    const Instance was = instances.begin()->second;
    instances.erase(instances.begin());
    sim_.instance_ended(node_, uuid, was, Cause::crash);
  }
  crashed_at_.clear();
  held_up_.clear();
  service = Service::up;
}

void Libvirt::kill() {
  service = Service::down;
  for (auto& [effect, refuse] : std::exchange(held_up_, {})) refuse("libvirtd died");
  for (auto& [uuid, job] : jobs_) {
    if (job->stage == Job::Stage::over) continue;
    job->orphan = true;
    drop_incomplete(job, sim_.settings.latency);
  }
  sim_.paths_changed();
  if (node_.daemon) sim_.to_daemon(sim_.settings.event_lag, node_.daemon, [this] { node_.hypervisor_silent(); });
}

void Libvirt::restart() {
  sim_.disturb();
  service = Service::up;
  for (auto& [uuid, job] : std::map(jobs_)) {
    if (!job->orphan || job->stage == Job::Stage::over) continue;
    over(job, executes(uuid) ? handoff::JobEnd::runs_here : handoff::JobEnd::paused_here, "libvirtd was restarted");
  }
  if (node_.daemon) list(node_.daemon);
}

void Libvirt::hang() {
  service = Service::hung;
  sim_.paths_changed();
  if (!node_.daemon) return;
  sim_.to_daemon(sim_.settings.notice, node_.daemon, [this] {
    if (service == Service::hung) node_.hypervisor_silent();
  });
}

void Libvirt::thaw() {
  if (service != Service::hung) return;
  service = Service::up;
  sim_.disturb();
  for (auto& [effect, refuse] : std::exchange(held_up_, {})) effect();
  if (node_.daemon) list(node_.daemon);
}

}  // namespace migrationd::sim
