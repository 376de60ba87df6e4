// SPDX-License-Identifier: GPL-2.0-or-later
// Who is at the other end of a unix socket.
#include "migrationd/io/unix-peer.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace migrationd::io {

std::optional<ucred> peer_of(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return std::nullopt;
  return peer;
}

bool peer_in_group(int fd, gid_t group) {
  std::vector<gid_t> groups(256);
  socklen_t length = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int result = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  if (result != 0 && errno == ERANGE) {
    groups.resize(length / sizeof(gid_t));
    result = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length);
  }
  if (result != 0) return false;
  groups.resize(length / sizeof(gid_t));
  for (const gid_t one : groups)
    if (one == group) return true;
  return false;
}

Peeked peek(int fd) {
  Peeked result;
  alignas(cmsghdr) std::array<char, 512> control{};
  iovec part{&result.header, sizeof result.header};
  msghdr message{};
  message.msg_name = &result.from;
  message.msg_namelen = sizeof result.from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  result.length = ::recvmsg(fd, &message, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  result.from_length = message.msg_namelen;
  if (result.length < 0) return result;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(c), sizeof sender);
      result.sender = sender.uid;
    }
    if (c->cmsg_type == SCM_RIGHTS) {  // nobody sends us descriptors for good
      for (std::size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
        int passed = -1;
        std::memcpy(&passed, CMSG_DATA(c) + at, sizeof passed);
        ::close(passed);
      }
    }
  }
  return result;
}

}  // namespace migrationd::io
