// SPDX-License-Identifier: GPL-2.0-or-later
// See libvirt-migration.h; how the end is judged: migration-end.h.
#include "migrationd/io/libvirt-migration.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <boost/asio/post.hpp>

#include "migrationd/converge/downtime.h"
#include "migrationd/io/boot-clock.h"
#include "migrationd/io/carried-migration.h"
#include "migrationd/io/migrate-call.h"

namespace migrationd::io {

using engine::MigrateOrder;
using engine::MigrationEnd;
using Level = engine::Log::Level;

namespace {

/// libvirt reports the switchover long before it kills the emulator; only a crash leaves this unused.
constexpr Milliseconds patience{2000};
constexpr Milliseconds poll_step{100};
constexpr Milliseconds abort_again{1000};
/// libvirt heeds an abort only once QEMU sends; before that its call may hang with the destination's libvirt.
constexpr Milliseconds cut_after{5000};
/// The rate of a transfer is taken over no less.
constexpr Milliseconds settled_rate{500};
/// No migration lasts longer; its thread is given up then, its end is still found by polling.
constexpr Milliseconds longest_migration{std::chrono::hours(24)};

}  // namespace

MigrationJob::MigrationJob(LibvirtHypervisor& hypervisor, const DomainUuid& uuid, std::shared_ptr<Emulator> emulator,
                           const MigrateOrder& order, engine::Callback<MigrationEnd> done)
    : hypervisor_(hypervisor),
      uuid_(uuid),
      emulator_(std::move(emulator)),
      done_(std::move(done)),
      to_(order.to),
      most_downtime_(order.downtime),
      planner_(converge::Budget{order.limit, order.downtime, order.auto_converge, order.post_copy}),
      death_(hypervisor.loop_),
      patience_(hypervisor.loop_),
      limit_(hypervisor.loop_),
      cut_(hypervisor.loop_),
      attempt_(order.attempt),
      post_copy_(order.post_copy),
      switch_again_(hypervisor.loop_),
      poll_(hypervisor.loop_) {
  facts_.has_emulator = emulator_ != nullptr;
}

void MigrationJob::log(Level level, const std::string& text) { hypervisor_.log_.write(level, uuid_.str(), text); }

void MigrationJob::watch_emulator() {
  if (!emulator_) return;
  death_.assign(::fcntl(emulator_->pidfd(), F_DUPFD_CLOEXEC, 3));
  death_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [weak = weak_from_this()](boost::system::error_code error) {
    auto self = weak.lock();
    if (error || !self) return;
    self->facts_.emulator_dead = true;
    self->patience_.expires_after(patience);
    self->patience_.async_wait([weak](boost::system::error_code error) {
      auto self = weak.lock();
      if (error || !self) return;
      self->facts_.waited_after_death = true;
      self->judge();
    });
    self->judge();
  });
}

void MigrationJob::watch_exit() {
  if (!emulator_ || exit_) return;
  exit_ = std::make_unique<EmulatorExit>(
      hypervisor_.loop_, emulator_, hypervisor_.config_.log_directory, hypervisor_.look(uuid_).name,
      [this, may_kill = may_kill_] { return facts_.switchover_seen && *may_kill; },
      [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self) return;
        self->facts_.emulator_dead = true;
        self->judge();
      });
}

void MigrationJob::order(const MigrateOrder& order) {
  watch_emulator();
  facts_.call = JobFacts::Call::running;
  const converge::Opening opening = planner_.opening();
  advice_.downtime = downtime_ = opening.downtime;
  if (order.limit.count() > 0) abort_at(order.limit);
  Connection connection = hypervisor_.connection_;
  std::string what = "migrate domain " + uuid_.str() + " to " + order.to;
  if (!connection) return returned(Error{what + ": libvirt is away: " + hypervisor_.trouble_});
  MigrateOrder way = order;
  // Emptied on the loop, where it lives: copies of the call's own closures may end in its thread.
  const auto carried = std::make_shared<std::shared_ptr<CarriedMigration>>();
  std::string disks_uri;
  if (order.carried) {
    auto opened = hypervisor_.carrier_ != nullptr ? hypervisor_.carrier_->depart(uuid_, order, emulator_) : Error{"nothing carries migrations here"};
    if (!opened.ok()) return returned(Error{what + ": " + opened.error()});
    *carried = std::move(opened.value());
    carried_ = *carried;
    way.uri = (*carried)->libvirt_uri();
    way.migrate_uri = (*carried)->memory_uri();
    disks_uri = (*carried)->disks_uri();
  }
  // The streams stand until libvirt's call has returned, also when the job's end is known before.
  hypervisor_.long_calls_.run<Done>(
      uuid_.str(), what, longest_migration,
      [connection, uuid = uuid_, way, disks_uri, opening, may_kill = may_kill_] {
        return migrate_now(connection, uuid, way, disks_uri, opening, *may_kill);
      },
      [weak = weak_from_this(), carried](Outcome outcome) {
        const auto streams = std::exchange(*carried, nullptr);
        if (!outcome && streams && !streams->trouble().empty()) outcome = Error{outcome.error() + " (" + streams->trouble() + ")"};
        if (auto self = weak.lock()) self->returned(std::move(outcome));
      });
}

void MigrationJob::refuse(const std::string& why) {
  watch_emulator();
  returned(Error{"migrate domain " + uuid_.str() + " to " + to_ + ": " + why});
}

void MigrationJob::watch(Milliseconds limit) {
  abort_at(limit);
  watch_emulator();
  // A job found in its switchover: the event came before us.
  if (const DomainFacts* facts = hypervisor_.registry_.facts(uuid_))
    facts_.switchover_seen = facts->state == VIR_DOMAIN_PAUSED && facts->reason == VIR_DOMAIN_PAUSED_MIGRATION;
  poll();
}

void MigrationJob::returned(Outcome outcome) {
  facts_.call = outcome ? JobFacts::Call::succeeded : JobFacts::Call::failed;
  if (!outcome) {
    facts_.call_error = outcome.error();
    log(Level::notice, outcome.error());
  }
  facts_.view.reset();
  poll();
  judge();
}

void MigrationJob::next_pass(int number) {
  pass_ = std::max(pass_, number);
  if (asking_ != Asking::no) {
    asking_ = Asking::and_again;
    return;
  }
  asking_ = Asking::yes;
  hypervisor_.progress(uuid_, [weak = weak_from_this()](Result<std::optional<JobProgress>> said) {
    auto self = weak.lock();
    if (!self) return;
    const bool again = std::exchange(self->asking_, Asking::no) == Asking::and_again;
    if (said.ok() && said.value()) {
      self->steer(*said.value());
    } else if (!said.ok()) {
      self->advice_.downtime = std::max(self->advice_.downtime, converge::downtime_target(self->pass_, self->most_downtime_));
      self->advice_.reason = "its figures are not known: " + said.error();
      self->set_downtime();
    }
    if (again) self->next_pass(self->pass_);
  });
}

void MigrationJob::steer(const JobProgress& progress) {
  converge::Sample sample;
  sample.elapsed = progress.elapsed;
  sample.pass = static_cast<int>(std::min<std::uint64_t>(progress.iteration, 1'000'000));
  sample.remaining = progress.memory_remaining_bytes;
  sample.bytes_per_second = progress.memory_bytes_per_second;
  // QEMU's own figure is one of the last tenth of a second.
  const Milliseconds since = progress.elapsed - rated_from_.elapsed;
  if (since >= settled_rate) {
    if (progress.memory_sent_bytes > rated_from_.memory_sent_bytes)
      sample.bytes_per_second = (progress.memory_sent_bytes - rated_from_.memory_sent_bytes) * 1000 / static_cast<std::uint64_t>(since.count());
    if (since >= 2 * settled_rate) rated_from_ = progress;
  }
  bytes_per_second_ = std::max(bytes_per_second_, sample.bytes_per_second);
  sample.written_per_second = progress.written_bytes_per_second;
  sample.throttle = progress.throttle_percent;
  const std::string before = std::exchange(advice_, planner_.at(sample)).reason;
  if (advice_.reason != before) {
    log(Level::debug, "pass " + std::to_string(sample.pass) + " over the guest's memory, downtime at most " +
                          std::to_string(advice_.downtime.count()) + " ms: " + advice_.reason);
  }
  want_switch();
  set_downtime();
}

void MigrationJob::set_downtime() {
  // After the call it is the domain's next migration that it would be set for.
  if (facts_.call != JobFacts::Call::running && facts_.call != JobFacts::Call::none) return;
  if (!done_ || setting_downtime_ || advice_.downtime == downtime_) return;
  setting_downtime_ = true;
  hypervisor_.call<Done>(
      uuid_.str(), "set the downtime of domain " + uuid_.str(), hypervisor_.config_.call_limit,
      [uuid = uuid_, target = advice_.downtime](const Connection& connection) -> Outcome {
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{domain.error()};
        if (virDomainMigrateSetMaxDowntime(domain.value().get(), static_cast<unsigned long long>(target.count()), 0) < 0)
          return libvirt_error("set the downtime");
        return Done{};
      },
      [weak = weak_from_this(), target = advice_.downtime](Outcome outcome) {
        auto self = weak.lock();
        if (!self) return;
        self->setting_downtime_ = false;
        if (!outcome) return self->log(Level::debug, outcome.error());  // tried again with the next pass
        self->downtime_ = target;
        self->set_downtime();
      });
}

void MigrationJob::abort_at(Milliseconds limit) {
  ends_ = std::chrono::steady_clock::now() + limit;
  limit_.expires_after(limit);
  limit_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    auto self = weak.lock();
    if (error || !self) return;
    self->out_of_time_ = true;
    self->log(Level::notice, "the migration has not ended within its time; it is aborted");
    self->hypervisor_.abort_job(self->uuid_, [weak](Outcome outcome) {
      auto self = weak.lock();
      if (!self) return;
      if (!outcome) self->log(Level::warning, outcome.error());
      self->abort_at(abort_again);  // cancelled by the end
    });
  });
}

void MigrationJob::aborted() {
  if (std::exchange(aborted_, true)) return;
  cut_.expires_after(cut_after);
  cut_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    const auto carried = self ? self->carried_.lock() : nullptr;
    if (error || !carried) return;
    self->log(Level::warning, "the migration was aborted and has not ended; its streams are cut");
    carried->cut("it was aborted, and did not end within " + std::to_string(cut_after.count() / 1000) + " s");
  });
}

void MigrationJob::poll() {
  if (std::exchange(polling_, true)) return;
  hypervisor_.read(uuid_, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->facts_.view = self->hypervisor_.look(self->uuid_);
    self->judge();
    if (!self->done_) return;
    self->poll_.expires_after(poll_step);
    self->poll_.async_wait([weak](boost::system::error_code error) {
      auto self = weak.lock();
      if (error || !self) return;
      self->polling_ = false;
      self->poll();
    });
  });
}

void MigrationJob::event(const DomainEvent& event) {
  if (event.kind == DomainEvent::Kind::iteration) next_pass(event.event);
  if (event.kind != DomainEvent::Kind::lifecycle) return;
  if (event.event == VIR_DOMAIN_EVENT_SUSPENDED && event.detail == VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED) {
    facts_.switchover_seen = true;
    watch_exit();
    if (hypervisor_.listener_ != nullptr) hypervisor_.listener_->switching_over(uuid_);
  }
  if (event.event == VIR_DOMAIN_EVENT_SUSPENDED && event.detail == VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY) {
    log(Level::notice, "it has gone over to post-copy");
    if (switch_ == Switch::ordered) say(PostCopyGate::Word::switched);
    switch_ = Switch::seen;
    limit_.cancel();
  }
  if (event.event == VIR_DOMAIN_EVENT_RESUMED) facts_.switchover_seen = false;
  if (event.event == VIR_DOMAIN_EVENT_STOPPED && event.detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED) facts_.stopped_migrated = true;
  judge();
}

void MigrationJob::judge() {
  if (!done_) return;
  std::optional<MigrationEnd> end = judge_job(facts_);
  if (!end) return;
  if (out_of_time_ && end->end != handoff::JobEnd::migrated)
    end->why = "its time was up" + (advice_.reason.empty() ? "" : " (" + advice_.reason + ")") + ": " + end->why;
  auto done = std::exchange(done_, {});
  limit_.cancel();
  cut_.cancel();
  switch_again_.cancel();
  patience_.cancel();
  poll_.cancel();
  death_.close();
  log(Level::info, "the migration job has ended: " + end->why);
  auto self = shared_from_this();
  auto& jobs = hypervisor_.jobs_[uuid_];
  std::erase(jobs, self);
  if (jobs.empty()) hypervisor_.jobs_.erase(uuid_);
  if (bytes_per_second_ != 0) hypervisor_.measured(to_, bytes_per_second_);
  hypervisor_.next_turns();
  // libvirt lists it a little longer; it is gone all the same, and whoever claims next must not be told otherwise.
  if (end->end == handoff::JobEnd::migrated) {
    hypervisor_.registry_.stopped(uuid_, VIR_DOMAIN_EVENT_STOPPED_MIGRATED, boot_time());
    if (facts_.emulator_dead) hypervisor_.registry_.executes_no_more(uuid_);
  }
  boost::asio::post(hypervisor_.loop_, [life = std::weak_ptr<int>(hypervisor_.life_), done = std::move(done), end = *end] {
    if (life.lock()) done(end);
  });
}

}  // namespace migrationd::io
