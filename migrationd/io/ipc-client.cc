// SPDX-License-Identifier: GPL-2.0-or-later
// The client's end of the local IPC.
#include "migrationd/io/ipc-client.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <qb/qbipcc.h>

namespace migrationd::io {

namespace {

using Deadline = IpcClient::Deadline;
using Failure = IpcClient::Failure;
using Trouble = IpcClient::Trouble;

// What is left until then, for poll; at least 0.
int milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return left < 0 ? 0 : left > 3'600'000 ? 3'600'000 : static_cast<int>(left);
}

// Waits for input or hang-up on one of two descriptors (-1: none); false: the time is up.
bool wait_for_input(int first, int second, Deadline deadline) {
  while (true) {
    pollfd fds[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
    const int left = milliseconds_until(deadline);
    const int ready = ::poll(fds, 2, left);
    if (ready > 0) return true;
    if (ready == 0 && left == 0) return false;
    if (ready < 0 && errno != EINTR) return true;  // let the following call meet the error
  }
}

std::string reason_of(int error) { return std::strerror(error); }

// Drops a half-made connection. Finishing it is libqb's only call that frees it, so first nothing may be left
// to be read: the answer of somebody who isn't believed must not be followed.
void give_up(qb_ipcc_connection_t* connection, int setup_fd) {
  ::shutdown(setup_fd, SHUT_RDWR);
  char rest[256];
  while (::recv(setup_fd, rest, sizeof rest, MSG_DONTWAIT) > 0) {
  }
  qb_ipcc_connect_continue(connection);
}

// The name of a socket without the NULs around it.
std::string name_of(const sockaddr_un& address, socklen_t length) {
  constexpr std::size_t offset = offsetof(sockaddr_un, sun_path);
  if (length <= offset) return {};
  std::string_view path(address.sun_path, std::min<std::size_t>(length - offset, sizeof address.sun_path));
  if (path.front() == '\0') path.remove_prefix(1);
  return std::string(path.substr(0, path.find('\0')));
}

}  // namespace

void IpcClient::Closer::operator()(qb_ipcc_connection* connection) const { qb_ipcc_disconnect(connection); }

IpcClient::~IpcClient() = default;

IpcClient::Or<std::unique_ptr<IpcClient>> IpcClient::connect(Deadline deadline, const char* service, uid_t server_uid) {
  qb_ipcc_connection_t* raw = nullptr;
  int setup_fd = -1;
  while (!(raw = qb_ipcc_connect_async(service, wire::local_datagram_limit, &setup_fd))) {
    const int error = errno;
    if (error == ECONNREFUSED || error == ENOENT) return Failure{Trouble::absent, "migrationd isn't running on this node"};
    if (error != EAGAIN)
      return Failure{Trouble::impossible, "migrationd can't be reached: connecting to its socket: " + reason_of(error)};
    // Its queue of connections is full. There is no event for a free place in it.
    if (milliseconds_until(deadline) == 0)
      return Failure{Trouble::late, "migrationd takes no connection within the action's time: it is overloaded or hangs"};
    ::poll(nullptr, 0, std::min(20, milliseconds_until(deadline)));
  }

  ucred server{};
  socklen_t length = sizeof server;
  if (::getsockopt(setup_fd, SOL_SOCKET, SO_PEERCRED, &server, &length) != 0 || server.uid != server_uid) {
    give_up(raw, setup_fd);
    return Failure{Trouble::distrusted, "the socket name '" + std::string(service) + "' of migrationd is held by process " +
                                            std::to_string(server.pid) + " of user " + std::to_string(server.uid) +
                                            ", which is not believed; find out what it is and end it"};
  }
  if (!wait_for_input(setup_fd, -1, deadline)) {
    give_up(raw, setup_fd);
    return Failure{Trouble::late, "migrationd doesn't answer within the action's time: it is overloaded or hangs"};
  }
  if (const int error = std::abs(qb_ipcc_connect_continue(raw)); error != 0) {  // has freed `raw`
    if (error == EACCES || error == EPERM)
      return Failure{Trouble::denied, "migrationd refuses user " + std::to_string(::geteuid()) +
                                          ": only root and members of the group haclient may ask it"};
    if (error == ENOTCONN || error == ECONNRESET || error == EPIPE)
      return Failure{Trouble::lost, "migrationd closed the connection while it was set up"};
    return Failure{Trouble::impossible, "the connection to migrationd can't be set up: " + reason_of(error)};
  }

  std::unique_ptr<IpcClient> client(new IpcClient);
  client->connection_.reset(raw);
  client->setup_fd_ = setup_fd;
  client->buffer_ = std::make_unique<char[]>(wire::local_datagram_limit);
  if (!client->find_response_socket())
    return Failure{Trouble::impossible, "the connection to migrationd has no socket for answers (another libqb than 2.0?)"};
  // We haven't asked yet: what lies here was sent by somebody else, between our bind and our connect.
  char byte = 0;
  if (::recv(client->response_fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0)
    return Failure{Trouble::distrusted, "another process sends answers in migrationd's name; they are not believed"};
  return client;
}

// libqb tells the socket of events only; the one of requests and answers has the same name with another end,
// and is connected to the daemon's.
bool IpcClient::find_response_socket() {
  int event_fd = -1;
  sockaddr_un address{};
  socklen_t length = sizeof address;
  if (qb_ipcc_fd_get(connection_.get(), &event_fd) != 0 ||
      ::getsockname(event_fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return false;
  std::string name = name_of(address, length);
  constexpr std::string_view ending = "-event";
  if (!std::string_view(name).ends_with(ending)) return false;
  name.replace(name.size() - ending.size(), ending.size(), "-request");

  rlimit limit{};
  const int end = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? static_cast<int>(limit.rlim_cur) : 65536;
  for (int fd = 0; fd < end; ++fd) {
    length = sizeof address;
    address = {};
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.sun_family != AF_UNIX) continue;
    if (name_of(address, length) != name) continue;
    response_fd_ = fd;
    return true;
  }
  return false;
}

IpcClient::Or<wire::LocalReply> IpcClient::ask(const wire::LocalRequest& request, Deadline deadline) {
  const auto bytes = wire::encode(request);
  if (!bytes) return Failure{Trouble::impossible, bytes.error()};
  qb_ipc_request_header header{};
  if (bytes.value().size() + sizeof header > wire::local_datagram_limit)
    return Failure{Trouble::impossible, "the request has " + std::to_string(bytes.value().size()) +
                                            " bytes; its parameters are too long"};
  header.id = wire::local_message_id;
  header.size = static_cast<int>(bytes.value().size() + sizeof header);
  std::memcpy(buffer_.get(), &header, sizeof header);
  std::memcpy(buffer_.get() + sizeof header, bytes.value().data(), bytes.value().size());
  while (true) {
    const ssize_t sent = qb_ipcc_send(connection_.get(), buffer_.get(), static_cast<std::size_t>(header.size));
    if (sent == header.size) break;
    if (sent != -EAGAIN && sent != -ENOBUFS && sent != -EINTR)
      return Failure{Trouble::lost, "migrationd went away before it got the request: " + reason_of(static_cast<int>(-sent))};
    if (milliseconds_until(deadline) == 0)
      return Failure{Trouble::late, "migrationd doesn't take the request within the action's time"};
    pollfd writable{response_fd_, POLLOUT, 0};
    ::poll(&writable, 1, std::min(100, milliseconds_until(deadline)));
  }
  return next(deadline);
}

IpcClient::Or<wire::LocalReply> IpcClient::next(Deadline deadline) {
  std::string bytes;
  while (true) {
    if (!wait_for_input(response_fd_, setup_fd_, deadline))
      return Failure{Trouble::late, "migrationd hasn't answered within the action's time"};
    const ssize_t length = ::recv(response_fd_, buffer_.get(), 1, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0)  // no answer, so it was the hang-up
      return Failure{Trouble::lost, "migrationd went away before it answered"};
    qb_ipc_response_header header{};
    if (length < static_cast<ssize_t>(sizeof header) || length > static_cast<ssize_t>(wire::local_datagram_limit))
      return Failure{Trouble::impossible, "migrationd sent an answer of " + std::to_string(length) + " bytes"};
    const ssize_t received = qb_ipcc_recv(connection_.get(), buffer_.get(), wire::local_datagram_limit, 0);
    if (received < static_cast<ssize_t>(sizeof header))
      return Failure{Trouble::impossible, "migrationd's answer can't be received: " + reason_of(static_cast<int>(-received))};
    std::memcpy(&header, buffer_.get(), sizeof header);
    bytes.append(buffer_.get() + sizeof header, static_cast<std::size_t>(received) - sizeof header);
    if (bytes.size() > wire::local_message_limit) return Failure{Trouble::impossible, "migrationd's answer is too large"};
    if (header.id == wire::local_part_id) continue;
    auto reply = wire::decode_reply(bytes);
    if (!reply) return Failure{Trouble::impossible, reply.error()};
    return std::move(reply.value());
  }
}

}  // namespace migrationd::io
