// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon's end of the local IPC: a libqb server whose clients are the agent and migrationctl.
//
// Who is let in: root may do everything, members of the group haclient may read, nobody else is accepted.
// What libqb leaves open is closed here. Its sockets have names in the abstract namespace, so that anybody
// could send into another user's connection, and it believes the length that a message states; so every
// datagram is looked at before libqb gets it: it must come from the connection's own user and be as long as
// it says. A datagram from somebody else is dropped; a bad one of the client's costs it the connection.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "migrationd/base/result.h"
#include "migrationd/wire/local-codec.h"

namespace migrationd::io {

using ConnectionId = std::uint64_t;

/// Who is at the other end, as the kernel says.
struct Credentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  /// Root: may act. Otherwise it may only read (monitor, status, ctl-alarms, ctl-events, ctl-status, ctl-explain, ctl-ready, ctl-watch).
  bool may_act = false;
};

class IpcServer {
 public:
  /// Answers the request; more than once while `more` is set. May be called at any time on the loop's thread,
  /// also never, and also when the connection or the server is gone: then nothing happens.
  using Reply = std::function<void(const wire::LocalReply&)>;

  struct Handlers {
    /// A request whose sender may make it. One at a time per connection.
    std::function<void(ConnectionId, wire::LocalRequest, const Credentials&, Reply)> request;
    /// A connection is gone, with or without an answer: the agent has ended or was killed.
    std::function<void(ConnectionId)> closed;
    /// What people should know; may be empty.
    std::function<void(const std::string&)> log;
  };

  struct Settings {
    std::string service = wire::local_service_name;
    uid_t acting_uid = 0;             ///< who may act (another only in tests)
    std::optional<gid_t> reading_gid; ///< whose members may read; see haclient_group()
    std::size_t readers_limit = 64;   ///< connections of others than the acting user at once
    Milliseconds greeting_limit{10'000};  ///< for a client to introduce itself
    Milliseconds sending_limit{10'000};   ///< for a client to take its answer
  };

  /// Listens. Errors: the name is taken by another process (a second daemon, or a squatter).
  static Result<std::unique_ptr<IpcServer>> start(boost::asio::io_context& loop, Settings settings, Handlers handlers);
  /// Closes all connections; no handler is called any more.
  ~IpcServer();
  /// Parts of earlier answers wait for the client to take them: who answers again and again waits with the next.
  bool unsent(ConnectionId connection) const;
  IpcServer(const IpcServer&) = delete;
  IpcServer& operator=(const IpcServer&) = delete;

 private:
  class Impl;
  explicit IpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The group haclient of Pacemaker and Heartbeat; nothing if this system has none. Reads the user database,
/// so it may block: call it before the loop runs.
std::optional<gid_t> haclient_group();

}  // namespace migrationd::io
