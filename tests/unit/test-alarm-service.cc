// SPDX-License-Identifier: GPL-2.0-or-later
// What migrationctl asks of alarms and events: answered whole, followed without a gap, and refused where it makes no sense.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "migrationd/io/alarm-service.h"
#include "migrationd/wire/local-codec.h"
#include "tests/unit/stage.h"

using namespace migrationd;
using namespace migrationd::io;
using nlohmann::json;
using wire::OcfCode;

namespace {

struct Quiet : engine::Log {
  void write(Level, const std::string&, const std::string&) override {}
};

struct Desk {
  Quiet quiet;
  boost::asio::io_context loop;
  AlarmDesk desk{loop, quiet, [] { return WallTime{Milliseconds{1'700'000'000'000}}; }};
  tests::Stage stage;
  bool unsent = false;
  AlarmService service{desk, stage, "alpha", [this](ConnectionId) { return unsent; }};
  std::vector<wire::LocalReply> replies;

  bool ask(const std::string& operation, const std::string& operand = "", std::map<std::string, std::string> parameters = {}) {
    wire::LocalRequest request{.operation = operation, .face = "ctl", .resource = operand, .parameters = std::move(parameters)};
    return service.request(1, request, [this](wire::LocalReply reply) {
      CHECK(wire::decode_reply(wire::encode(reply).value()).ok());
      replies.push_back(std::move(reply));
    });
  }
  json answer() {
    REQUIRE(!replies.empty());
    REQUIRE_MESSAGE(replies.back().code == OcfCode::success, replies.back().reason);
    return json::parse(replies.back().body);
  }
  std::vector<std::string> texts() {
    std::vector<std::string> all;
    for (const auto& reply : replies) {
      const json body = json::parse(reply.body);
      for (const auto& event : body["events"]) all.push_back(event["text"]);
    }
    return all;
  }
  /// The follower's next look.
  void look() {
    auto due = std::exchange(stage.timers, {});
    stage.time = stage.time + Milliseconds{250};
    for (auto& [id, call] : due) call();
  }
};

}  // namespace

TEST_CASE("alarm service: the list") {
  Desk desk;
  desk.desk.raise(AlarmKind::domain_unhealthy, Subject::domain(tests::uuid, "vm1", "r1"), "paused");
  desk.desk.raise(AlarmKind::hypervisor_away, Subject::daemon(), "away");
  desk.desk.clear(AlarmKind::hypervisor_away, Subject::daemon(), "back");
  CHECK(desk.ask("ctl-alarms"));
  const json list = desk.answer();
  CHECK(list["node"] == "alpha");
  CHECK(list["left_off"] == 0);
  REQUIRE(list["alarms"].size() == 1);
  const json expected = {{"id", 1}, {"kind", "domain-unhealthy"}, {"severity", "critical"},
                         {"subject", {{"what", "domain"}, {"name", "vm1"}, {"uuid", tests::uuid.str()}, {"resource", "r1"}}},
                         {"text", "paused"}, {"raised", "2023-11-14T22:13:20.000Z"}, {"last", "2023-11-14T22:13:20.000Z"}, {"count", 1},
                         {"acknowledged", nullptr}, {"acknowledged_by", ""}, {"cleared", nullptr}, {"cleared_why", ""}};
  CHECK(list["alarms"][0] == expected);  // as in migrationctl(8)
  desk.ask("ctl-alarms", "", {{"all", "yes"}});
  REQUIRE(desk.answer()["alarms"].size() == 2);
  CHECK(desk.answer()["alarms"][1]["cleared"] == "2023-11-14T22:13:20.000Z");
}

TEST_CASE("alarm service: acknowledged and cleared by hand") {
  Desk desk;
  desk.desk.raise(AlarmKind::two_instances, Subject::domain(tests::uuid, "vm1"), "twice");
  desk.desk.raise(AlarmKind::fencing_failed, Subject::node("beta"), "no device");
  desk.ask("ctl-alarm-acknowledge", "1", {{"by", "ann"}});
  CHECK(desk.answer()["acknowledged"] == 1);
  CHECK(desk.desk.alarms()[0].acknowledged_by == "ann");
  desk.ask("ctl-alarm-acknowledge", "", {{"by", "bob"}, {"all", "yes"}});
  CHECK(desk.answer()["acknowledged"] == 1);
  desk.ask("ctl-alarm-clear", "2", {{"by", "bob"}});
  CHECK(desk.answer()["cleared"] == 1);
  CHECK_FALSE(desk.desk.alarms()[1].stands());
  for (const char* operation : {"ctl-alarm-acknowledge", "ctl-alarm-clear"}) {
    for (const char* wrong : {"", "x", "1x", "-1", "99999999999999999999"}) {
      desk.ask(operation, wrong);
      CHECK(desk.replies.back().code == OcfCode::bad_arguments);
    }
    desk.ask(operation, "9");
    CHECK(desk.replies.back().code == OcfCode::error);
    CHECK(desk.replies.back().reason.find("there is no alarm 9") == 0);
  }
  CHECK_FALSE(desk.ask("ctl-explain"));
}

TEST_CASE("alarm service: the events so far come in pieces, and end") {
  Desk desk;
  for (int i = 1; i <= 250; ++i) desk.desk.write(engine::Log::Level::notice, "", std::to_string(i));
  desk.ask("ctl-events");
  REQUIRE(desk.replies.size() == 3);
  CHECK(desk.replies[0].more);
  CHECK(desk.replies[1].more);
  CHECK_FALSE(desk.replies[2].more);
  CHECK(desk.texts().size() == 250);
  CHECK(desk.texts().front() == "1");
  CHECK(desk.texts().back() == "250");
  desk.replies.clear();
  desk.ask("ctl-events", "", {{"since", "248"}});
  CHECK(desk.texts() == std::vector<std::string>{"249", "250"});
  desk.ask("ctl-events", "", {{"since", "soon"}});
  CHECK(desk.replies.back().code == OcfCode::bad_arguments);
}

TEST_CASE("alarm service: who follows hears each event once, and signs of life") {
  Desk desk;
  desk.desk.write(engine::Log::Level::notice, "", "before");
  desk.ask("ctl-events", "", {{"follow", "yes"}});
  CHECK(desk.texts() == std::vector<std::string>{"before"});
  desk.look();
  CHECK(desk.replies.size() == 1);
  desk.desk.raise(AlarmKind::hypervisor_away, Subject::daemon(), "away");
  desk.look();
  desk.look();
  CHECK(desk.texts() == std::vector<std::string>{"before", "hypervisor-away: away"});
  CHECK(json::parse(desk.replies.back().body)["events"][0]["alarm"] == 1);
  const std::size_t so_far = desk.replies.size();
  for (int i = 0; i < 13; ++i) desk.look();
  CHECK(desk.replies.size() == so_far + 1);  // nothing happened, and the daemon lives
  for (const auto& reply : desk.replies) CHECK(reply.more);
  desk.unsent = true;  // it reads slowly: nothing is piled up for it, and nothing lost
  for (int i = 1; i <= 3; ++i) {
    desk.desk.write(engine::Log::Level::notice, "", std::to_string(i));
    for (int j = 0; j < 20; ++j) desk.look();
  }
  CHECK(desk.replies.size() == so_far + 1);
  desk.unsent = false;
  desk.look();
  REQUIRE(desk.replies.size() == so_far + 2);
  CHECK(desk.texts() == std::vector<std::string>{"before", "hypervisor-away: away", "1", "2", "3"});
  desk.service.closed(1);
  desk.desk.write(engine::Log::Level::notice, "", "unheard");
  desk.look();
  CHECK(desk.replies.size() == so_far + 2);
  CHECK(desk.stage.timers.empty());
}
