// SPDX-License-Identifier: GPL-2.0-or-later
// Nodes with real sockets on the loopback, all on one loop that runs until something has happened.
#pragma once

#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "migrationd/io/installation.h"
#include "migrationd/io/node-link.h"
#include "migrationd/io/tls-psk.h"

namespace migrationd::tests {

struct LogLines : engine::Log {
  std::vector<std::string> lines;
  std::vector<AlarmKind> over;
  void write(Level, const std::string&, const std::string& text) override { lines.push_back(text); }
  void clear(AlarmKind kind, const Subject&, const std::string&) override { over.push_back(kind); }
  bool has(const std::string& part) const {
    for (const auto& line : lines)
      if (line.find(part) != std::string::npos) return true;
    return false;
  }
};

inline io::Key some_key(unsigned char fill) {
  io::Key key;
  key.fill(fill);
  return key;
}

/// Runs `loop` until `happened`; false when it hasn't within a time that only a hang needs.
inline bool run_until(boost::asio::io_context& loop, const std::function<bool()>& happened) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  loop.restart();
  while (!happened()) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (loop.run_one_for(std::chrono::milliseconds(100)) == 0) loop.restart();
  }
  return true;
}

struct Node : engine::PeerListener {
  struct Seen {
    NodeName from;
    std::string installation;
    wire::PeerMessage message;
  };

  Node(boost::asio::io_context& loop, const std::string& name, std::vector<io::Key> keys = {some_key(1)}) : loop(loop) {
    settings.self = name;
    settings.listen = {"127.0.0.1"};
    settings.port = 0;
    settings.hello = {1, io::random_uuid().value(), io::random_uuid().value(), 1, "test"};
    settings.authentication = io::authentication_by_key(keys);
    this->keys = std::move(keys);
    settings.complaints_most = 1'000'000;  // tests look for the reasons
    settings.times.redial_first = Milliseconds(5);
    settings.times.redial_most = Milliseconds(50);
  }
  void start() {
    link = std::make_unique<io::NodeLink>(loop, settings, log);
    link->listen(this);
    const auto started = link->start();
    REQUIRE_MESSAGE(started.ok(), (started.ok() ? "" : started.error()));
    address = link->listening().front();
  }
  void stop() { link.reset(); }
  /// Ended and started again, as a new life, at the same address.
  void restart() {
    stop();
    settings.listen = {address};
    ++settings.hello.incarnation;
    start();
  }

  void received(const NodeName& from, const std::string& installation, const wire::PeerMessage& message) override {
    Depth depth(*this);
    seen.push_back({from, installation, message});
    events.push_back("message from " + from);
    if (on_event) on_event();
  }
  void link_changed(const NodeName& node, bool up) override {
    Depth depth(*this);
    events.push_back((up ? "up " : "down ") + node);
    if (on_event) on_event();
  }

  std::string last() const { return events.empty() ? "" : events.back(); }

  struct Depth {
    explicit Depth(Node& node) : node(node) { CHECK(++node.depth == 1); }
    ~Depth() { --node.depth; }
    Node& node;
  };

  boost::asio::io_context& loop;
  LogLines log;
  io::LinkSettings settings;
  std::vector<io::Key> keys;
  std::unique_ptr<io::NodeLink> link;
  std::string address;
  std::vector<Seen> seen;
  std::vector<std::string> events;
  std::function<void()> on_event;
  int depth = 0;
};

inline void introduce(Node& one, Node& other) {
  one.link->set_nodes({{other.settings.self, {other.address}}});
  other.link->set_nodes({{one.settings.self, {one.address}}});
}

}  // namespace migrationd::tests
