// SPDX-License-Identifier: GPL-2.0-or-later
// The stage with an engine on it, for tests that give orders and let a peer speak.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "migrationd/engine/engine.h"
#include "migrationd/io/order-intake.h"
#include "tests/unit/stage.h"

namespace migrationd::tests {

struct EngineStage : Stage {
  std::unique_ptr<Engine> engine;

  /// The hypervisor shows the domain so.
  void shows(const std::string& called, Here where) {
    name = called;
    here = where;
    healthy = where == Here::running;
  }
  void begin(std::vector<Record> records = {}, bool usable = true, std::map<DomainUuid, std::string> unreadable = {}) {
    engine = std::make_unique<Engine>(world, known, io::policy_reader({}), std::move(records), std::set<NodeName>{},
                                      std::move(unreadable));
    engine->begin();
    if (usable) hypervisor_listener->hypervisor_changed(true);
  }
  /// The answer, if it has come at once.
  std::optional<OrderReply> give(Order order) {
    auto answer = std::make_shared<std::optional<OrderReply>>();
    engine->order(std::move(order), [answer](OrderReply said) { *answer = std::move(said); });
    return *answer;
  }
  /// An order about the stage's domain, with a minute's time.
  static Order order(Order::Kind kind, const std::string& resource) {
    Order order;
    order.kind = kind;
    order.resource = resource;
    order.definition = Definition{uuid, resource, "<domain/>", 0};
    order.timeout = Milliseconds{60'000};
    return order;
  }
  void hears(const wire::PeerMessage& message) { peer_listener->received("n2", "installation-2", message); }
};

}  // namespace migrationd::tests
