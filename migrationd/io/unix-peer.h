// SPDX-License-Identifier: GPL-2.0-or-later
// Who is at the other end of a unix socket, asked of the kernel, which can't be lied to and doesn't block as
// the user database may.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <optional>

#include <qb/qbipc_common.h>

namespace migrationd::io {

/// Process, user and group at the other end of a connection; of a listener, as seen by the connecting side.
std::optional<ucred> peer_of(int fd);

/// Whether the process at the other end was a member of the group when it connected.
bool peer_in_group(int fd, gid_t group);

/// The head of a waiting datagram: how long it is, what it says, who sent it from where.
struct Peeked {
  ssize_t length = -1;            ///< of the whole datagram, in bytes; -1: there is none
  qb_ipc_request_header header{}; ///< its first bytes, as far as they go
  std::optional<uid_t> sender;    ///< needs SO_PASSCRED on the socket
  sockaddr_un from{};
  socklen_t from_length = 0;
};

/// Looks at the next datagram and leaves it.
Peeked peek(int fd);

}  // namespace migrationd::io
