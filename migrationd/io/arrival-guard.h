// SPDX-License-Identifier: GPL-2.0-or-later
// Watches the libvirt conversation of a migration that comes in: only what this migration needs passes, and only for
// the domain that was claimed. Opens its directory to the emulator for as long as that makes its sockets.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "migrationd/base/ids.h"
#include "migrationd/io/carried-place.h"
#include "migrationd/io/emulator.h"
#include "migrationd/io/post-copy-gate.h"
#include "migrationd/io/stream-pump.h"
#include "migrationd/wire/libvirt-rpc.h"

namespace migrationd::io {

/// What the loop asks and the pump's thread finds out.
class Prepared {
 public:
  void set(std::string domain_name, std::shared_ptr<Emulator> emulator);
  /// The domain's name once its emulator listens; empty before.
  std::string domain_name() const;
  /// That emulator; null: it is not known (yet), or there is none.
  std::shared_ptr<Emulator> emulator() const;
  /// `run`: in post-copy its copy may execute while it is still being filled.
  PostCopyGate& gate() { return gate_; }

 private:
  mutable std::mutex lock_;
  std::string domain_name_;
  std::shared_ptr<Emulator> emulator_;
  PostCopyGate gate_;
};

class ArrivalGuard : public StreamGuard {
 public:
  struct Ticket {
    DomainUuid domain;
    std::string migration;
    CarriedPlace place;
    std::string capabilities;  ///< of this node's libvirt
    std::string pid_directory = libvirt_pid_directory;
  };
  ArrivalGuard(Ticket ticket, std::shared_ptr<Prepared> prepared);
  Outcome from_remote(std::string_view bytes, std::string& out) override { return rpc_.from_client(bytes, out); }
  Outcome from_local(std::string_view bytes, std::string& out) override { return rpc_.from_server(bytes, out); }

 private:
  Outcome judge(wire::MigrationCall& call);
  Outcome judge_finish(wire::MigrationCall& call, const std::string& named);
  void answered();
  Ticket ticket_;
  std::shared_ptr<Prepared> prepared_;
  std::string name_;
  bool post_copy_ = false;  ///< it may go over to it
  wire::LibvirtRpcGuard rpc_;
};

}  // namespace migrationd::io
