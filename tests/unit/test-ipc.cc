// SPDX-License-Identifier: GPL-2.0-or-later
// The local IPC, real server and real clients: what a client sends costs at most that client, and nobody is
// believed or served whom the kernel doesn't vouch for.
#include <doctest/doctest.h>

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <qb/qbipcc.h>
#include <thread>
#include <vector>

#include "migrationd/io/ipc-client.h"
#include "migrationd/io/ipc-server.h"

using namespace migrationd;
using namespace migrationd::io;
using namespace std::chrono_literals;
using Trouble = IpcClient::Trouble;

namespace {

constexpr uid_t nobody = 65534;

std::string fresh_name() {
  static int number = 0;
  return "md-test-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
}

IpcClient::Deadline soon() { return std::chrono::steady_clock::now() + 20s; }

wire::LocalRequest request(const std::string& operation) {
  return {.operation = operation, .face = "ocf", .resource = "vm1", .parameters = {{"config", "/etc/vm/1.xml"}}};
}

// A server on a loop of its own. Requests are answered by `handle`, on the loop's thread.
class Server {
 public:
  using Handle = std::function<void(const wire::LocalRequest&, const Credentials&, IpcServer::Reply)>;

  explicit Server(Handle handle, IpcServer::Settings settings = {}) : service(fresh_name()) {
    settings.service = service;
    if (settings.acting_uid == 0) settings.acting_uid = ::geteuid();
    auto started = IpcServer::start(
        loop_, settings,
        {.request = [this, handle](ConnectionId id, wire::LocalRequest r, const Credentials& c, IpcServer::Reply reply) {
           note([&] { requests_.push_back(id); });
           handle(r, c, reply);
         },
         .closed = [this](ConnectionId id) { note([&] { closed_.push_back(id); }); },
         .log = [this](const std::string& text) { note([&] { log_.push_back(text); }); }});
    REQUIRE_MESSAGE(started.ok(), started.error());
    server_ = std::move(started.value());
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Server() { end(); }

  void end() {
    if (!thread_.joinable()) return;
    on_loop([this] { server_.reset(); });
    guard_.reset();
    thread_.join();
  }
  // Runs `call` on the loop and waits for it.
  void on_loop(const std::function<void()>& call) {
    std::promise<void> done;
    boost::asio::post(loop_, [&] { call(), done.set_value(); });
    done.get_future().wait();
  }
  bool await_closed(std::size_t count) {
    return await([&] { return closed_.size() >= count; });
  }
  bool await_requests(std::size_t count) {
    return await([&] { return requests_.size() >= count; });
  }
  bool await_log(const std::string& part) {
    return await([&] {
      for (const auto& line : log_)
        if (line.find(part) != std::string::npos) return true;
      return false;
    });
  }
  std::unique_ptr<IpcClient> client() {
    auto connected = IpcClient::connect(soon(), service.c_str(), ::geteuid());
    if (const auto* failure = std::get_if<IpcClient::Failure>(&connected)) FAIL(failure->text);
    return std::move(std::get<0>(connected));
  }

  const std::string service;

 private:
  bool await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, condition);
  }
  void note(const std::function<void()>& change) {
    std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_ = boost::asio::make_work_guard(loop_);
  std::unique_ptr<IpcServer> server_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ConnectionId> requests_, closed_;
  std::vector<std::string> log_;
};

void answer_running(const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) {
  reply({.code = wire::OcfCode::success});
}

wire::LocalReply good(IpcClient::Or<wire::LocalReply> answer) {
  if (const auto* failure = std::get_if<IpcClient::Failure>(&answer)) FAIL(failure->text);
  return std::get<0>(answer);
}

template <class T>
IpcClient::Failure failure(const IpcClient::Or<T>& answer) {
  REQUIRE(answer.index() == 1);
  return std::get<1>(answer);
}

// A client that sends whatever it likes.
struct RawClient {
  explicit RawClient(const std::string& service) : connection(qb_ipcc_connect(service.c_str(), wire::local_datagram_limit)) {
    REQUIRE(connection);
  }
  ~RawClient() { qb_ipcc_disconnect(connection); }
  void send(int id, int says, const std::string& bytes) {
    qb_ipc_request_header header{};
    header.id = id;
    header.size = says;
    std::string datagram(reinterpret_cast<const char*>(&header), sizeof header);
    datagram += bytes;
    CHECK(qb_ipcc_send(connection, datagram.data(), datagram.size()) == static_cast<ssize_t>(datagram.size()));
  }
  qb_ipcc_connection_t* connection;
};

constexpr int header_size = sizeof(qb_ipc_request_header);

sockaddr_un abstract_address(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  return address;
}

int entries_in_dev_shm() {
  int count = 0;
  if (DIR* dir = ::opendir("/dev/shm")) {
    const std::string mine = "qb-" + std::to_string(::getpid()) + "-";
    while (const dirent* entry = ::readdir(dir)) count += std::string(entry->d_name).starts_with(mine);
    ::closedir(dir);
  }
  return count;
}

}  // namespace

TEST_CASE("ipc: a request arrives whole, with its sender's credentials, and is answered") {
  std::promise<wire::LocalRequest> seen;
  std::promise<Credentials> who;
  Server server([&](const wire::LocalRequest& r, const Credentials& c, IpcServer::Reply reply) {
    seen.set_value(r);
    who.set_value(c);
    reply({.code = wire::OcfCode::not_running, .reason = "it isn't"});
  });
  const auto answer = good(server.client()->ask(request("monitor"), soon()));
  CHECK(answer.code == wire::OcfCode::not_running);
  CHECK(answer.reason == "it isn't");
  CHECK(seen.get_future().get().parameters.at("config") == "/etc/vm/1.xml");
  const Credentials credentials = who.get_future().get();
  CHECK(credentials.uid == ::geteuid());
  CHECK(credentials.pid == ::getpid());
  CHECK(credentials.may_act);
}

TEST_CASE("ipc: an answer far larger than a datagram arrives whole, and one too large becomes an error") {
  Server server([](const wire::LocalRequest& r, const Credentials&, IpcServer::Reply reply) {
    const std::size_t size = r.operation == "status" ? 900'000 : 2 * wire::local_message_limit;
    reply({.code = wire::OcfCode::success, .body = std::string(size, 'x')});
  });
  const auto client = server.client();
  CHECK(good(client->ask(request("status"), soon())).body.size() == 900'000);
  const auto refused = good(client->ask(request("monitor"), soon()));
  CHECK(refused.code == wire::OcfCode::error);
  CHECK(refused.reason.find("larger than") != std::string::npos);
}

TEST_CASE("ipc: watch gets one answer after another") {
  Server server([](const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) {
    for (int i = 0; i < 40; ++i) reply({.code = wire::OcfCode::success, .body = std::to_string(i), .more = i < 39});
    reply({.code = wire::OcfCode::error, .body = "one too many"});
  });
  const auto client = server.client();
  auto answer = good(client->ask(request("ctl-watch"), soon()));
  for (int i = 0; i < 39; ++i) {
    CHECK(answer.body == std::to_string(i));
    CHECK(answer.more);
    answer = good(client->next(soon()));
  }
  CHECK(answer.body == "39");
  CHECK_FALSE(answer.more);
}

TEST_CASE("ipc: garbage costs its sender the connection and nobody else anything") {
  Server server(answer_running);
  const auto innocent = server.client();
  std::size_t closed = 0;
  const std::pair<int, std::pair<int, std::string>> garbage[] = {
      {wire::local_message_id, {header_size + 1'000'000, "x"}},      // promises more than it has
      {wire::local_message_id, {1 << 30, "x"}},                      // a length of 1 GiB
      {wire::local_message_id, {header_size, "more than it says"}},
      {wire::local_message_id, {-1, "x"}},
      {wire::local_message_id, {0, ""}},
      {-4, {header_size, ""}},                                       // libqb's own message for the end
      {77, {header_size + 1, "x"}}};
  for (const auto& [id, rest] : garbage) {
    CAPTURE(id);
    CAPTURE(rest.first);
    RawClient guilty(server.service);
    guilty.send(id, rest.first, rest.second);
    CHECK(server.await_closed(++closed));
    CHECK(good(innocent->ask(request("monitor"), soon())).code == wire::OcfCode::success);
  }
  RawClient guilty(server.service);
  CHECK(qb_ipcc_send(guilty.connection, "x", 1) == 1);
  CHECK(server.await_closed(++closed));
  CHECK(server.await_log("a request was refused: it is shorter than a header"));
  CHECK(good(innocent->ask(request("monitor"), soon())).code == wire::OcfCode::success);
}

TEST_CASE("ipc: a request that isn't JSON is answered with the reason") {
  Server server(answer_running);
  RawClient client(server.service);
  client.send(wire::local_message_id, header_size + 3, "{\"o");
  std::vector<char> buffer(wire::local_datagram_limit);
  const ssize_t length = qb_ipcc_recv(client.connection, buffer.data(), buffer.size(), 20'000);
  REQUIRE(length > static_cast<ssize_t>(sizeof(qb_ipc_response_header)));
  const auto reply = wire::decode_reply({buffer.data() + sizeof(qb_ipc_response_header), length - sizeof(qb_ipc_response_header)});
  REQUIRE(reply.ok());
  CHECK(reply.value().code == wire::OcfCode::bad_arguments);
  CHECK(reply.value().reason.find("can't be understood") != std::string::npos);
}

TEST_CASE("ipc: a second request before the answer costs the connection") {
  Server server([](const wire::LocalRequest&, const Credentials&, IpcServer::Reply) {});
  RawClient client(server.service);
  const std::string bytes = wire::encode(request("monitor")).value();
  for (int i = 0; i < 2; ++i) client.send(wire::local_message_id, header_size + static_cast<int>(bytes.size()), bytes);
  CHECK(server.await_closed(1));
}

TEST_CASE("ipc: the death of a client in the middle of its call is told, and its answer is dropped") {
  std::vector<IpcServer::Reply> due;
  Server server([&](const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) { due.push_back(reply); });
  const pid_t child = ::fork();
  if (child == 0) {
    auto connected = IpcClient::connect(soon(), server.service.c_str(), ::geteuid());
    if (connected.index() == 0) (void)std::get<0>(connected)->ask(request("start"), soon());
    ::_exit(0);
  }
  CHECK(server.await_requests(1));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(server.await_closed(1));
  server.on_loop([&] { due.at(0)({.code = wire::OcfCode::success}); });

  // The same, the answer being given before the server has seen the death: it mustn't stall the loop.
  const auto client = server.client();
  std::thread asker([&] { (void)client->ask(request("monitor"), std::chrono::steady_clock::now() + 20s); });
  CHECK(server.await_requests(2));
  server.on_loop([&] { due.at(1)({.code = wire::OcfCode::success}); });
  asker.join();
}

TEST_CASE("ipc: an answer given after the server has ended goes nowhere") {
  IpcServer::Reply due;
  Server server([&](const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) { due = reply; });
  const auto client = server.client();
  std::thread asker([&] { CHECK(failure(client->ask(request("monitor"), soon())).trouble == Trouble::lost); });
  CHECK(server.await_requests(1));
  server.end();
  asker.join();
  due({.code = wire::OcfCode::success});
}

TEST_CASE("ipc: many clients at once") {
  Server server(answer_running);
  std::vector<std::unique_ptr<IpcClient>> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(server.client());
  for (int round = 0; round < 3; ++round)
    for (const auto& client : clients) CHECK(good(client->ask(request("monitor"), soon())).code == wire::OcfCode::success);
  clients.clear();
  CHECK(server.await_closed(100));
  server.end();
  CHECK(entries_in_dev_shm() == 0);
}

TEST_CASE("ipc: members of the group may read, not act; others aren't let in") {
  IpcServer::Settings settings{.acting_uid = ::geteuid() + 1, .reading_gid = ::getegid()};
  Server server([](const wire::LocalRequest&, const Credentials& c, IpcServer::Reply reply) {
    reply({.code = c.may_act ? wire::OcfCode::error : wire::OcfCode::success});
  }, settings);
  const auto client = server.client();
  for (const char* reading : {"monitor", "status", "ctl-status", "ctl-explain", "ctl-watch"})
    CHECK(good(client->ask(request(reading), soon())).code == wire::OcfCode::success);
  for (const char* acting : {"start", "stop", "migrate_to", "migrate_from", "reload-agent", "ctl-forget", "anything"}) {
    const auto answer = good(client->ask(request(acting), soon()));
    CHECK(answer.code == wire::OcfCode::no_permission);
    CHECK(answer.reason.find("only root may") != std::string::npos);
  }
}

TEST_CASE("ipc: who is neither root nor of the group is refused, and nothing is left of it") {
  Server server(answer_running, {.acting_uid = ::geteuid() + 1});
  CHECK(failure(IpcClient::connect(soon(), server.service.c_str(), ::geteuid())).trouble == Trouble::denied);
  server.end();
  CHECK(entries_in_dev_shm() == 0);
}

TEST_CASE("ipc: who reads can't use up the connections") {
  Server server(answer_running, {.acting_uid = ::geteuid() + 1, .reading_gid = ::getegid(), .readers_limit = 2});
  const auto one = server.client(), two = server.client();
  CHECK(IpcClient::connect(soon(), server.service.c_str(), ::geteuid()).index() == 1);
  CHECK(good(one->ask(request("monitor"), soon())).code == wire::OcfCode::success);
}

TEST_CASE("ipc: a name that is taken is an error that says so") {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const std::string name = fresh_name();
  const sockaddr_un address = abstract_address(name);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  boost::asio::io_context loop;
  const auto server = IpcServer::start(loop, {.service = name}, {});
  REQUIRE_FALSE(server.ok());
  CHECK(server.error().find("another process has it") != std::string::npos);
  ::close(fd);
  CHECK(IpcServer::start(loop, {.service = name}, {}).ok());
}

TEST_CASE("ipc: a second server in one process is refused, not mixed up with the first") {
  Server server(answer_running);
  boost::asio::io_context loop;
  CHECK_FALSE(IpcServer::start(loop, {.service = fresh_name()}, {}).ok());
  CHECK(good(server.client()->ask(request("monitor"), soon())).code == wire::OcfCode::success);
}

TEST_CASE("ipc: a client that never introduces itself is hung up on") {
  Server server(answer_running, {.greeting_limit = 20ms});
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = abstract_address(server.service);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  char byte = 0;
  CHECK(::recv(fd, &byte, 1, 0) <= 0);  // ends only because the server ends it
  ::close(fd);
  CHECK(good(server.client()->ask(request("monitor"), soon())).code == wire::OcfCode::success);
}

TEST_CASE("ipc: a client that doesn't take its answer is hung up on") {
  Server server([](const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) {
    reply({.code = wire::OcfCode::success, .body = std::string(1'000'000, 'x')});
  }, {.sending_limit = 20ms});
  RawClient lazy(server.service);
  const std::string bytes = wire::encode(request("status")).value();
  lazy.send(wire::local_message_id, header_size + static_cast<int>(bytes.size()), bytes);
  CHECK(server.await_log("it doesn't take its answer"));
  CHECK(server.await_closed(1));
}

TEST_CASE("ipc: nobody there, a daemon that hangs, and another user's daemon are told apart") {
  CHECK(failure(IpcClient::connect(soon(), fresh_name().c_str())).trouble == Trouble::absent);
  Server server([](const wire::LocalRequest&, const Credentials&, IpcServer::Reply) {});
  CHECK(failure(IpcClient::connect(soon(), server.service.c_str(), ::geteuid() + 1)).trouble == Trouble::distrusted);
  const auto client = server.client();
  CHECK(failure(client->ask(request("monitor"), std::chrono::steady_clock::now() + 10ms)).trouble == Trouble::late);

  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);  // listens and never accepts
  const std::string name = fresh_name();
  const sockaddr_un address = abstract_address(name);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd, 0) == 0);
  const auto deadline = [] { return std::chrono::steady_clock::now() + 10ms; };
  CHECK(failure(IpcClient::connect(deadline(), name.c_str(), ::geteuid())).trouble == Trouble::late);
  CHECK(failure(IpcClient::connect(deadline(), name.c_str(), ::geteuid())).trouble == Trouble::late);  // queue full
  ::close(fd);
}

TEST_CASE("ipc: another user can't send into root's connection" * doctest::skip(::geteuid() != 0)) {
  std::vector<IpcServer::Reply> due;
  Server server([&](const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) { due.push_back(reply); });
  const auto client = server.client();  // has not asked yet, so the server's socket takes from anybody
  std::string name;
  std::ifstream sockets("/proc/net/unix");
  for (std::string line; std::getline(sockets, line);) {
    const std::size_t at = line.find("@/dev/shm/qb-" + std::to_string(::getpid()) + "-");
    const std::size_t end = line.find("-request");
    if (at != std::string::npos && end != std::string::npos) name = line.substr(at + 1, end + 8 - at - 1);
  }
  REQUIRE_FALSE(name.empty());
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    if (::setgid(nobody) != 0 || ::setuid(nobody) != 0) ::_exit(2);
    const std::string bytes = wire::encode(request("stop")).value();
    qb_ipc_request_header header{};
    header.id = wire::local_message_id;
    header.size = header_size + static_cast<int>(bytes.size());
    std::string datagram(reinterpret_cast<const char*>(&header), sizeof header);
    datagram += bytes;
    const sockaddr_un address = abstract_address(name);
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM, 0);
    const ssize_t sent = ::sendto(fd, datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::_exit(sent == static_cast<ssize_t>(datagram.size()) ? 0 : 3);
  }
  int status = -1;
  ::waitpid(stranger, &status, 0);
  REQUIRE(status == 0);  // the kernel has taken it: only we can drop it
  CHECK(server.await_log("dropped a message sent into the connection of"));
  std::thread asker([&] { CHECK(good(client->ask(request("monitor"), soon())).code == wire::OcfCode::success); });
  CHECK(server.await_requests(1));
  server.on_loop([&] {
    REQUIRE(due.size() == 1);
    due[0]({.code = wire::OcfCode::success});
  });
  asker.join();
}
