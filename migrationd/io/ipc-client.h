// SPDX-License-Identifier: GPL-2.0-or-later
// The client's end of the local IPC, for the agent and migrationctl: one connection, one request at a time,
// every wait with a deadline. Links libqb only, because the agent is started for every monitor.
//
// Whom it believes: names of sockets in the abstract namespace can be taken by anybody, so the listener's
// credentials are checked before anything but libqb's greeting is sent; and nothing may lie in our socket
// before we have asked, because only from its connect() on does the kernel keep strangers out of it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "migrationd/wire/local-codec.h"

struct qb_ipcc_connection;

namespace migrationd::io {

class IpcClient {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  enum class Trouble {
    absent,       ///< nobody listens: the daemon isn't running
    denied,       ///< the daemon refuses this user
    distrusted,   ///< another user's process has the name, or meddles
    late,         ///< no answer within the time
    lost,         ///< the daemon went away before it answered
    impossible,   ///< the request can't be sent, or the answer can't be understood
  };
  struct Failure {
    Trouble trouble;
    std::string text;
  };
  template <class T>
  using Or = std::variant<T, Failure>;

  /// Connects to the daemon of this node. `server_uid`: whose daemon is believed.
  static Or<std::unique_ptr<IpcClient>> connect(Deadline deadline, const char* service = wire::local_service_name,
                                                uid_t server_uid = 0);
  ~IpcClient();
  IpcClient(const IpcClient&) = delete;
  IpcClient& operator=(const IpcClient&) = delete;

  /// Sends the request and waits for its (first) reply.
  Or<wire::LocalReply> ask(const wire::LocalRequest& request, Deadline deadline);
  /// Waits for a further reply, after one with `more`.
  Or<wire::LocalReply> next(Deadline deadline);

 private:
  struct Closer {
    void operator()(qb_ipcc_connection* connection) const;
  };
  IpcClient() = default;
  bool find_response_socket();

  std::unique_ptr<qb_ipcc_connection, Closer> connection_;
  int setup_fd_ = -1;     // libqb's; hangs up when the daemon closes the connection
  int response_fd_ = -1;  // libqb's
  std::unique_ptr<char[]> buffer_;
};

}  // namespace migrationd::io
