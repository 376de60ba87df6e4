// SPDX-License-Identifier: GPL-2.0-or-later
// on_incompatible: a guest that the destination can't take while it runs is stopped for it only where the resource says so,
// and only when it surely can be booted there.
#include <doctest/doctest.h>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::tests;
using handoff::Phase;

namespace {

/// vm1 runs on n1 and is to be migrated to n2.
struct Node : EngineStage {
  std::optional<OrderReply> reply;
  OrderId id = 0;
  explicit Node(std::map<std::string, std::string> parameters, const std::string& definition = "<domain>as it is booted</domain>") {
    known.others.insert("n3");
    parameters["config"] = "/vm1.xml";
    shows("vm1", Here::running);
    handoff::State state;
    state.phase = Phase::held;
    begin({{uuid, "vm1", "vm1", parameters, definition.empty() ? "" : "<domain/>", state}});
    sent.clear();
    Order push = order(Order::Kind::migrate_to, "vm1");
    push.definition->xml = definition;
    push.parameters = parameters;
    push.target = "n2";
    id = engine->order(push, [this](OrderReply said) { reply = std::move(said); });
  }
  wire::AskReady question() const { return std::get<wire::AskReady>(sent.back().second); }
  void answers(bool ready, const std::string& why, bool incompatible) { hears(wire::Ready{question().question, ready, why, incompatible}); }
  /// Said once may be a mistake.
  void incompatible_twice(const std::string& why) {
    answers(false, why, true);
    answers(false, why, true);
  }
  Phase phase() const { return engine->domains().at(0).state.phase; }
};

const std::map<std::string, std::string> restart{{"on_incompatible", "restart"}};

}  // namespace

TEST_CASE("engine incompatible: by default the migration fails, and the guest runs on") {
  Node node({});
  node.incompatible_twice("its CPU");
  REQUIRE(node.reply.has_value());
  CHECK(node.reply->code == wire::OcfCode::error);
  CHECK(node.reply->reason.find("its CPU") != std::string::npos);
  CHECK(node.phase() == Phase::held);
}

TEST_CASE("engine incompatible: restart stops it when its definition would boot there, and the migration succeeds") {
  Node node(restart);
  CHECK(node.question().definition == "<domain/>");  // the live one, as the hypervisor gives it
  node.incompatible_twice("its CPU");
  CHECK_FALSE(node.reply.has_value());
  CHECK(node.question().definition == "<domain>as it is booted</domain>");
  CHECK(node.question().host.empty());
  CHECK(node.phase() == Phase::held);
  node.answers(true, "", false);
  CHECK(node.phase() == Phase::stopping);
  CHECK(node.shutdowns == 1);
  node.shows("vm1", Here::absent);
  node.hypervisor_listener->domain_changed(uuid);
  REQUIRE(node.reply.has_value());
  CHECK(node.reply->code == wire::OcfCode::success);
  CHECK(node.phase() == Phase::gone);
}

TEST_CASE("engine incompatible: not stopped when it could not be booted there either, or for another reason than what it is") {
  Node node(restart);
  SUBCASE("it could not be booted") {
    node.incompatible_twice("its CPU");
    node.incompatible_twice("machine type pc-9.9");
    REQUIRE(node.reply.has_value());
    CHECK(node.reply->code == wire::OcfCode::error);
    CHECK(node.reply->reason.find("its CPU") != std::string::npos);
    CHECK(node.reply->reason.find("machine type pc-9.9") != std::string::npos);
  }
  SUBCASE("its memory has no room there just now: asked again") {
    node.answers(false, "no memory", false);
    CHECK_FALSE(node.reply.has_value());
  }
  CHECK(node.phase() == Phase::held);
  CHECK(node.shutdowns == 0);
}

TEST_CASE("engine incompatible: said once it is asked again, and what is not said twice running stops nothing") {
  Node node(restart);
  node.answers(false, "its CPU", true);
  const std::uint64_t number = node.question().question;
  SUBCASE("and can take it then") {
    node.answers(true, "", false);
    CHECK(std::holds_alternative<wire::Invite>(node.sent.back().second));
  }
  SUBCASE("and refuses for another reason in between") {
    node.answers(false, "libvirtd is away", false);
    node.answers(false, "its CPU", true);
    CHECK(node.question().question == number);
  }
  CHECK_FALSE(node.reply.has_value());
  CHECK(node.phase() == Phase::held);
  CHECK(node.shutdowns == 0);
}

TEST_CASE("engine incompatible: not stopped where a boot would have no definition") {
  Node node(restart, "");
  node.incompatible_twice("its CPU");
  REQUIRE(node.reply.has_value());
  CHECK(node.reply->code == wire::OcfCode::error);
  CHECK(node.reply->reason.find("definition is not known") != std::string::npos);
  CHECK(node.phase() == Phase::held);
}

TEST_CASE("engine incompatible: not stopped while a third node is silent, of which a boot would need proof") {
  Node node(restart);
  node.unlinked = {"n3"};
  const auto boots = [&] {
    node.incompatible_twice("its CPU");
    node.answers(true, "", false);
  };
  bool stopped = false;
  SUBCASE("it is a member") { boots(); }
  SUBCASE("it is none, and was not fenced") {
    node.lost = {"n3"};
    boots();
    REQUIRE(node.fencing_questions.size() == 1);
    node.fencing_questions[0].second(false);
  }
  SUBCASE("it was fenced") {
    node.lost = {"n3"};
    boots();
    REQUIRE(node.fencing_questions.size() == 1);
    CHECK(node.fencing_questions[0].first == "n3");
    node.fencing_questions[0].second(true);
    stopped = true;
  }
  CHECK((node.phase() == Phase::stopping) == stopped);
  CHECK(node.shutdowns == (stopped ? 1 : 0));
  REQUIRE(node.reply.has_value() != stopped);
  if (!stopped) CHECK(node.reply->reason.find("n3") != std::string::npos);
}

TEST_CASE("engine incompatible: an agent that was killed meanwhile stops nothing") {
  Node node(restart);
  node.incompatible_twice("its CPU");
  node.engine->caller_gone(node.id);
  node.answers(true, "", false);
  CHECK(node.phase() == Phase::held);
  CHECK(node.shutdowns == 0);
}
