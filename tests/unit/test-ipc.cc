// SPDX-License-Identifier: GPL-2.0-or-later
// The local IPC, real server and real clients: what a client sends costs at most that client.
#include "tests/unit/ipc-fixture.h"

using namespace migrationd;
using namespace migrationd::tests;

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
