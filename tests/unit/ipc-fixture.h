// SPDX-License-Identifier: GPL-2.0-or-later
// What the tests of the local IPC share: a server on a loop of its own, and clients that send whatever they like.
#pragma once

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

namespace migrationd::tests {

using namespace migrationd::io;
using namespace std::chrono_literals;
using Trouble = IpcClient::Trouble;

inline constexpr uid_t nobody = 65534;

inline std::string fresh_name() {
  static int number = 0;
  return "md-test-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
}

inline IpcClient::Deadline soon() { return std::chrono::steady_clock::now() + 20s; }

inline wire::LocalRequest request(const std::string& operation) {
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
  bool unsent(ConnectionId id) {
    bool answer = false;
    on_loop([&] { answer = server_->unsent(id); });
    return answer;
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

inline void answer_running(const wire::LocalRequest&, const Credentials&, IpcServer::Reply reply) {
  reply({.code = wire::OcfCode::success});
}

inline wire::LocalReply good(IpcClient::Or<wire::LocalReply> answer) {
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

inline constexpr int header_size = sizeof(qb_ipc_request_header);

inline sockaddr_un abstract_address(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
  return address;
}

inline int entries_in_dev_shm() {
  int count = 0;
  if (DIR* dir = ::opendir("/dev/shm")) {
    const std::string mine = "qb-" + std::to_string(::getpid()) + "-";
    while (const dirent* entry = ::readdir(dir)) count += std::string(entry->d_name).starts_with(mine);
    ::closedir(dir);
  }
  return count;
}

}  // namespace migrationd::tests
