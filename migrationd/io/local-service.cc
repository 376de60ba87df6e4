// SPDX-License-Identifier: GPL-2.0-or-later
// One request, one answer; `ctl-watch` answers once a second, more often during a migration, until its caller is gone.
#include "migrationd/io/local-service.h"

#include "migrationd/io/status-json.h"

namespace migrationd::io {

using wire::LocalReply;
using wire::LocalRequest;
using wire::OcfCode;

namespace {

constexpr Milliseconds watch_step{1000};
constexpr Milliseconds watch_step_moving{500};

}  // namespace

Outcome LocalService::start(IpcServer::Settings settings) {
  IpcServer::Handlers handlers;
  handlers.request = [this](ConnectionId id, LocalRequest one, const Credentials&, IpcServer::Reply reply) {
    request(id, one, std::move(reply));
  };
  handlers.closed = [this](ConnectionId id) {
    watchers_.erase(id);
    if (alarms_) alarms_->closed(id);
    auto order = orders_.extract(id);
    if (!order.empty()) engine_.caller_gone(order.mapped());
  };
  handlers.log = [this](const std::string& text) { world_.log.write(engine::Log::Level::warning, "", text); };
  auto started = IpcServer::start(loop_, std::move(settings), std::move(handlers));
  if (!started.ok()) return Error{started.error()};
  server_ = std::move(started.value());
  warnings_.begin();
  return Done{};
}

void LocalService::request(ConnectionId id, const LocalRequest& request, IpcServer::Reply reply) {
  if (request.operation == "ctl-watch") {
    watchers_.insert(id);
    watch(id, std::move(reply));
    return;
  }
  if (request.operation == "ctl-status") {
    warnings_.look([this, reply] { status([reply](std::string json, bool) { reply({OcfCode::success, "", std::move(json), false}); }); });
    return;
  }
  if (request.operation == "ctl-ready") {
    ready(request, std::move(reply));
    return;
  }
  if (alarms_ && alarms_->request(id, request, reply)) return;
  if (request.operation.starts_with("ctl-")) {
    reply(control(request));
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

LocalReply LocalService::unknown_domain(const std::string& name) const {
  return {OcfCode::error, "no domain or resource '" + name + "' is known on " + facts_.self + ": see migrationctl status", "", false};
}

void LocalService::ready(const LocalRequest& request, IpcServer::Reply reply) {
  const auto domain = domain_named(engine_, request.resource);
  const auto node = request.parameters.find("node");
  if (!domain || node == request.parameters.end()) {
    reply(domain ? LocalReply{OcfCode::bad_arguments, "the parameter node is missing", "", false} : unknown_domain(request.resource));
    return;
  }
  engine_.ask_whether_ready(domain->uuid, node->second, [reply](const engine::WouldTake& ready) {
    reply({OcfCode::success, "", ready_json(ready), false});
  });
}

LocalReply LocalService::control(const LocalRequest& request) {
  if (request.operation == "ctl-explain") {
    const auto domain = domain_named(engine_, request.resource);
    if (!domain) return unknown_domain(request.resource);
    return {OcfCode::success, "", explain_json(*domain, world_.clock.now()), false};
  }
  if (request.operation == "ctl-forget") {
    const std::vector<std::string> domains = held_last_by(engine_, request.resource);
    const Outcome outcome = engine_.forget(request.resource);
    if (!outcome.ok()) return {OcfCode::bad_arguments, outcome.error(), "", false};
    return {OcfCode::success, "", forgotten_json(domains), false};
  }
  return {OcfCode::unimplemented, "this daemon does not know '" + request.operation + "'", "", false};
}

void LocalService::status(std::function<void(std::string, bool)> done) {
  struct Asked {
    std::size_t left = 0;
    JobsProgress known;
  };
  std::vector<DomainUuid> moving;
  for (const auto& domain : engine_.domains())
    if (domain.state.phase == handoff::Phase::moving || domain.view.job) moving.push_back(domain.uuid);
  if (moving.empty() || !facts_.progress) return done(status_now({}), false);
  auto asked = std::make_shared<Asked>();
  asked->left = moving.size();
  for (const DomainUuid& uuid : moving) {
    facts_.progress(uuid, [this, weak = std::weak_ptr<int>(life_), uuid, asked, done](Result<std::optional<JobProgress>> said) {
      if (!weak.lock()) return;
      if (said.ok() && said.value()) asked->known[uuid] = *said.value();
      if (--asked->left == 0) done(status_now(std::move(asked->known)), true);
    });
  }
}

std::string LocalService::status_now(JobsProgress jobs) const {
  return status_json(engine_, {facts_.self, facts_.unfenced_membership, warnings_.known(), std::move(jobs), facts_.cluster});
}

void LocalService::watch_again(ConnectionId id, IpcServer::Reply reply, Milliseconds after) {
  world_.clock.schedule(after, [this, weak = std::weak_ptr<int>(life_), id, reply] {
    if (weak.lock() && watchers_.contains(id)) watch(id, reply);
  });
}

void LocalService::watch(ConnectionId id, IpcServer::Reply reply) {
  if (unsent(id)) return watch_again(id, std::move(reply), watch_step);  // it reads slowly, and needs the newest only
  status([this, id, reply](std::string json, bool moving) {
    if (!watchers_.contains(id)) return;
    reply({OcfCode::success, "", std::move(json), true});
    watch_again(id, reply, moving ? watch_step_moving : watch_step);
  });
}

}  // namespace migrationd::io
