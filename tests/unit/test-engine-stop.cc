// SPDX-License-Identifier: GPL-2.0-or-later
// Which domain a stop is about when its definition can't be read, so that no stranger's is stopped; and how long a guest is
// given to shut down.
#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;
using wire::OcfCode;

namespace {

/// A node on which a healthy domain runs that is called like the resource.
struct Node : EngineStage {
  std::optional<OrderReply> said;
  std::vector<std::string> warnings;
  std::vector<Milliseconds> delays;

  using Stage::write;
  void write(Level level, const std::string&, const std::string& text) override {
    if (level == Level::warning) warnings.push_back(text);
  }
  TimerId schedule(Milliseconds delay, std::function<void()> call) override {
    delays.push_back(delay);
    return Stage::schedule(delay, std::move(call));
  }
  void begin(std::vector<Record> records = {}, bool usable = true) {
    shows("web", Here::running);
    EngineStage::begin(std::move(records), usable);
  }
  void stop(const std::string& face, std::map<std::string, std::string> parameters = {}, bool misnamed = false) {
    Order order;
    order.kind = Order::Kind::stop;
    order.face = face;
    order.resource = "web";
    order.parameters = std::move(parameters);
    order.no_definition = {OcfCode::not_installed, "its definition can't be read"};
    order.misnamed = misnamed;
    engine->order(std::move(order), [this](OrderReply reply) { said = std::move(reply); });
  }
  /// Nothing was stopped, which is a success, and said.
  bool left_alone() const {
    return said && said->code == OcfCode::success && written.empty() && !warnings.empty() &&
           warnings.back().find("its definition can't be read; nothing of it was ever known here") != std::string::npos;
  }
  /// The domain here is what is being stopped.
  bool is_about_it() const {
    const auto& remarks = engine->domains().at(0).remarks;
    return !said && engine->domains()[0].uuid == uuid && !remarks.empty() && remarks[0].text == "stop asked for by the cluster manager";
  }
};

/// How long the guest is waited for in a real stop with this timeout.
Milliseconds grace(Milliseconds timeout, std::map<std::string, std::string> parameters) {
  Node node;
  node.begin();
  Order order;
  order.kind = Order::Kind::stop;
  order.resource = "web";
  order.definition = Definition{uuid, "web", "<domain/>", 0};
  order.timeout = timeout;
  order.parameters = std::move(parameters);
  order.parameters["handoff"] = "off";
  node.engine->order(std::move(order), [](OrderReply) {});
  REQUIRE(node.engine->domains()[0].state.phase == Phase::stopping);
  return node.delays.back();
}

}  // namespace

TEST_CASE("engine stop: a domain that is only called like the resource is left alone") {
  Node node;
  node.begin();
  node.stop("ocf");
  CHECK(node.left_alone());
  node.stop("ocf", {{"name", ""}});
  CHECK(node.left_alone());
}

TEST_CASE("engine stop: so it is when the hypervisor is silent, which could not tell either") {
  Node node;
  node.begin({}, false);
  node.stop("ocf");
  CHECK(node.left_alone());
}

TEST_CASE("engine stop: a domain whose name the definition contradicts is left alone") {
  for (const char* face : {"ocf", "lsb"}) {
    Node node;
    node.begin();
    node.stop(face, {{"name", "web"}}, true);
    CHECK(node.left_alone());
  }
}

TEST_CASE("engine stop: the parameter name, or an init script's own, tells which domain it is") {
  Node named;
  named.begin();
  named.stop("ocf", {{"name", "web"}});
  CHECK(named.is_about_it());
  Node script;
  script.begin();
  script.stop("lsb");
  CHECK(script.is_about_it());
  Node other;
  other.begin();
  other.stop("lsb", {{"name", "mail"}});
  CHECK(other.left_alone());
  Node silent;
  silent.begin({}, false);
  silent.name.clear();  // nothing is listed
  silent.stop("ocf", {{"name", "web"}});
  REQUIRE(silent.said);
  CHECK(silent.said->code == OcfCode::error);
}

TEST_CASE("engine stop: the record of the resource tells, whatever the parameters say") {
  Record record{uuid, "web", "web", {}, "<domain/>", {}};
  record.state.phase = Phase::held;
  for (const bool misnamed : {false, true}) {
    Node node;
    node.begin({record});
    node.stop("ocf", {{"name", "mail"}}, misnamed);
    CHECK(node.is_about_it());
  }
}

TEST_CASE("engine stop: the guest has the time that the meta-data says") {
  CHECK(grace(90s, {}) == 70500ms);    // less 15 s and a twentieth
  CHECK(grace(30s, {}) == 14s);        // less 2 s for the answer, and then half
  CHECK(grace(20s, {}) == 9s);
  CHECK(grace(90s, {{"shutdown_timeout", "30s"}}) == 30s);
  CHECK(grace(90s, {{"shutdown_timeout", "100s"}}) == 70500ms);
}

namespace {

/// A held domain that the cluster counts as active on n2, too; the stop is over in a minute.
struct Kept : EngineStage {
  std::vector<std::string> remarks() const {
    std::vector<std::string> texts;
    const auto all = engine->domains();
    for (const auto& one : all.at(0).remarks) texts.push_back(one.text);
    return texts;
  }
  void intent_of_stop(const StopQuestion&, Callback<StopIntent> done) override {
    StopIntent intent{Intent::keep, "n1", "it is counted as active on both"};
    intent.also_on = "n2";
    done(intent);
  }
  Phase phase() const { return engine->domains().at(0).state.phase; }
  void answers(bool ready, const std::string& why) {
    const auto& question = std::get<wire::AskReady>(sent.back().second);
    CHECK(question.only_asked);
    hears(wire::Ready{question.question, ready, why});
  }
  Kept() {
    Record record{uuid, "web", "web", {}, "<domain/>", {}};
    record.state.phase = Phase::held;
    shows("web", Here::running);
    begin({record});
    give(order(Order::Kind::stop, "web"));
    REQUIRE(phase() == Phase::held);
  }
};

}  // namespace

TEST_CASE("engine stop: what is counted as active on another node, too, is kept only when that node denies it") {
  Kept node;
  SUBCASE("it does") {
    node.answers(true, "");
    CHECK(node.phase() == Phase::offered);
  }
  SUBCASE("it runs there") {
    node.answers(false, "it runs there, too");
    node.time = node.time + 20s;
    node.all_timers();
    CHECK(node.phase() == Phase::stopping);
    CHECK(node.remarks().back().find("it runs there, too") != std::string::npos);
  }
}
