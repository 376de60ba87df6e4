// SPDX-License-Identifier: GPL-2.0-or-later
// What a migration that comes in may ask of this node's libvirt.
#include "migrationd/io/arrival-guard.h"

#include <libvirt/libvirt.h>
#include <unistd.h>

#include "migrationd/io/domain-xml.h"

namespace migrationd::io {

namespace {

/// The source says that the domain is given before it lets Finish pass; then it is on disk here, too, or it comes paused.
constexpr Milliseconds for_the_disk{5'000};

std::string text_of(const wire::MigrationCall& call, const char* field) {
  const auto found = call.texts.find(field);
  return found == call.texts.end() ? "" : found->second;
}

}  // namespace

void Prepared::set(std::string domain_name, std::shared_ptr<Emulator> emulator) {
  std::lock_guard held(lock_);
  emulator_ = std::move(emulator);
  domain_name_ = std::move(domain_name);
}

std::string Prepared::domain_name() const {
  std::lock_guard held(lock_);
  return domain_name_;
}

std::shared_ptr<Emulator> Prepared::emulator() const {
  std::lock_guard held(lock_);
  return emulator_;
}

ArrivalGuard::ArrivalGuard(Ticket ticket, std::shared_ptr<Prepared> prepared)
    : ticket_(std::move(ticket)),
      prepared_(std::move(prepared)),
      rpc_([this](wire::MigrationCall& call) { return judge(call); }, [this] { answered(); }) {}

/// It decides whether the copy runs, and only the hand-off may. libvirt knows no paused arrival where post-copy is possible, so Finish
/// is told here: the copy runs by itself only when it was given in post-copy.
Outcome ArrivalGuard::judge_finish(wire::MigrationCall& call, const std::string& named) {
  if (named != name_) return Error{"it is for domain " + named + ", not for " + name_};
  if ((call.flags & VIR_MIGRATE_PAUSED) != 0 || (post_copy_ && call.cancelled)) return Done{};
  if (!post_copy_) return Error{"the copy would not arrive paused"};
  PostCopyGate& gate = prepared_->gate();
  if (!gate.wait(PostCopyGate::Word::run, for_the_disk, stop_)) call.flags |= VIR_MIGRATE_PAUSED;
  return Done{};
}

Outcome ArrivalGuard::judge(wire::MigrationCall& call) {
  const std::string named = text_of(call, VIR_MIGRATE_PARAM_DEST_NAME);
  if (call.kind == wire::MigrationCall::Kind::finish) return judge_finish(call, named);
  post_copy_ = (call.flags & VIR_MIGRATE_POSTCOPY) != 0;
  if ((call.flags & VIR_MIGRATE_PAUSED) == 0 && !post_copy_) return Error{"the copy would not arrive paused"};

  constexpr unsigned copied_storage = VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC;
  if ((call.flags & (VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_OFFLINE)) != 0) return Error{"a tunnelled or an offline migration is not carried"};
  auto domain = parse_domain_xml(text_of(call, VIR_MIGRATE_PARAM_DEST_XML), "the definition that it brings");
  if (!domain.ok()) return Error{domain.error()};
  if (domain.value().uuid_made || domain.value().uuid != ticket_.domain) return Error{"it brings another domain than " + ticket_.domain.str()};
  if (!named.empty() && named != domain.value().name) return Error{"it names the domain otherwise than its definition"};
  const auto wanted = [&](wire::CarriedStream stream) { return "unix://" + ticket_.place.socket(ticket_.migration, stream); };
  if (text_of(call, VIR_MIGRATE_PARAM_URI) != wanted(wire::CarriedStream::memory)) return Error{"the memory would come another way: " + text_of(call, VIR_MIGRATE_PARAM_URI)};
  const bool disks = (call.flags & copied_storage) != 0 || call.texts.contains(VIR_MIGRATE_PARAM_DISKS_URI);
  if (disks && text_of(call, VIR_MIGRATE_PARAM_DISKS_URI) != wanted(wire::CarriedStream::disks)) return Error{"the disks would come another way"};

  const auto owner = emulator_owner(domain.value().xml, ticket_.capabilities);
  if (!owner.ok()) return Error{owner.error()};
  name_ = domain.value().name;
  return ticket_.place.give(ticket_.migration, owner.value());
}

/// The emulator listens, or there is none. What it made stays; nobody of its user gets in any more.
void ArrivalGuard::answered() {
  if (auto taken = ticket_.place.give(ticket_.migration, {::geteuid(), ::getegid()}); !taken) return;
  auto emulator = Emulator::find(ticket_.pid_directory, name_, ticket_.domain);
  prepared_->set(name_, emulator.ok() ? emulator.value() : nullptr);
}

}  // namespace migrationd::io
