// SPDX-License-Identifier: GPL-2.0-or-later
// Streams that two daemons carry to each other: bytes, order, ends and refusals, over real sockets and real TLS.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <future>
#include <thread>

#include "link-fixture.h"
#include "migrationd/io/loop-door.h"
#include "migrationd/io/carrier.h"
#include "migrationd/io/stream-pump.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {

std::pair<io::Fd, io::Fd> socket_pair() {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  return {io::Fd(ends[0]), io::Fd(ends[1])};
}

wire::Carry some_carry(wire::CarriedStream stream = wire::CarriedStream::memory) {
  return {*DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd"), {1, 2}, std::string(32, 'a'), "/run/x.streams", stream};
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

/// Until `size` bytes or the end; at most half a minute without any.
std::string read_up_to(int fd, std::size_t size) {
  std::string text;
  std::vector<char> room(65536);
  while (text.size() < size) {
    pollfd one{fd, POLLIN, 0};
    if (::poll(&one, 1, 30'000) != 1) return text + " [nothing came]";
    const ssize_t count = ::recv(fd, room.data(), std::min(room.size(), size - text.size()), 0);
    if (count <= 0) return text;
    text.append(room.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::string pattern(std::size_t size) {
  std::string text(size, 0);
  std::uint32_t state = 12345;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

/// Node a's end of a stream and node b's, each with the socket that libvirt or QEMU would have.
struct Carried {
  struct End : io::StreamEnd {
    explicit End(Carried& all) : all(all) {}
    ~End() override {
      if (!begun) ++all.given_up;
    }
    void begin(io::SecureStream remote) override {
      begun = true;
      auto [local, outside] = socket_pair();
      all.b_outside = std::move(outside);
      all.b = all.pump({std::move(local), std::move(remote), false, std::move(all.guard)}, all.b_why);
    }
    Carried& all;
    bool begun = false;
  };
  struct Receiver : io::StreamReceiver {
    explicit Receiver(Carried& all) : all(all) {}
    Result<std::unique_ptr<io::StreamEnd>> receive_stream(const NodeName& from, const wire::Carry& carry) override {
      CHECK(from == "a");
      CHECK(carry.migration == std::string(32, 'a'));
      if (!all.refusal.empty()) return Error{all.refusal};
      return std::unique_ptr<io::StreamEnd>(std::make_unique<End>(all));
    }
    Carried& all;
  };

  Carried() {
    for (Node* node : {&node_a, &node_b}) {
      node->settings.times.silence = Milliseconds{1500};
      node->settings.times.keepalive = Milliseconds{100};
    }
    node_a.start();
    node_b.start();
    node_b.link->receive_streams(&receiver);
    introduce(node_a, node_b);
    REQUIRE(run_until(loop, [&] { return node_a.link->linked("b") && node_b.link->linked("a"); }));
  }
  ~Carried() {
    a.reset();
    b.reset();
    door->close();
    node_b.link->receive_streams(nullptr);
  }

  std::unique_ptr<io::StreamPump> pump(io::StreamPump::Ends ends, std::optional<std::string>& why) {
    return std::make_unique<io::StreamPump>(std::move(ends), [door = door, &why](std::string text) { door->post([&why, text] { why = text; }); });
  }

  /// The error, or nothing when both ends stand.
  std::string open(const std::string& to = "b") {
    std::optional<std::string> failed;
    node_a.link->open_stream(to, "", some_carry(), [&](Result<io::SecureStream> opened) {
      failed = opened.ok() ? "" : opened.error();
      if (!opened.ok()) return;
      auto [local, outside] = socket_pair();
      a_outside = std::move(outside);
      a = pump({std::move(local), std::move(opened.value()), true, nullptr}, a_why);
    });
    CHECK(run_until(loop, [&] { return failed.has_value() && (!failed->empty() || b); }));
    return failed.value_or("it was never answered");
  }
  bool ended() {
    return run_until(loop, [&] { return a_why && b_why; });
  }

  boost::asio::io_context loop;
  Node node_a{loop, "a"}, node_b{loop, "b"};
  Receiver receiver{*this};
  std::shared_ptr<io::LoopDoor> door = std::make_shared<io::LoopDoor>(loop);
  std::string refusal;
  int given_up = 0;
  std::unique_ptr<io::StreamGuard> guard;
  io::Fd a_outside, b_outside;
  std::optional<std::string> a_why, b_why;
  std::unique_ptr<io::StreamPump> a, b;
};

}  // namespace

TEST_CASE("carried streams: bytes arrive whole and in order, both ways at once, and each direction ends by itself") {
  Carried carried;
  REQUIRE(carried.open() == "");
  const std::string there = pattern(20'000'000), back = pattern(3'000'000);
  auto sent = std::async(std::launch::async, [&] {
    const bool all = write_all(carried.a_outside.get(), there);
    ::shutdown(carried.a_outside.get(), SHUT_WR);
    return all;
  });
  auto returned = std::async(std::launch::async, [&] { return write_all(carried.b_outside.get(), back); });
  auto received = std::async(std::launch::async, [&] { return read_up_to(carried.b_outside.get(), there.size() + 1); });
  CHECK(read_up_to(carried.a_outside.get(), back.size()) == back);
  CHECK(received.get() == there);  // and then its end
  CHECK(sent.get());
  CHECK(returned.get());
  // The way back is still open.
  CHECK(write_all(carried.b_outside.get(), "bye"));
  ::shutdown(carried.b_outside.get(), SHUT_WR);
  CHECK(read_up_to(carried.a_outside.get(), 4) == "bye");
  REQUIRE(carried.ended());
  CHECK(*carried.a_why == "");
  CHECK(*carried.b_why == "");
}

TEST_CASE("carried streams: what the destination says first (as an NBD server does) is not lost") {
  for (int round = 0; round < 20; ++round) {
    Carried carried;
    REQUIRE(carried.open() == "");
    CHECK(write_all(carried.b_outside.get(), "NBDMAGIC"));
    CHECK(read_up_to(carried.a_outside.get(), 8) == "NBDMAGIC");
  }
}

TEST_CASE("carried streams: a reader that does not read holds up the writer, and nothing is lost") {
  Carried carried;
  REQUIRE(carried.open() == "");
  const std::string text = pattern(64'000'000);
  std::size_t taken = 0;
  // Until nothing more goes in: what is under way is bounded.
  for (;;) {
    pollfd one{carried.a_outside.get(), POLLOUT, 0};
    if (::poll(&one, 1, 1000) != 1) break;
    const ssize_t count = ::send(carried.a_outside.get(), text.data() + taken, text.size() - taken, MSG_NOSIGNAL | MSG_DONTWAIT);
    REQUIRE(count > 0);
    taken += static_cast<std::size_t>(count);
    REQUIRE(taken < text.size());
  }
  // Longer than the link may be silent: a disk that stalls is no dead node.
  std::this_thread::sleep_for(std::chrono::milliseconds(3500));
  auto rest = std::async(std::launch::async, [&] { return write_all(carried.a_outside.get(), std::string_view(text).substr(taken)); });
  CHECK(read_up_to(carried.b_outside.get(), text.size()) == text);
  CHECK(rest.get());
}

TEST_CASE("carried streams: the pump's end that was told already is not heard once its migration is over") {
  // The set ends in the same turn of the loop in which the pump's word waits behind it.
  Carried carried;
  auto [local, outside] = socket_pair();
  int ended = 0;
  std::optional<std::string> opened;
  auto set = std::make_unique<io::StreamSet>(carried.loop, carried.node_a.log, *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd"));
  carried.node_a.link->open_stream("b", "", some_carry(), [&, local = std::make_shared<io::Fd>(std::move(local))](Result<io::SecureStream> stream) {
    opened = stream.ok() ? "" : stream.error();
    if (stream.ok()) set->add({std::move(*local), std::move(stream.value()), true, nullptr}, "the stream", [&](const std::string&) { ++ended; });
  });
  REQUIRE(run_until(carried.loop, [&] { return opened.has_value() && carried.b; }));
  set->stop();
  // Nobody runs the loop meanwhile: its word lies there when the set is destroyed.
  CHECK(read_up_to(outside.get(), 1) == "");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  set.reset();
  carried.loop.restart();
  carried.loop.poll();
  CHECK(ended == 0);
}

TEST_CASE("carried streams: an end that dies ends the other one, with its reason") {
  Carried carried;
  REQUIRE(carried.open() == "");
  carried.b.reset();  // as with its daemon
  CHECK(read_up_to(carried.a_outside.get(), 1) == "");
  REQUIRE(run_until(carried.loop, [&] { return carried.a_why.has_value(); }));
  CHECK(carried.a_why->find("the other daemon ended it; its own log says why") != std::string::npos);
}

TEST_CASE("carried streams: a stream that is told to stop stops, also while nobody reads") {
  Carried carried;
  REQUIRE(carried.open() == "");
  const std::string text = pattern(1'000'000);
  while (::send(carried.a_outside.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {}
  carried.a->stop();
  REQUIRE(run_until(carried.loop, [&] { return carried.a_why.has_value(); }));
  CHECK(*carried.a_why == "it was stopped");
}

TEST_CASE("carried streams: a refusal is told with its reason") {
  Carried carried;
  carried.refusal = "a migration has come for this claim before";
  CHECK(carried.open().find("a migration has come for this claim before") != std::string::npos);
  CHECK(carried.open("c") == "c is none of this cluster's configured nodes");
  CHECK(carried.node_b.log.has("a stream (memory) of a for domain 0b7e4c1a-90ab-4cde-8f01-23456789abcd was refused"));
  CHECK(carried.node_a.link->linked("b"));
}

TEST_CASE("carried streams: a guard sees all, and its refusal ends the stream") {
  struct Guard : io::StreamGuard {
    Outcome from_remote(std::string_view bytes, std::string& out) override {
      if (bytes.find('!') != std::string_view::npos) return Error{"no exclamation"};
      out.append(bytes);
      return Done{};
    }
    Outcome from_local(std::string_view bytes, std::string& out) override {
      for (char c : bytes) out += static_cast<char>(::toupper(c));
      return Done{};
    }
  };
  Carried carried;
  carried.guard = std::make_unique<Guard>();
  REQUIRE(carried.open() == "");
  CHECK(write_all(carried.a_outside.get(), "hello"));
  CHECK(read_up_to(carried.b_outside.get(), 5) == "hello");
  CHECK(write_all(carried.b_outside.get(), "well"));
  CHECK(read_up_to(carried.a_outside.get(), 4) == "WELL");
  CHECK(write_all(carried.a_outside.get(), "hello!"));
  CHECK(read_up_to(carried.b_outside.get(), 1) == "");
  REQUIRE(carried.ended());
  CHECK(*carried.b_why == "no exclamation");
}

TEST_CASE("carried streams: without a link there is no stream") {
  boost::asio::io_context loop;
  Node alone(loop, "a");
  alone.start();
  alone.link->set_nodes({{"b", {"127.0.0.1:1"}}});
  std::optional<std::string> failed;
  alone.link->open_stream("b", "", some_carry(), [&](Result<io::SecureStream> opened) { failed = opened.ok() ? "" : opened.error(); });
  REQUIRE(run_until(loop, [&] { return failed.has_value(); }));
  CHECK(*failed == "there is no link to b");
}
