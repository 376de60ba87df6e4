// SPDX-License-Identifier: GPL-2.0-or-later
// The part of a migration job that goes over to post-copy, and LibvirtHypervisor's of it.
#include <fstream>

#include <boost/asio/post.hpp>
#include <libvirt/virterror.h>

#include "migrationd/io/carried-migration.h"
#include "migrationd/io/carried-place.h"
#include "migrationd/io/libvirt-migration.h"

namespace migrationd::io {

using Level = engine::Log::Level;

namespace {

constexpr Milliseconds switch_again_after{1000};

/// What libvirt says only when it has not passed the order on. Anything else may be an answer that was lost.
bool surely_refused(int code) {
  return code == VIR_ERR_OPERATION_INVALID || code == VIR_ERR_ARGUMENT_UNSUPPORTED || code == VIR_ERR_NO_SUPPORT || code == VIR_ERR_NO_DOMAIN;
}

}  // namespace

/// QEMU asks for it when a copy begins to come, and refuses the whole migration where it can't have it. As root it can, unless libvirt took
/// that right from it.
std::string LibvirtHypervisor::no_post_copy() const {
  std::ifstream file(config_.userfaultfd_sysctl);
  int allowed = 0;
  if (file >> allowed && allowed == 1) return "";
  if (emulators_are_root_) return "";
  return "QEMU may not use userfaultfd on this node: set the sysctl vm.unprivileged_userfaultfd to 1";
}

void MigrationJob::say(PostCopyGate::Word word) {
  if (const auto carried = carried_.lock()) carried->say(word);
}

void MigrationJob::given() { say(PostCopyGate::Word::run); }

void MigrationJob::want_switch() {
  if (advice_.step != converge::Advice::Step::post_copy || !post_copy_ || switch_ != Switch::none) return;
  if (aborted_ || out_of_time_ || facts_.call != JobFacts::Call::running || hypervisor_.listener_ == nullptr) return;
  hypervisor_.listener_->switch_wanted(uuid_, attempt_, advice_.reason);
}

void MigrationJob::start_post_copy(engine::Callback<Outcome> done) {
  std::string why;
  if (!post_copy_) why = "it was not begun so that it could";
  if (facts_.call != JobFacts::Call::running || !done_) why = "the migration is over";
  if (aborted_ || out_of_time_) why = "the migration was just aborted";
  if (!why.empty()) {
    boost::asio::post(hypervisor_.loop_, [life = std::weak_ptr<int>(hypervisor_.life_), done = std::move(done), why] {
      if (life.lock()) done(Error{why});
    });
    return;
  }
  limit_.cancel();
  switch_ = Switch::ordered;
  switch_done_ = std::move(done);
  say(PostCopyGate::Word::ordered);
  order_switch();
}

/// Until it is certain that libvirt took or refused it: QEMU only sets a mark, so a second time does no harm.
void MigrationJob::order_switch() {
  const std::string what = "switch domain " + uuid_.str() + " to post-copy";
  hypervisor_.call<std::string>(
      uuid_.str() + "/switch", what, hypervisor_.config_.call_limit,
      [what, uuid = uuid_, held = hypervisor_.steering(uuid_)](const Connection& connection) -> Result<std::string> {
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{what + ": " + domain.error()};
        if (virDomainMigrateStartPostCopy(domain.value().get(), 0) == 0) return std::string();
        const bool sure = surely_refused(libvirt_error_code());
        const Error error = libvirt_error(what);
        if (sure) return error.text;
        return error;
      },
      [weak = weak_from_this()](Result<std::string> refusal) {
        if (auto self = weak.lock()) self->switch_answered(std::move(refusal));
      });
}

/// A text is a refusal that is certain.
void MigrationJob::switch_answered(Result<std::string> refusal) {
  if (switch_ != Switch::ordered || !done_) return;
  if (!refusal.ok()) {
    log(Level::warning, refusal.error() + "; tried again");
    switch_again_.expires_after(switch_again_after);
    switch_again_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (!error && self && self->done_ && self->switch_ == Switch::ordered) self->order_switch();
    });
    return;
  }
  auto done = std::exchange(switch_done_, {});
  if (refusal.value().empty()) {
    if (done) done(Done{});
    return;
  }
  switch_ = Switch::none;
  say(PostCopyGate::Word::none);
  if (ends_) abort_at(std::max(std::chrono::duration_cast<Milliseconds>(*ends_ - std::chrono::steady_clock::now()), Milliseconds{1}));
  if (done) done(Error{refusal.value()});
}

std::shared_ptr<int> LibvirtHypervisor::steering(const DomainUuid& uuid) {
  std::shared_ptr<int> held = steering_[uuid].lock();
  if (!held) steering_[uuid] = held = std::make_shared<int>(0);
  return held;
}

void LibvirtHypervisor::start_post_copy(const DomainUuid& uuid, Attempt attempt, engine::Callback<Outcome> done) {
  if (const auto jobs = jobs_.find(uuid); jobs != jobs_.end())
    for (const auto& job : jobs->second)
      if (job->ordered() && job->attempt() == attempt) return job->start_post_copy(std::move(done));
  boost::asio::post(loop_, [life = std::weak_ptr<int>(life_), done = std::move(done)] {
    if (life.lock()) done(Error{"the migration is over"});
  });
}

void LibvirtHypervisor::given_in_post_copy(const DomainUuid& uuid) {
  if (const auto jobs = jobs_.find(uuid); jobs != jobs_.end())
    for (const auto& job : jobs->second) job->given();
}

void LibvirtHypervisor::let_run(const DomainUuid& uuid, const NodeName& from, Attempt attempt) {
  if (carrier_ != nullptr) carrier_->let_run(uuid, from, attempt);
}

}  // namespace migrationd::io
