// SPDX-License-Identifier: GPL-2.0-or-later
// The RPC between two libvirts, as much of it as a peer-to-peer migration needs: what may pass through a carried
// connection, and nothing else. Who holds the other end of it would be root here otherwise. No sockets.
//
// A message: length, program, version, procedure, type, serial, status (each 4 bytes, big-endian), then the arguments in
// XDR (RFC 4506). The length counts itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"

namespace migrationd::wire {

/// libvirt's own limit is 32 MiB; a definition and a cookie have at most 4 each.
inline constexpr std::size_t rpc_message_limit = 16 * 1024 * 1024;

/// What the source's libvirt asks for in Prepare3Params and Finish3Params.
struct MigrationCall {
  enum class Kind { prepare, finish };
  Kind kind = Kind::prepare;
  std::map<std::string, std::string> texts;  ///< its parameters that are texts, by libvirt's names of them
  std::uint32_t flags = 0;                   ///< VIR_MIGRATE_...; as the judge leaves them the call passes
  bool cancelled = false;                    ///< finish: the migration failed
};

/// Both directions of one connection from a migration's source to the destination's libvirt.
class LibvirtRpcGuard {
 public:
  /// `judge`: whether this very call may pass; asked once for each, a prepare at most once. `prepared`: the destination has
  /// answered the prepare, well or not.
  LibvirtRpcGuard(std::function<Outcome(MigrationCall&)> judge, std::function<void()> prepared);

  /// Takes bytes from the source, cut anywhere, and appends to `out` the messages that may pass. Errors (final): not libvirt's RPC, a
  /// message beyond the limit, a procedure that no migration needs, a call that `judge` refuses.
  Outcome from_client(std::string_view bytes, std::string& out);
  /// The same from the destination's libvirt, which may say what it wants.
  Outcome from_server(std::string_view bytes, std::string& out);

 private:
  struct Header {
    std::uint32_t length, program, version, procedure, type, serial, status;
  };
  static std::optional<Header> header(std::string_view bytes);
  struct Flags {
    std::size_t at;  ///< in the body
    std::uint32_t value;
  };
  /// `flags`: what is to be written into the message before it passes.
  Outcome check(const Header& header, std::string_view body, std::optional<Flags>& flags);

  std::function<Outcome(MigrationCall&)> judge_;
  std::function<void()> prepared_;
  std::string from_client_, from_server_;  ///< of a message that is not whole yet
  std::optional<std::uint32_t> prepare_serial_;
  bool prepare_answered_ = false;
};

}  // namespace migrationd::wire
