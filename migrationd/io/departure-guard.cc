// SPDX-License-Identifier: GPL-2.0-or-later
// See departure-guard.h.
#include "migrationd/io/departure-guard.h"

#include <libvirt/libvirt.h>

namespace migrationd::io {

namespace {
/// libvirt's event of the switch comes before its Finish, but another way.
constexpr Milliseconds for_the_event{500};
/// Until the domain is given: that is on disk then. No longer than libvirt's keepalive bears.
constexpr Milliseconds for_the_word{10'000};
}  // namespace

DepartureGuard::DepartureGuard(std::shared_ptr<PostCopyGate> gate)
    : gate_(std::move(gate)), rpc_([this](wire::MigrationCall& call) { return judge(call); }, [] {}) {}

Outcome DepartureGuard::judge(wire::MigrationCall& call) {
  using Word = PostCopyGate::Word;
  if (call.kind == wire::MigrationCall::Kind::prepare || call.cancelled) return Done{};
  const bool runs = gate_->said() != Word::none && gate_->wait(Word::switched, for_the_event, stop_) && gate_->wait(Word::run, for_the_word, stop_);
  if (!runs) call.flags |= VIR_MIGRATE_PAUSED;
  return Done{};
}

}  // namespace migrationd::io
