// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon's end of the local IPC.
#include "migrationd/io/ipc-server.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "migrationd/io/qb-loop.h"
#include "migrationd/io/unix-peer.h"

namespace migrationd::io {

namespace asio = boost::asio;

namespace {

constexpr std::size_t strangers_limit = 16;  // greetings at once of users who will be refused

struct ServiceClose {
  void operator()(qb_ipcs_service_t* service) const { qb_ipcs_destroy(service); }
};

bool reads_only(const std::string& operation) {
  for (const char* one : {"monitor", "status", "ctl-alarms", "ctl-events", "ctl-status", "ctl-explain", "ctl-ready", "ctl-watch"})
    if (operation == one) return true;
  return false;
}

}  // namespace

class IpcServer::Impl final : public QbLoop::Observer {
 public:
  Impl(asio::io_context& loop, Settings settings, Handlers handlers)
      : loop_(loop), settings_(std::move(settings)), handlers_(std::move(handlers)), qb_(loop, *this) {}
  ~Impl() override;

  Outcome listen();
  bool unsent(ConnectionId id) const {
    for (const auto& [handle, one] : connections_)
      if (one->id == id) return !one->parts.empty();
    return false;
  }

  void added(int fd, void* data) override;
  void removed(int fd) override;
  bool admit(int fd, int revents, void* data) override;

 private:
  struct Connection {
    explicit Connection(asio::io_context& loop) : sending(loop) {}
    ConnectionId id = 0;
    qb_ipcs_connection_t* handle = nullptr;  // null: closed
    Credentials credentials;
    int request_fd = -1;
    bool answering = false;      // a request waits for its answer
    bool stranger_told = false;
    bool connected = false;      // our socket takes from, and sends to, the client's only
    sockaddr_un client{};
    socklen_t client_length = 0;
    std::deque<std::string> parts;
    bool waiting_to_write = false;
    asio::steady_timer sending;
  };
  struct Greeting {
    Greeting(asio::io_context& loop) : timer(loop) {}
    asio::steady_timer timer;
    bool stranger = false;
  };

  static Impl& of(qb_ipcs_connection_t* c) { return *static_cast<Impl*>(qb_ipcs_connection_service_context_get(c)); }
  static int32_t on_accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid) { return of(c).accept(c, uid, gid); }
  static int32_t on_message(qb_ipcs_connection_t* c, void* data, size_t size) {
    of(c).message(c, {static_cast<const char*>(data), size});
    return 0;
  }
  static int32_t on_closed(qb_ipcs_connection_t* c) {
    of(c).closed(c);
    return 0;
  }
  static void on_destroyed(qb_ipcs_connection_t* c) { of(c).connections_.erase(c); }

  int32_t accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid);
  void message(qb_ipcs_connection_t* c, std::string_view datagram);
  void closed(qb_ipcs_connection_t* c);
  bool admit_request(const std::shared_ptr<Connection>& connection);
  void close(Connection& connection, const std::string& why);
  void answer(const std::shared_ptr<Connection>& connection, const wire::LocalReply& reply);
  void flush(const std::shared_ptr<Connection>& connection);
  void say(const std::string& text) const {
    if (handlers_.log) handlers_.log(text);
  }
  static std::string who(const Connection& connection) {
    return "process " + std::to_string(connection.credentials.pid) + " of user " + std::to_string(connection.credentials.uid);
  }

  asio::io_context& loop_;
  Settings settings_;
  Handlers handlers_;
  bool ending_ = false;
  ConnectionId last_id_ = 0;
  std::map<int, Greeting> greetings_;
  std::map<void*, std::shared_ptr<Connection>> connections_;
  std::shared_ptr<Impl*> self_ = std::make_shared<Impl*>(this);  // replies given out hold it weakly
  QbLoop qb_;
  std::unique_ptr<qb_ipcs_service_t, ServiceClose> service_;
};

IpcServer::Impl::~Impl() {
  ending_ = true;
  self_.reset();
  // Clients that haven't introduced themselves hold on to the service, so they go first.
  std::vector<int> fds;
  for (const auto& [fd, greeting] : greetings_) fds.push_back(fd);
  for (const int fd : fds) qb_.invalidate(fd);
  service_.reset();
}

Outcome IpcServer::Impl::listen() {
  qb_ipcs_service_handlers handlers{.connection_accept = on_accept,
                                    .connection_created = nullptr,
                                    .msg_process = on_message,
                                    .connection_closed = on_closed,
                                    .connection_destroyed = on_destroyed};
  qb_ipcs_service_t* service = qb_ipcs_create(settings_.service.c_str(), 0, QB_IPC_SOCKET, &handlers);
  if (!service) return Error{"the local IPC can't be set up: out of memory"};
  qb_ipcs_service_context_set(service, this);
  qb_ipcs_poll_handlers poll_handlers = QbLoop::handlers();
  qb_ipcs_poll_handlers_set(service, &poll_handlers);
  // The slow rate is the one at which libqb takes a single message each time it is called, so that none passes
  // by admit().
  qb_ipcs_request_rate_limit(service, QB_IPCS_RATE_SLOW);
  qb_ipcs_enforce_buffer_size(service, wire::local_datagram_limit);
  if (const int result = qb_ipcs_run(service); result < 0) {  // has destroyed the service
    std::string text = "the local IPC can't listen on the name '" + settings_.service + "': " + std::strerror(-result);
    if (result == -EADDRINUSE)
      text += ": another process has it, a second daemon or a squatter; `ss -xlp` shows which (look for @" + settings_.service + ")";
    return Error{text};
  }
  service_.reset(service);
  return Done{};
}

// ---------------------------------------------------------------- what libqb watches

void IpcServer::Impl::added(int fd, void* data) {
  int type = 0;
  socklen_t length = sizeof type;
  ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
  const auto known = connections_.find(data);
  if (type == SOCK_DGRAM) {
    // From now on, before the client has been told the socket's name, each datagram says who sent it.
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (known != connections_.end()) known->second->request_fd = fd;
    return;
  }
  if (known != connections_.end()) return;  // the greeting is over; libqb watches for the end of the connection
  int listening = 0;
  length = sizeof listening;
  ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  if (listening) return;

  const auto peer = peer_of(fd);
  Greeting& greeting = greetings_.try_emplace(fd, loop_).first->second;
  greeting.stranger = !peer || (peer->uid != settings_.acting_uid &&
                                !(settings_.reading_gid && peer_in_group(fd, *settings_.reading_gid)));
  std::size_t strangers = 0;
  for (const auto& [other, one] : greetings_) strangers += one.stranger;
  // Hanging up makes libqb clean up. Time for a client to introduce itself is limited, and so are strangers,
  // who are refused as soon as they have.
  if (greeting.stranger && strangers > strangers_limit) ::shutdown(fd, SHUT_RDWR);
  greeting.timer.expires_after(settings_.greeting_limit);
  greeting.timer.async_wait([fd](auto error) {
    if (!error) ::shutdown(fd, SHUT_RDWR);
  });
}

void IpcServer::Impl::removed(int fd) { greetings_.erase(fd); }

bool IpcServer::Impl::admit(int fd, int, void* data) {
  const auto it = connections_.find(data);
  if (it == connections_.end() || it->second->request_fd != fd) return true;
  return admit_request(std::shared_ptr(it->second));
}

bool IpcServer::Impl::admit_request(const std::shared_ptr<Connection>& connection) {
  const Peeked message = peek(connection->request_fd);
  if (message.length < 0) return false;
  if (message.sender != connection->credentials.uid) {
    char byte = 0;
    (void)!::recv(connection->request_fd, &byte, 1, MSG_DONTWAIT);
    if (!std::exchange(connection->stranger_told, true))
      say("local IPC: dropped a message sent into the connection of " + who(*connection) + " by " +
          (message.sender ? "user " + std::to_string(*message.sender) : std::string("an unknown user")));
    return false;
  }
  const char* why = nullptr;
  if (message.length < static_cast<ssize_t>(sizeof message.header)) why = "it is shorter than a header";
  else if (message.header.size != message.length) why = "its length isn't what it says";
  else if (message.length > static_cast<ssize_t>(wire::local_datagram_limit)) why = "it is too large";
  else if (message.header.id != wire::local_message_id) why = "its header is unknown";
  else if (connection->answering) why = "the answer to the one before is still due";
  if (why) {
    close(*connection, std::string("a request was refused: ") + why);
    return false;
  }
  if (!connection->connected) {
    // libqb would do this with the first answer, and sleep a second on our loop if the client is gone by then.
    connection->client = message.from;
    connection->client_length = message.from_length;
    if (::connect(connection->request_fd, reinterpret_cast<const sockaddr*>(&connection->client), connection->client_length) != 0) {
      close(*connection, "its socket for answers is gone");
      return false;
    }
    connection->connected = true;
  }
  return true;
}

// ---------------------------------------------------------------- connections

int32_t IpcServer::Impl::accept(qb_ipcs_connection_t* c, uid_t uid, gid_t gid) {
  const auto peer = peer_of(qb_.current());
  if (!peer || peer->uid != uid) return -EACCES;
  const bool may_act = uid == settings_.acting_uid;
  if (!may_act && !(settings_.reading_gid && (gid == *settings_.reading_gid || peer_in_group(qb_.current(), *settings_.reading_gid))))
    return -EACCES;
  if (!may_act) {
    std::size_t readers = 0;
    for (const auto& [handle, one] : connections_) readers += !one->credentials.may_act;
    if (readers >= settings_.readers_limit) return -EAGAIN;
  }
  auto connection = std::make_shared<Connection>(loop_);
  connection->id = ++last_id_;
  connection->handle = c;
  connection->credentials = {.pid = peer->pid, .uid = uid, .gid = gid, .may_act = may_act};
  connections_[c] = std::move(connection);
  return 0;
}

void IpcServer::Impl::message(qb_ipcs_connection_t* c, std::string_view datagram) {
  const auto it = connections_.find(c);
  if (it == connections_.end()) return;
  const std::shared_ptr<Connection> connection = it->second;
  connection->answering = true;
  const Reply reply = [weak = std::weak_ptr(connection), self = std::weak_ptr(self_)](const wire::LocalReply& r) {
    const auto server = self.lock();
    const auto connection = weak.lock();
    if (server && connection && connection->handle) (*server)->answer(connection, r);
  };
  auto request = wire::decode_request(datagram.substr(sizeof(qb_ipc_request_header)));
  if (!request) {
    say("local IPC: " + who(*connection) + ": " + request.error());
    return reply({.code = wire::OcfCode::bad_arguments, .reason = request.error()});
  }
  if (!connection->credentials.may_act && !reads_only(request.value().operation))
    return reply({.code = wire::OcfCode::no_permission, .reason = "user " + std::to_string(connection->credentials.uid) +
                                                                  " may not " + request.value().operation + ": only root may"});
  handlers_.request(connection->id, std::move(request.value()), connection->credentials, reply);
}

void IpcServer::Impl::closed(qb_ipcs_connection_t* c) {
  const auto it = connections_.find(c);
  if (it == connections_.end()) return;
  const std::shared_ptr<Connection> connection = std::move(it->second);
  connections_.erase(it);
  connection->handle = nullptr;
  connection->parts.clear();
  connection->sending.cancel();
  if (!ending_ && handlers_.closed) handlers_.closed(connection->id);
}

void IpcServer::Impl::close(Connection& connection, const std::string& why) {
  if (!connection.handle) return;
  say("local IPC: closed the connection of " + who(connection) + ": " + why);
  qb_ipcs_disconnect(connection.handle);
}

// ---------------------------------------------------------------- answers

void IpcServer::Impl::answer(const std::shared_ptr<Connection>& connection, const wire::LocalReply& reply) {
  if (!connection->answering) return;  // it was answered already
  auto bytes = wire::encode(reply);
  if (!bytes) bytes = wire::encode(wire::LocalReply{.code = wire::OcfCode::error, .reason = "migrationd's answer can't be sent: " + bytes.error()});
  connection->answering = bytes.ok() && reply.more;

  constexpr std::size_t room = wire::local_datagram_limit - sizeof(qb_ipc_response_header);
  for (std::string_view rest = bytes.value(); !rest.empty();) {
    const std::string_view part = rest.substr(0, room);
    rest.remove_prefix(part.size());
    qb_ipc_response_header header{};
    header.id = rest.empty() ? wire::local_message_id : wire::local_part_id;
    header.size = static_cast<int32_t>(sizeof header + part.size());
    std::string datagram(sizeof header, '\0');
    std::memcpy(datagram.data(), &header, sizeof header);
    connection->parts.push_back(datagram.append(part));
  }
  if (!connection->waiting_to_write) flush(connection);
}

void IpcServer::Impl::flush(const std::shared_ptr<Connection>& connection) {
  while (connection->handle && !connection->parts.empty()) {
    // The same again as in admit_request: it fails when the client has gone, and then libqb mustn't try.
    if (::connect(connection->request_fd, reinterpret_cast<const sockaddr*>(&connection->client), connection->client_length) != 0)
      return close(*connection, "its socket for answers is gone");
    const std::string& part = connection->parts.front();
    const ssize_t sent = qb_ipcs_response_send(connection->handle, part.data(), part.size());
    if (sent == static_cast<ssize_t>(part.size())) {
      connection->parts.pop_front();
      connection->sending.cancel();
      continue;
    }
    if (sent != -EAGAIN && sent != -ENOBUFS)
      return close(*connection, std::string("its answer can't be sent: ") + std::strerror(static_cast<int>(-sent)));
    // The client's queue is full. It has a limited time to take the next part.
    connection->waiting_to_write = true;
    connection->sending.expires_after(settings_.sending_limit);
    connection->sending.async_wait([weak = std::weak_ptr(connection), self = std::weak_ptr(self_)](auto error) {
      const auto server = self.lock();
      const auto connection = weak.lock();
      if (!error && server && connection) (*server)->close(*connection, "it doesn't take its answer");
    });
    qb_.when_writable(connection->request_fd, [this, weak = std::weak_ptr(connection)] {
      const auto connection = weak.lock();
      if (!connection) return;
      connection->waiting_to_write = false;
      flush(connection);
    });
    return;
  }
}

// ---------------------------------------------------------------- the outside

IpcServer::IpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IpcServer::~IpcServer() = default;
bool IpcServer::unsent(ConnectionId connection) const { return impl_->unsent(connection); }

Result<std::unique_ptr<IpcServer>> IpcServer::start(asio::io_context& loop, Settings settings, Handlers handlers) {
  if (QbLoop::in_use()) return Error{"the local IPC can't listen on '" + settings.service + "': this process listens already"};
  auto impl = std::make_unique<Impl>(loop, std::move(settings), std::move(handlers));
  if (auto listening = impl->listen(); !listening) return Error{listening.error()};
  return std::unique_ptr<IpcServer>(new IpcServer(std::move(impl)));
}

std::optional<gid_t> haclient_group() {
  std::vector<char> buffer(64 * 1024);
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r("haclient", &entry, buffer.data(), buffer.size(), &found) != 0 || !found) return std::nullopt;
  return found->gr_gid;
}

}  // namespace migrationd::io
