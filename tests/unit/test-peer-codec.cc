// SPDX-License-Identifier: GPL-2.0-or-later
// What the daemons say to each other survives the wire, and nothing malformed passes for a message.
#include <doctest/doctest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "migrationd/wire/peer-codec.h"

using namespace migrationd;
using namespace migrationd::wire;

namespace {
constexpr const char* uuid_text = "0b7e4c1a-90ab-4cde-8f01-23456789abcd";
const DomainUuid domain = *DomainUuid::parse(uuid_text);
const Attempt attempt{3, std::numeric_limits<std::uint64_t>::max()};

std::vector<PeerMessage> one_of_each() {
  return {Hello{1, uuid_text, uuid_text, 7, "migrationd 0.1.0"},
          Claim{domain, attempt, {9}, "vm1", {{"config", "/x"}}, 57000, 3, true, true},
          Withdraw{domain, attempt},
          Given{domain, attempt, {9}, true},
          Released{domain, attempt, "the job failed: \"no route\"\n"},
          Gone{domain, attempt, {9}, "alpha", uuid_text, {8}},
          Wait{domain, attempt, ""},
          Acknowledged{domain, attempt, true},
          Invite{domain, "vm ä/1", "<domain>\n</domain>", "vm1", {{"config", "/x"}}},
          Refusal{domain, "no memory"},
          Note{domain, "vm1", {1}, "vm1", "<domain/>"},
          AskReady{5, domain, "vm1", 1048576, "<domain/>", true, {{"disk:/srv/vm1", "file\nnfs"}, {"cpu", "<cpu/>"}}, true},
          Ready{5, false, "its CPU", true},
          Farewell{{"beta", "gamma"}},
          Carry{domain, attempt, "0123456789abcdef0123456789abcdef", "/run/migrationd.streams", CarriedStream::disks},
          Carried{"no claim"},
          Ping{1},
          Pong{std::numeric_limits<std::uint64_t>::max()},
          SwitchingOver{domain, attempt},
          Defined{domain, "vm ä/1", "vm1", "/x", "alpha", {9}, 2, std::string(64, 'a'), true, "<domain>\n</domain>"},
          AskDefinition{domain}};
}

std::string error_of(std::string_view bytes) {
  const auto result = decode_peer(bytes);
  return result.ok() ? "" : result.error();
}
}  // namespace

TEST_CASE("peer-codec: each kind comes back as it was") {
  const auto messages = one_of_each();
  REQUIRE(messages.size() == std::variant_size_v<PeerMessage>);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CAPTURE(kind(messages[i]));
    CHECK(messages[i].index() == i);
    const auto back = decode_peer(encode(messages[i]));
    REQUIRE(back.ok());
    CHECK(back.value().index() == i);
    CHECK(encode(back.value()) == encode(messages[i]));
  }
  const auto gone = std::get<Gone>(decode_peer(encode(messages[5])).value());
  CHECK(gone.domain == domain);
  CHECK(gone.attempt == attempt);
  CHECK(gone.noted_node == "alpha");
  CHECK(gone.noted_installation == uuid_text);
  CHECK(gone.noted_epoch == Epoch{8});
  const auto invite = std::get<Invite>(decode_peer(encode(messages[8])).value());
  CHECK(invite.name == "vm ä/1");
  CHECK(invite.definition == "<domain>\n</domain>");
}

TEST_CASE("peer-codec: the words on the wire stay as they are") {
  // A peer of the release before must understand them.
  CHECK(encode(Claim{domain, {3, 4}, {9}}) ==
        R"({"attempt":[3,4],"domain":"0b7e4c1a-90ab-4cde-8f01-23456789abcd","epoch":9,"kind":"claim"})");
  CHECK(encode(Hello{1, uuid_text, uuid_text, 7, "x"}) ==
        R"({"boot_id":"0b7e4c1a-90ab-4cde-8f01-23456789abcd","incarnation":7,)"
        R"("installation":"0b7e4c1a-90ab-4cde-8f01-23456789abcd","kind":"hello","protocol":1,"software":"x"})");
}

TEST_CASE("peer-codec: nobody noted as holder is allowed") {
  const auto back = decode_peer(encode(Gone{domain, attempt, {0}, "", "", {0}}));
  REQUIRE(back.ok());
  CHECK(std::get<Gone>(back.value()).noted_node.empty());
}

TEST_CASE("peer-codec: a message cut at any byte is refused") {
  for (const auto& message : one_of_each()) {
    const std::string bytes = encode(message);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
      CAPTURE(bytes.substr(0, length));
      CHECK_FALSE(decode_peer(std::string_view(bytes).substr(0, length)).ok());
    }
  }
}

TEST_CASE("peer-codec: a flipped bit never breaks the decoder") {
  for (const auto& message : one_of_each()) {
    const std::string bytes = encode(message);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      const auto result = decode_peer(flipped);
      if (result.ok()) CHECK(decode_peer(encode(result.value())).ok());
      else CHECK_FALSE(result.error().empty());
    }
  }
}

TEST_CASE("peer-codec: each field is needed, and of its own type; one that an older daemon does not send may be missing") {
  using Json = nlohmann::json;
  const std::set<std::string> came_later{"ask_ready.only_asked", "ask_ready.host", "ask_ready.start_resources", "ready.incompatible", "note.resource", "note.definition", "farewell.at_work", "claim.resource",
                                          "claim.full", "claim.parameters", "claim.places", "claim.post_copy", "claim.time_left_ms",
                                          "given.post_copy", "acknowledged.fetching", "defined.held", "defined.xml"};
  for (const auto& message : one_of_each()) {
    const Json good = Json::parse(encode(message));
    for (const auto& [name, value] : good.items()) {
      CAPTURE(kind(message));
      CAPTURE(name);
      Json bad = good;
      bad.erase(name);
      CHECK(decode_peer(bad.dump()).ok() == (came_later.count(std::string(kind(message)) + "." + name) != 0));
      for (const Json& other : {Json(), Json(-1), Json(1.5), Json::array({1}), Json::array({1, -2}), Json::object()}) {
        if (value.is_object() && other.is_object()) continue;  // an empty one is fine
        bad[name] = other;
        CAPTURE(other.dump());
        CHECK_FALSE(decode_peer(bad.dump()).ok());
      }
      bad[name] = value.is_string() ? Json(1) : Json("1");
      CHECK_FALSE(decode_peer(bad.dump()).ok());
    }
  }
}

TEST_CASE("peer-codec: fields that a later release adds are ignored") {
  const auto back = decode_peer(R"({"kind":"ping","number":4,"colour":{"deep":[1,2]}})");
  REQUIRE(back.ok());
  CHECK(std::get<Ping>(back.value()).number == 4);
}

TEST_CASE("peer-codec: an error names the field and what it should be") {
  CHECK(error_of(R"({"kind":"claim","domain":"../etc","attempt":[1,2]})") ==
        "field \"domain\" of a claim message is not a UUID");
  CHECK(error_of(R"({"kind":"ping","number":18446744073709551616})") ==
        "field \"number\" of a ping message is not a whole number from 0 to 2^64-1");
  CHECK(error_of(R"({"kind":"dance"})").find("unknown kind \"dance\"") != std::string::npos);
  CHECK(error_of("[]") == "a peer message is not a JSON object");
  CHECK(error_of("") == "a peer message is not valid JSON");
}

TEST_CASE("peer-codec: a node's name with a blank, a newline or no end is refused") {
  Gone gone{domain, attempt, {9}, "alpha beta", uuid_text, {8}};
  CHECK(error_of(encode(gone)).find("is not a node's name") != std::string::npos);
  gone.noted_node = "a\nb";
  CHECK_FALSE(decode_peer(encode(gone)).ok());
  gone.noted_node = std::string(256, 'a');
  CHECK_FALSE(decode_peer(encode(gone)).ok());
}

TEST_CASE("peer-codec: deep nesting is refused before it is parsed") {
  const std::string deep = R"({"kind":"farewell","x":)" + std::string(1'000'000, '[');
  CHECK(error_of(deep) == "a peer message is nested too deeply to be one");
  CHECK(error_of(std::string(2'000'000, '[')) == "a peer message is nested too deeply to be one");
}

TEST_CASE("peer-codec: bytes that are not UTF-8 don't stop a message from being sent") {
  const auto back = decode_peer(encode(Refusal{domain, "caf\xe9"}));
  REQUIRE(back.ok());
  CHECK(std::get<Refusal>(back.value()).why == "caf\xef\xbf\xbd");
}
