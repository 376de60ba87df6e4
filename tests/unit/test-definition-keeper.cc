// SPDX-License-Identifier: GPL-2.0-or-later
// Which definition of a domain a node keeps, what it tells the others, and what it does with an order for which it has no file.
#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "tests/unit/engine-stage.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
using tests::EngineStage;
using tests::uuid;
using wire::OcfCode;

namespace {

const std::string config = "/srv/vm1.xml";
const std::string xml = "<domain>vm1</domain>";

/// Node n1, which has the resource vm1; its peer is n2.
struct Node : EngineStage {
  static wire::Defined defined(const std::string& text, std::uint64_t epoch, std::uint64_t version = 1, const NodeName& origin = "n2") {
    return {uuid, "vm1", "vm1", config, origin, Epoch{epoch}, version, "digest of " + text, true, text};
  }
  static wire::Defined announced(wire::Defined message) {
    message.xml.clear();
    return message;
  }
  /// An order for which this node has no file.
  static Order without_file(Order::Kind kind) {
    Order order = EngineStage::order(kind, "vm1");
    order.definition.reset();
    order.parameters = {{"config", config}};
    order.no_file = true;
    order.no_definition = {OcfCode::not_installed, "there is no file"};
    return order;
  }
  static Order with_file(Order::Kind kind, const std::string& text = xml) {
    Order order = EngineStage::order(kind, "vm1");
    order.parameters = {{"config", config}};
    order.definition->xml = text;
    return order;
  }
  Record held(std::uint64_t epoch) {
    Record record{uuid, "vm1", "vm1", {{"config", config}}, xml, {}};
    record.state.phase = Phase::held;
    record.state.epoch = Epoch{epoch};
    return record;
  }
  template <class Message>
  std::vector<Message> said() {
    std::vector<Message> all;
    for (const auto& [to, message] : sent)
      if (const auto* one = std::get_if<Message>(&message)) all.push_back(*one);
    sent.clear();
    return all;
  }
  std::string kept() const { return kept_on_disk.contains(uuid) ? kept_on_disk.at(uuid).xml : ""; }
  std::string status() {
    for (const auto& one : engine->domains())
      if (one.uuid == uuid) return one.definition_from;
    return "";
  }
};

}  // namespace

TEST_CASE("definition keeper: newer is the larger epoch, within it the larger version of who held it then") {
  const KeptDefinition kept{uuid, "vm1", "vm1", config, "n2", Epoch{5}, 3, "a", "x"};
  const auto said = [](std::uint64_t epoch, std::uint64_t version, const char* digest, const char* origin) {
    return wire::Defined{uuid, "vm1", "vm1", config, origin, Epoch{epoch}, version, digest};
  };
  CHECK(newer(kept, said(6, 1, "b", "n3"), "n3"));
  CHECK(newer(kept, said(6, 1, "a", "n3"), "n4"));
  CHECK_FALSE(newer(kept, said(4, 9, "b", "n2"), "n2"));
  CHECK(newer(kept, said(5, 4, "b", "n2"), "n3"));
  CHECK_FALSE(newer(kept, said(5, 2, "b", "n2"), "n2"));
  CHECK_FALSE(newer(kept, said(5, 9, "b", "n3"), "n3"));
  CHECK_FALSE(newer(kept, said(5, 3, "a", "n2"), "n2"));
  CHECK(newer(kept, said(5, 3, "b", "n2"), "n2"));
  CHECK_FALSE(newer(kept, said(5, 3, "b", "n2"), "n3"));
}

TEST_CASE("definition keeper: a node asks for what it has not, keeps it, and is not told twice") {
  Node node;
  node.begin();
  const auto message = Node::defined(xml, 4);
  node.hears(Node::announced(message));
  CHECK(node.kept().empty());
  REQUIRE(node.said<wire::AskDefinition>().size() == 1);
  node.hears(message);
  CHECK(node.kept() == xml);
  node.hears(Node::announced(message));
  CHECK(node.said<wire::AskDefinition>().empty());
  // The same text in a later epoch is not sent again.
  node.hears(Node::announced(Node::defined(xml, 6)));
  CHECK(node.said<wire::AskDefinition>().empty());
  CHECK(node.kept_on_disk.at(uuid).epoch == Epoch{6});
  // What is older is not taken, whoever sends it.
  node.hears(Node::defined("<domain>vm1 old</domain>", 5));
  CHECK(node.kept() == xml);
  // What it keeps it says to everybody who comes, and gives it who asks.
  node.peer_listener->link_changed("n2", true);
  const auto told = node.said<wire::Defined>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].xml.empty());
  CHECK_FALSE(told[0].held);
  node.hears(wire::AskDefinition{uuid});
  CHECK(node.said<wire::Defined>().at(0).xml == xml);
}

TEST_CASE("definition keeper: another domain's definition is not kept, nor one that is too large") {
  Node node;
  node.begin();
  node.hears(Node::defined("<domain>vm2</domain>", 4));
  CHECK(node.kept().empty());
  node.hears(Node::defined("vm1" + std::string(kept_definition_limit, ' '), 4));
  CHECK(node.kept().empty());
  node.hears(Node::defined(xml, 4));
  CHECK(node.kept() == xml);
  // Another domain of the same resource takes its place where it is held, not where it was once.
  auto another = Node::defined("<domain>vm1 again</domain>", 1);
  another.domain = *DomainUuid::parse("1b7e4c1a-90ab-4cde-8f01-23456789abcd");
  another.held = false;
  node.hears(another);
  CHECK(node.kept_on_disk.size() == 1);
  CHECK(node.kept() == xml);
  another.held = true;
  node.hears(another);
  CHECK(node.kept_on_disk.size() == 1);
  CHECK(node.kept_on_disk.contains(another.domain));
}

TEST_CASE("definition keeper: many at once are asked for one after another, and one that is lost does not stop the rest") {
  Node node;
  node.begin();
  std::vector<wire::Defined> all;
  for (char digit : {'1', '2', '3'}) {
    auto one = Node::defined(xml, 4);
    one.domain = *DomainUuid::parse(std::string(1, digit) + "b7e4c1a-90ab-4cde-8f01-23456789abcd");
    one.resource = one.config = std::string("r") + digit;
    all.push_back(one);
    node.hears(Node::announced(one));
  }
  REQUIRE(node.said<wire::AskDefinition>().size() == 1);
  node.hears(all[0]);
  REQUIRE(node.said<wire::AskDefinition>().size() == 1);  // the second; its answer is lost
  node.all_timers();
  CHECK(node.said<wire::AskDefinition>().empty());
  node.time = node.time + Milliseconds{6000};
  node.all_timers();
  const auto third = node.said<wire::AskDefinition>();
  REQUIRE(third.size() == 1);
  CHECK(third[0].domain == all[2].domain);
}

TEST_CASE("definition keeper: who holds the domain tells what its file says, once for each change") {
  Node node;
  node.files.insert_or_assign(config, std::optional(Definition{uuid, "vm1", xml, 0}));
  node.shows("vm1", Here::running);
  node.begin({node.held(5)});
  CHECK(node.give(Node::with_file(Order::Kind::monitor))->code == OcfCode::success);
  auto told = node.said<wire::Defined>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].held);
  CHECK(told[0].epoch == Epoch{5});
  CHECK(told[0].xml.empty());
  node.give(Node::with_file(Order::Kind::monitor));
  CHECK(node.said<wire::Defined>().empty());
  node.give(Node::with_file(Order::Kind::monitor, "<domain>vm1 changed</domain>"));
  told = node.said<wire::Defined>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].version == 2);
  // What another says of a domain that is held here is not taken.
  node.hears(Node::defined("<domain>vm1 theirs</domain>", 9));
  CHECK(node.kept() == "<domain>vm1 changed</domain>");
  // Nobody need ask for it: within a minute the file is looked at.
  for (int i = 0; i < 61; ++i) node.all_timers();
  CHECK(node.kept() == xml);
}

TEST_CASE("definition keeper: a broken file of who holds it is said, and what is kept stays") {
  Node node;
  node.shows("vm1", Here::running);
  node.files.insert_or_assign(config, Error{config + ": broken XML"});
  node.begin({node.held(5)});
  for (int i = 0; i < 130; ++i) node.all_timers();
  CHECK(std::count_if(node.alarms.begin(), node.alarms.end(), [](const std::string& a) { return a.find("broken XML") != std::string::npos; }) == 1);
  CHECK(node.kept().empty());
}

TEST_CASE("definition keeper: who holds it without a file tells what it was told") {
  Node node;
  node.shows("vm1", Here::running);
  node.begin({node.held(5)});
  for (int i = 0; i < 61; ++i) node.all_timers();
  CHECK(node.kept() == xml);
  CHECK(node.said<wire::Defined>().at(0).held);
}

TEST_CASE("definition keeper: a node without the file knows the domain by what it keeps") {
  Node node;
  node.begin();
  node.hears(Node::defined(xml, 4));
  CHECK(node.give(Node::without_file(Order::Kind::monitor))->code == OcfCode::not_running);
  CHECK(node.give(Node::without_file(Order::Kind::stop))->code == OcfCode::success);
  node.shows("vm1", Here::running);
  CHECK(node.give(Node::without_file(Order::Kind::monitor))->code == OcfCode::success);
  Order misnamed = Node::without_file(Order::Kind::monitor);
  misnamed.parameters["name"] = "vm2";
  CHECK(node.give(misnamed)->code != OcfCode::success);
  Order elsewhere = Node::without_file(Order::Kind::monitor);
  elsewhere.resource = "vm2";
  elsewhere.parameters["config"] = "/srv/vm2.xml";
  node.unlinked = {"n2"};
  CHECK(node.give(elsewhere)->code == OcfCode::not_installed);
}

TEST_CASE("definition keeper: a node without the file boots from what it keeps, and says so") {
  Node node;
  node.begin();
  node.hears(Node::defined(xml, 4));
  node.engine->order(Node::without_file(Order::Kind::start), [](OrderReply) {});
  CHECK(node.status().find("of n2, epoch 4") != std::string::npos);
  const auto claims = node.said<wire::Claim>();
  REQUIRE(claims.size() == 1);
  node.hears(wire::Gone{uuid, claims[0].attempt, Epoch{4}, "", "", {}});
  REQUIRE(node.boots == 1);
  CHECK(node.booted.xml == xml);
  const auto all = node.engine->domains();
  CHECK(std::any_of(all[0].remarks.begin(), all[0].remarks.end(), [](const Remark& one) { return one.text.starts_with("booted from the definition that this node keeps"); }));
}

TEST_CASE("definition keeper: a file that is there and can't be used is replaced by nothing") {
  Node node;
  Record record = node.held(4);
  record.state.phase = Phase::gone;
  node.begin({record});
  node.hears(Node::defined(xml, 4));
  std::optional<OrderReply> answer;
  Order order = Node::without_file(Order::Kind::start);
  order.no_file = false;
  order.no_definition.reason = "the file is broken";
  node.engine->order(order, [&](OrderReply said) { answer = said; });
  const auto claims = node.said<wire::Claim>();
  REQUIRE(claims.size() == 1);  // where it runs it is fetched all the same
  node.hears(wire::Gone{uuid, claims[0].attempt, Epoch{4}, "", "", {}});
  CHECK(node.boots == 0);
  REQUIRE(answer);
  CHECK(answer->reason.find("the file is broken") != std::string::npos);
}

TEST_CASE("definition keeper: a probe waits for the definition that another node's probe tells") {
  Node node;
  node.begin();
  std::optional<OrderReply> answer;
  const auto probe = [&] { node.engine->order(Node::without_file(Order::Kind::monitor), [&](OrderReply said) { answer = said; }); };
  probe();
  CHECK_FALSE(answer);
  auto message = Node::defined(xml, 0);
  message.held = false;
  node.hears(message);
  REQUIRE(answer);
  CHECK(answer->code == OcfCode::not_running);
  CHECK(node.cleaned_up.empty());
}

TEST_CASE("definition keeper: a probe that nobody helped is answered in time, and cleaned up when the definition comes") {
  Node node;
  node.begin();
  std::optional<OrderReply> answer;
  node.engine->order(Node::without_file(Order::Kind::monitor), [&](OrderReply said) { answer = said; });
  node.time = node.time + Milliseconds{3000};
  node.all_timers();
  REQUIRE(answer);
  CHECK(answer->code == OcfCode::not_installed);
  CHECK(node.give(Node::without_file(Order::Kind::monitor))->code == OcfCode::not_installed);
  node.hears(Node::defined(xml, 1));
  CHECK(node.cleaned_up == std::set<std::string>{"vm1"});
  CHECK(node.give(Node::without_file(Order::Kind::monitor))->code == OcfCode::not_running);
}

TEST_CASE("definition keeper: what is kept of a resource that the cluster has no more is removed") {
  Node node;
  node.configured["vm1"] = {};
  node.begin();
  node.hears(Node::defined(xml, 4));
  for (int i = 0; i < 601; ++i) node.all_timers();
  CHECK(node.kept() == xml);
  node.configured.clear();
  for (int i = 0; i < 301; ++i) node.all_timers();
  CHECK(node.kept() == xml);
  for (int i = 0; i < 301; ++i) node.all_timers();
  CHECK(node.kept().empty());
}
