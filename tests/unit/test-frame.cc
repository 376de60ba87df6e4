// SPDX-License-Identifier: GPL-2.0-or-later
// Frames arrive in whatever pieces the network makes, and from whoever connects to the port.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "migrationd/wire/frame.h"

using namespace migrationd;
using wire::FrameParser;

namespace {
std::vector<std::string> all(FrameParser& parser) {
  std::vector<std::string> payloads;
  for (;;) {
    auto next = parser.next();
    REQUIRE(next.ok());
    if (!next.value()) return payloads;
    payloads.push_back(*next.value());
  }
}

std::string header(std::uint32_t length) {
  std::string bytes = wire::frame("").substr(0, 4);
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(length >> shift));
  return bytes;
}
}  // namespace

TEST_CASE("frame: payloads come out as they went in, however the stream is cut") {
  const std::vector<std::string> payloads = {"one", "", std::string(1000, 'x'), std::string("\0\xff", 2)};
  std::string stream;
  for (const auto& payload : payloads) stream += wire::frame(payload);
  for (std::size_t piece = 1; piece <= stream.size(); ++piece) {
    CAPTURE(piece);
    FrameParser parser(wire::frame_limit_unauthenticated);
    std::vector<std::string> got;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      parser.feed(std::string_view(stream).substr(at, piece));
      for (auto& payload : all(parser)) got.push_back(payload);
    }
    CHECK(got == payloads);
    CHECK(parser.pending() == 0);
  }
}

TEST_CASE("frame: a half frame is waited for") {
  const std::string bytes = wire::frame("payload");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    FrameParser parser(100);
    parser.feed(std::string_view(bytes).substr(0, length));
    CHECK(all(parser).empty());
  }
}

TEST_CASE("frame: a length over the limit is refused at its last byte, without its payload") {
  FrameParser parser(wire::frame_limit);
  const std::string huge = header(1u << 30);
  parser.feed(huge.substr(0, 7));
  CHECK(all(parser).empty());
  parser.feed(huge.substr(7));
  const auto next = parser.next();
  REQUIRE_FALSE(next.ok());
  CHECK(next.error() == "a frame of 1073741824 bytes was announced, 4194304 are allowed at this point");
  parser.feed(wire::frame("fine again"));
  CHECK_FALSE(parser.next().ok());
  CHECK(parser.pending() == 0);
}

TEST_CASE("frame: the limit itself is allowed, one more is not") {
  FrameParser parser(10);
  parser.feed(wire::frame(std::string(10, 'a')));
  CHECK(all(parser).size() == 1);
  parser.feed(wire::frame(std::string(11, 'a')));
  CHECK_FALSE(parser.next().ok());
}

TEST_CASE("frame: the limit is larger once both sides are known") {
  FrameParser parser(10);
  parser.set_limit(20);
  parser.feed(wire::frame(std::string(20, 'a')));
  CHECK(all(parser).size() == 1);
}

TEST_CASE("frame: garbage is found at its first byte") {
  FrameParser parser(100);
  parser.feed("G");
  const auto next = parser.next();
  REQUIRE_FALSE(next.ok());
  CHECK(next.error().find("is not a frame") != std::string::npos);
}

TEST_CASE("frame: another frame version is named") {
  std::string bytes = wire::frame("x");
  bytes[2] = 9;
  FrameParser parser(100);
  parser.feed(bytes);
  const auto next = parser.next();
  REQUIRE_FALSE(next.ok());
  CHECK(next.error().find("version 9") != std::string::npos);
}
