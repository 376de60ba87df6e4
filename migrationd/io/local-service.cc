// SPDX-License-Identifier: GPL-2.0-or-later
// One request, one answer; `ctl-watch` answers once a second until its caller is gone.
#include "migrationd/io/local-service.h"

#include "migrationd/io/status-json.h"

namespace migrationd::io {

using wire::LocalReply;
using wire::LocalRequest;
using wire::OcfCode;

Outcome LocalService::start(IpcServer::Settings settings) {
  IpcServer::Handlers handlers;
  handlers.request = [this](ConnectionId id, LocalRequest one, const Credentials&, IpcServer::Reply reply) {
    request(id, one, std::move(reply));
  };
  handlers.closed = [this](ConnectionId id) {
    watchers_.erase(id);
    auto order = orders_.extract(id);
    if (!order.empty()) engine_.caller_gone(order.mapped());
  };
  handlers.log = [this](const std::string& text) { world_.log.write(engine::Log::Level::warning, "", text); };
  auto started = IpcServer::start(loop_, std::move(settings), std::move(handlers));
  if (!started.ok()) return Error{started.error()};
  server_ = std::move(started.value());
  return Done{};
}

void LocalService::request(ConnectionId id, const LocalRequest& request, IpcServer::Reply reply) {
  if (request.operation == "ctl-watch") {
    watchers_.insert(id);
    watch(id, std::move(reply));
    return;
  }
  if (request.operation.starts_with("ctl-")) {
    reply(control(request));
    return;
  }
  if (request.operation == "validate-all" || request.operation == "reload-agent") {
    Refused said = intake_.validate(request);
    reply({said.code, said.reason, "", false});
    return;
  }
  if (facts_.heartbeat != nullptr) {
    const auto dead = request.parameters.find("CRM_meta_heartbeat_dead_node");
    if (dead != request.parameters.end() && request.operation == "start") facts_.heartbeat->taken_over_from(dead->second);
  }
  auto understood = intake_.order(request);
  if (auto* refused = std::get_if<Refused>(&understood)) {
    reply({refused->code, refused->reason, "", false});
    return;
  }
  const engine::OrderId order =
      engine_.order(std::get<engine::Order>(std::move(understood)),
                    [this, weak = std::weak_ptr<int>(life_), id, reply](engine::OrderReply answer) {
                      if (!weak.lock()) return;
                      orders_.erase(id);
                      reply({answer.code, answer.reason, "", false});
                    });
  if (order != 0) orders_[id] = order;
}

LocalReply LocalService::control(const LocalRequest& request) {
  if (request.operation == "ctl-status") {
    return {OcfCode::success, "", status_json(engine_, facts_.self, facts_.unfenced_membership), false};
  }
  if (request.operation == "ctl-explain") {
    std::string body = explain_json(engine_, request.resource, world_.clock.now());
    if (body.empty()) {
      return {OcfCode::error, "no domain or resource '" + request.resource + "' is known on " + facts_.self +
                                  ": see migrationctl status", "", false};
    }
    return {OcfCode::success, "", std::move(body), false};
  }
  if (request.operation == "ctl-forget") {
    const Outcome outcome = engine_.forget(request.resource);
    if (!outcome.ok()) return {OcfCode::bad_arguments, outcome.error(), "", false};
    return {OcfCode::success, "", "", false};
  }
  return {OcfCode::unimplemented, "this daemon does not know '" + request.operation + "'", "", false};
}

void LocalService::watch(ConnectionId id, IpcServer::Reply reply) {
  reply({OcfCode::success, "", status_json(engine_, facts_.self, facts_.unfenced_membership), true});
  world_.clock.schedule(Milliseconds{1000}, [this, weak = std::weak_ptr<int>(life_), id, reply] {
    if (weak.lock() && watchers_.contains(id)) watch(id, reply);
  });
}

}  // namespace migrationd::io
