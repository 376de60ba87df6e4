// SPDX-License-Identifier: GPL-2.0-or-later
// Asks, compares, logs what is new.
#include "migrationd/io/domain-warnings.h"

#include <algorithm>

namespace migrationd::io {

namespace {

constexpr Milliseconds look_every{60'000};
/// While the hypervisor does not answer, as just after the daemon began.
constexpr Milliseconds look_again_after{5'000};

}  // namespace

DomainWarnings::DomainWarnings(engine::World& world, const engine::Engine& engine, Ask ask)
    : world_(world), engine_(engine), ask_(std::move(ask)) {}

DomainWarnings::~DomainWarnings() {
  if (timer_ != 0) world_.clock.cancel(timer_);
}

void DomainWarnings::begin() {
  look([this] { timer_ = world_.clock.schedule(answered_ ? look_every : look_again_after, [this] { begin(); }); });
}

void DomainWarnings::look(std::function<void()> done) {
  std::set<DomainUuid> ours;
  for (const auto& domain : engine_.domains())
    if (!domain.resource.empty()) ours.insert(domain.uuid);
  answered_ = engine_.hypervisor_usable();
  if (ours.empty() || !answered_) {
    if (ours.empty()) known_.clear();
    return done();
  }
  ask_(ours, [this, weak = std::weak_ptr<int>(life_), done = std::move(done)](Result<std::vector<std::string>> found) {
    if (!weak.lock()) return;
    answered_ = found.ok();
    if (answered_) {
      for (const std::string& one : found.value())
        if (std::find(known_.begin(), known_.end(), one) == known_.end()) world_.log.write(engine::Log::Level::warning, "", one);
      known_ = std::move(found.value());
    }
    done();
  });
}

}  // namespace migrationd::io
