// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon reads requests of any process of the node, so whatever the bytes are, the answer is a message
// or a reason, never a throw and never half a message.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "migrationd/wire/local-codec.h"

using namespace migrationd;
using namespace migrationd::wire;

namespace {

LocalRequest sample() {
  return {.operation = "stop",
          .face = "lsb",
          .resource = "vm \"1\"\n\xc3\xb6",
          .parameters = {{"config", "/etc/vm/1.xml"}, {"CRM_meta_timeout", "20000"}, {"empty", ""}},
          .timeout = Milliseconds(19000),
          .cause = HeartbeatCause::peer_request};
}

bool same(const LocalRequest& a, const LocalRequest& b) {
  return a.operation == b.operation && a.face == b.face && a.resource == b.resource && a.parameters == b.parameters &&
         a.timeout == b.timeout && a.cause == b.cause;
}

std::string why_refused(const std::string& bytes) {
  const auto request = decode_request(bytes);
  return request ? "accepted" : request.error();
}

}  // namespace

TEST_CASE("local codec: a request survives the way there") {
  const auto bytes = encode(sample());
  REQUIRE(bytes.ok());
  const auto back = decode_request(bytes.value());
  REQUIRE(back.ok());
  CHECK(same(back.value(), sample()));
}

TEST_CASE("local codec: each cause and each code survives") {
  for (int i = 0; i <= static_cast<int>(HeartbeatCause::by_hand); ++i) {
    LocalRequest request = sample();
    request.cause = static_cast<HeartbeatCause>(i);
    CHECK(decode_request(encode(request).value()).value().cause == request.cause);
  }
  for (int i = 0; i <= 7; ++i) {
    const LocalReply reply{.code = static_cast<OcfCode>(i), .reason = "why", .body = "{\"a\":1}", .more = i % 2 == 0};
    const auto back = decode_reply(encode(reply).value());
    REQUIRE(back.ok());
    CHECK(back.value().code == reply.code);
    CHECK(back.value().reason == reply.reason);
    CHECK(back.value().body == reply.body);
    CHECK(back.value().more == reply.more);
  }
}

TEST_CASE("local codec: every field must be there, of its type and in its range") {
  const auto good = nlohmann::json::parse(encode(sample()).value());
  for (const auto& [name, value] : good.items()) {
    CAPTURE(name);
    auto json = good;
    json.erase(name);
    CHECK(why_refused(json.dump()) == "the request can't be understood: the field " + name + " is missing");
    for (const auto& wrong : {nlohmann::json(nullptr), nlohmann::json(-1), nlohmann::json(1.5), nlohmann::json(true),
                              nlohmann::json::array({1})}) {
      json[name] = wrong;
      CHECK(why_refused(json.dump()).find(name) != std::string::npos);
    }
  }
  const std::pair<const char*, nlohmann::json> out_of_range[] = {
      {"operation", ""},  {"operation", std::string(65, 'x')}, {"face", ""},
      {"resource", std::string(1025, 'x')}, {"cause", "boredom"}, {"timeout_ms", 18446744073709551615ULL}};
  for (const auto& [name, value] : out_of_range) {
    CAPTURE(name);
    auto json = good;
    json[name] = value;
    CHECK(why_refused(json.dump()).find("out of range") != std::string::npos);
  }
  auto json = good;
  json["parameters"]["config"] = 7;
  CHECK(why_refused(json.dump()).find("config is not a text") != std::string::npos);
}

TEST_CASE("local codec: a repeated field or parameter is refused, whichever copy would win") {
  std::string bytes = encode(sample()).value();
  CHECK(why_refused("{\"operation\":\"start\"," + bytes.substr(1)).find("operation is there twice") != std::string::npos);
  const std::string parameters = "\"parameters\":{";
  bytes.insert(bytes.find(parameters) + parameters.size(), "\"config\":\"/x\",");
  CHECK(why_refused(bytes).find("config is there twice") != std::string::npos);
}

TEST_CASE("local codec: a newer agent's plain fields are passed over, its nested ones are not") {
  const std::string bytes = encode(sample()).value();
  CHECK(why_refused("{\"colour\":\"blue\",\"n\":-1,\"x\":null," + bytes.substr(1)) == "accepted");
  CHECK(why_refused("{\"colour\":{}," + bytes.substr(1)).find("colour is an object") != std::string::npos);
}

TEST_CASE("local codec: garbage, halves and depth") {
  const std::string bytes = encode(sample()).value();
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK(why_refused(bytes.substr(0, n)) != "accepted");
  CHECK(why_refused(bytes + "{}") != "accepted");
  CHECK(why_refused("7") != "accepted");
  CHECK(why_refused("\"x\"") != "accepted");
  CHECK(why_refused("[]") != "accepted");
  CHECK(why_refused(std::string("\0\xff\xfe", 3)) != "accepted");
  CHECK(why_refused(std::string(500'000, '[')) != "accepted");
  std::string deep;
  for (int i = 0; i < 50'000; ++i) deep += "{\"parameters\":";
  CHECK(why_refused(deep).find("nested too deeply") != std::string::npos);
}

TEST_CASE("local codec: what isn't UTF-8 is refused both ways") {
  LocalRequest request = sample();
  request.parameters["config"] = "/etc/\xff";
  const auto encoded = encode(request);
  REQUIRE_FALSE(encoded.ok());
  CHECK(encoded.error() == "the request has text that isn't UTF-8");
  CHECK_FALSE(encode(LocalReply{.reason = "\xc3"}).ok());
  std::string bytes = encode(sample()).value();
  bytes[bytes.find("stop")] = '\x80';
  CHECK(why_refused(bytes).find("isn't JSON in UTF-8") != std::string::npos);
}

TEST_CASE("local codec: the size limit holds both ways") {
  LocalReply reply{.code = OcfCode::success, .body = std::string(local_message_limit, 'x')};
  CHECK_FALSE(encode(reply).ok());
  reply.body.resize(local_message_limit - 100);
  const auto bytes = encode(reply);
  REQUIRE(bytes.ok());
  CHECK(decode_reply(bytes.value()).ok());
  CHECK_FALSE(decode_reply(bytes.value() + std::string(200, ' ')).ok());
  LocalRequest request = sample();
  for (int i = 0; i < 1001; ++i) request.parameters["p" + std::to_string(i)] = "";
  CHECK(why_refused(encode(request).value()).find("too many parameters") != std::string::npos);
}

TEST_CASE("local codec: a reply with a code that OCF doesn't have is refused") {
  CHECK_FALSE(decode_reply(R"({"code":8,"reason":"","body":"","more":false})").ok());
  CHECK_FALSE(decode_reply(R"({"code":"0","reason":"","body":"","more":false})").ok());
  CHECK(decode_reply(R"({"code":7,"reason":"","body":"","more":false})").ok());
}
