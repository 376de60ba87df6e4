// SPDX-License-Identifier: GPL-2.0-or-later
// Whoever connects to the port without the key, or with it and bad manners, loses the connection and nobody else
// loses anything: two nodes stay linked all the while.
#include <doctest/doctest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <deque>

#include "migrationd/io/tls-psk.h"
#include "migrationd/wire/frame.h"
#include "migrationd/wire/peer-codec.h"
#include "tests/unit/link-fixture.h"

using namespace migrationd;
using namespace migrationd::tests;
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// GCC 12 takes a coroutine's frame for wrongly freed once it has inlined the test that starts it.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace {

const DomainUuid domain = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");

tcp::endpoint endpoint_of(const Node& node) {
  const auto parsed = *io::parse_address(node.address);
  return {asio::ip::make_address(parsed.host), *parsed.port};
}

/// Connects at once, sends `bytes` and notices when the other side has closed.
struct Stranger {
  Stranger(asio::io_context& loop, const Node& node, std::string bytes, bool half_close = false) : socket(loop), bytes(std::move(bytes)) {
    socket.connect(endpoint_of(node));
    error_code ignored;
    if (!this->bytes.empty()) asio::write(socket, asio::buffer(this->bytes), ignored);
    if (half_close) socket.shutdown(tcp::socket::shutdown_send, ignored);
    read();
  }
  void read() {
    socket.async_read_some(asio::buffer(chunk), [this](const error_code& code, std::size_t) {
      if (code == asio::error::operation_aborted) return;
      if (code) closed = true;
      else read();
    });
  }
  tcp::socket socket;
  std::string bytes;
  char chunk[4096];
  bool closed = false;
};

/// Has the key and says what it likes after the handshake, as the node "mallory".
struct Insider {
  Insider(asio::io_context& loop, const Node& node, std::string bytes, bool reads = true)
      : part{.dialing = true, .self = "mallory", .peer = node.settings.self, .keys = node.keys, .known = {}, .used_key = {}, .refusal = {}},
        raw_context(io::make_psk_context().release()),
        context(raw_context),
        stream(loop, context),
        bytes(std::move(bytes)) {
    REQUIRE(io::attach(stream.native_handle(), part));
    stream.next_layer().connect(endpoint_of(node));
    asio::co_spawn(loop, talk(reads), asio::detached);
  }
  asio::awaitable<void> talk(bool reads) {
    constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
    const auto [shaken] = co_await stream.async_handshake(asio::ssl::stream_base::client, as_result);
    REQUIRE_MESSAGE(!shaken, shaken.message());
    authenticated = true;
    co_await asio::async_write(stream, asio::buffer(bytes), as_result);
    char chunk[4096];
    while (reads) {
      const auto [code, count] = co_await stream.async_read_some(asio::buffer(chunk), as_result);
      if (code) break;
      answer.append(chunk, count);
    }
    closed = reads;
  }
  io::PskPart part;
  SSL_CTX* raw_context;
  asio::ssl::context context;
  asio::ssl::stream<tcp::socket> stream;
  std::string bytes, answer;
  bool authenticated = false, closed = false;
};

struct Town {
  asio::io_context loop;
  Node a{loop, "alpha"}, b{loop, "beta"};

  void start() {
    a.start(), b.start();
    a.link->set_nodes({{"beta", {b.address}}, {"mallory", {}}});
    b.link->set_nodes({{"alpha", {a.address}}});
    REQUIRE(until([&] { return a.link->linked("beta") && b.link->linked("alpha"); }));
  }
  bool until(const std::function<bool()>& happened) { return run_until(loop, happened); }
  void still_talks() {
    CHECK(a.link->linked("beta"));
    CHECK(std::count(a.events.begin(), a.events.end(), "down beta") == 0);
    const auto before = a.seen.size();
    b.link->send("alpha", wire::Farewell{});
    CHECK(until([&] { return a.seen.size() == before + 1; }));
  }
  ~Town() {
    a.stop(), b.stop();
    loop.restart();
    loop.run_for(std::chrono::seconds(10));
  }
};

std::string hello(const std::string& installation) {
  return wire::frame(wire::encode(wire::Hello{1, installation, installation, 1, "x"}));
}
const std::string mallory_uuid = "11111111-90ab-4cde-8f01-23456789abcd";

}  // namespace

TEST_CASE("link-strangers: garbage, a plain request and a cut handshake cost only their sender") {
  Town town;
  town.start();
  // A TLS 1.3 handshake record that announces 512 bytes and brings 4, and no more.
  const std::string cut("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9);
  Stranger garbage(town.loop, town.a, std::string(3000, '\xfe')), web(town.loop, town.a, "GET / HTTP/1.0\r\n\r\n"),
      half(town.loop, town.a, cut, true), nothing(town.loop, town.a, "", true), frame(town.loop, town.a, wire::frame("{}"));
  REQUIRE(town.until([&] { return garbage.closed && web.closed && half.closed && nothing.closed && frame.closed; }));
  CHECK(town.a.log.has("was refused"));
  town.still_talks();
}

TEST_CASE("link-strangers: an older TLS than 1.3 is refused, also with a pre-shared key") {
  Town town;
  town.start();
  asio::ssl::context context(asio::ssl::context::tlsv12_client);
  SSL_CTX_set_cipher_list(context.native_handle(), "PSK");
  SSL_CTX_set_psk_client_callback(context.native_handle(), [](SSL*, const char*, char* name, unsigned room, unsigned char*, unsigned) {
    std::snprintf(name, room, "mallory");
    return 16u;
  });
  asio::ssl::stream<tcp::socket> stream(town.loop, context);
  stream.next_layer().connect(endpoint_of(town.a));
  error_code refused;
  stream.async_handshake(asio::ssl::stream_base::client, [&](const error_code& code) { refused = code; });
  REQUIRE(town.until([&] { return bool(refused); }));
  CHECK(refused.message().find("protocol version") != std::string::npos);
  CHECK(town.until([&] { return town.a.log.has("was refused"); }));
  town.still_talks();
}

TEST_CASE("link-strangers: who says nothing is sent away at the deadline") {
  Town town;
  town.a.settings.times.authenticate = Milliseconds(300);
  town.start();
  Stranger silent(town.loop, town.a, ""), slow(town.loop, town.a, std::string("\x16\x03\x01", 3));
  REQUIRE(town.until([&] { return silent.closed && slow.closed; }));
  CHECK(town.a.log.has("did not say who it is within 300 ms"));
  town.still_talks();
}

TEST_CASE("link-strangers: no more than 16 KiB are taken from a stranger") {
  Town town;
  town.start();
  // One ClientHello of 100,000 bytes in records of 16 KiB: valid so far, and OpenSSL would keep all of it.
  std::string flood;
  const std::string record_header("\x16\x03\x01\x40\x00", 5);
  flood += record_header + std::string("\x01\x01\x86\xa0", 4) + std::string(16380, '\0');
  for (int i = 0; i < 4; ++i) flood += record_header + std::string(16384, '\0');
  Stranger stranger(town.loop, town.a, flood);
  REQUIRE(town.until([&] { return stranger.closed && town.a.log.has("more than 16 KiB came before"); }));
  town.still_talks();
}

TEST_CASE("link-strangers: the 33rd at once is turned away, and a place that gets free is used again") {
  Town town;
  town.start();
  std::deque<Stranger> crowd;
  for (int i = 0; i < 32; ++i) crowd.emplace_back(town.loop, town.a, "");
  Stranger last(town.loop, town.a, "");
  REQUIRE(town.until([&] { return last.closed; }));
  for (const auto& one : crowd) CHECK_FALSE(one.closed);
  CHECK(town.a.log.has("32 others have not said yet who they are"));
  town.still_talks();
  crowd.front().socket.close();
  town.b.stop();
  town.b.restart();
  town.b.link->set_nodes({{"alpha", {town.a.address}}});
  REQUIRE(town.until([&] { return town.b.link->linked("alpha"); }));
}

TEST_CASE("link-strangers: a key doesn't excuse bad frames") {
  Town town;
  town.start();
  const std::string huge("md\x01\0\x40\0\0\0", 8);
  const auto over = wire::frame(std::string(20'000, 'x')), known = hello(mallory_uuid);
  struct Case { std::string bytes, complaint; };
  for (const auto& [bytes, complaint] : std::vector<Case>{
           {huge, "1073741824 bytes was announced, 16384 are allowed"},
           {known + huge, "1073741824 bytes was announced, 4194304 are allowed"},
           {over.substr(0, 100), "20000 bytes was announced"},
           {over, "more than 16 KiB came"},
           {"plain text", "is not a frame"},
           {wire::frame("{\"kind\":"), "not valid JSON"},
           {wire::frame(wire::encode(wire::Ping{1})), "ping message came where a hello was due"},
           {hello(town.a.settings.hello.installation), "the same installation UUID"},
           {known + wire::frame("{\"kind\":\"claim\"}"), "is missing"},
           {known + known, "a hello message came where it has no place"}}) {
    CAPTURE(complaint);
    town.a.log.lines.clear();
    Insider insider(town.loop, town.a, bytes);
    REQUIRE(town.until([&] { return insider.closed; }));
    CHECK(insider.authenticated);
    CHECK(town.a.log.has(complaint));
  }
  CHECK(town.a.seen.empty());
  town.still_talks();
}

TEST_CASE("link-strangers: an insider that says hello is answered with one") {
  Town town;
  town.start();
  Insider insider(town.loop, town.a, hello(mallory_uuid) + wire::frame(wire::encode(wire::Farewell{})));
  REQUIRE(town.until([&] { return !town.a.seen.empty(); }));
  CHECK(town.a.seen[0].from == "mallory");
  CHECK(town.a.seen[0].installation == mallory_uuid);
  CHECK_FALSE(town.a.link->linked("mallory"));  // it never let itself be dialed
  insider.stream.next_layer().close();
  REQUIRE(town.until([&] { return insider.closed; }));
}

TEST_CASE("link-strangers: a peer that falls silent is down after the silence that is allowed") {
  Town town;
  town.start();
  Node c(town.loop, "gamma");
  c.settings.times.keepalive = Milliseconds(50);
  c.settings.times.silence = Milliseconds(400);
  c.start();
  c.link->set_nodes({{"mallory", {}}});
  Insider insider(town.loop, c, hello(mallory_uuid));
  REQUIRE(town.until([&] { return c.log.has("nothing was heard for 400 ms") && insider.closed; }));
}
