// SPDX-License-Identifier: GPL-2.0-or-later
// Watches the libvirt conversation of a migration that leaves and may go over to post-copy, for one message: in Finish libvirt has the
// destination execute the copy, which in post-copy must wait until the domain is given, and else is the hand-off's to order.
#pragma once

#include <memory>

#include "migrationd/io/post-copy-gate.h"
#include "migrationd/io/stream-pump.h"
#include "migrationd/wire/libvirt-rpc.h"

namespace migrationd::io {

class DepartureGuard : public StreamGuard {
 public:
  explicit DepartureGuard(std::shared_ptr<PostCopyGate> gate);
  Outcome from_remote(std::string_view bytes, std::string& out) override { return rpc_.from_server(bytes, out); }
  Outcome from_local(std::string_view bytes, std::string& out) override { return rpc_.from_client(bytes, out); }

 private:
  Outcome judge(wire::MigrationCall& call);
  std::shared_ptr<PostCopyGate> gate_;
  wire::LibvirtRpcGuard rpc_;
};

}  // namespace migrationd::io
