// SPDX-License-Identifier: GPL-2.0-or-later
// Who may speak over the local IPC, and how long: nobody is believed or served whom the kernel doesn't vouch for.
#include "tests/unit/ipc-fixture.h"

using namespace migrationd;
using namespace migrationd::tests;

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

TEST_CASE("ipc: whose answer waits for the client to take it is known") {
  Server server([](const wire::LocalRequest& request, const Credentials&, IpcServer::Reply reply) {
    reply({.code = wire::OcfCode::success, .body = std::string(request.operation == "monitor" ? 1 : 1'000'000, 'x')});
  });
  const auto quick = server.client();
  CHECK(good(quick->ask(request("monitor"), soon())).code == wire::OcfCode::success);
  CHECK_FALSE(server.unsent(1));
  RawClient lazy(server.service);
  const std::string bytes = wire::encode(request("status")).value();
  lazy.send(wire::local_message_id, header_size + static_cast<int>(bytes.size()), bytes);
  CHECK(server.await_requests(2));
  CHECK(server.unsent(2));
  CHECK_FALSE(server.unsent(1));
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
