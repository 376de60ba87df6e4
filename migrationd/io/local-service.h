// SPDX-License-Identifier: GPL-2.0-or-later
// What the agent and migrationctl ask of the daemon, brought to the engine and back over the local IPC.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <boost/asio/io_context.hpp>

#include "migrationd/base/result.h"
#include "migrationd/engine/engine.h"
#include "migrationd/io/alarm-service.h"
#include "migrationd/io/domain-warnings.h"
#include "migrationd/io/heartbeat.h"
#include "migrationd/io/ipc-server.h"
#include "migrationd/io/job-progress.h"
#include "migrationd/io/order-intake.h"

namespace migrationd::io {

class LocalService {
 public:
  struct Facts {
    NodeName self;
    bool unfenced_membership = false;
    std::string cluster;                    ///< the cluster manager's name, for the status
    HeartbeatCluster* heartbeat = nullptr;  ///< when Heartbeat is the cluster manager
    std::string libvirt_uri;
    /// How far a domain's migration from here has come; a failure is nothing known.
    std::function<void(const DomainUuid&, engine::Callback<Result<std::optional<JobProgress>>>)> progress;
    DomainWarnings::Ask warnings;
    AlarmDesk* alarms = nullptr;
  };
  LocalService(boost::asio::io_context& loop, engine::Engine& engine, engine::World& world, Facts facts)
      : loop_(loop), engine_(engine), world_(world), facts_(std::move(facts)), intake_(facts_.libvirt_uri), warnings_(world, engine, facts_.warnings) {
    if (facts_.alarms != nullptr) alarms_ = std::make_unique<AlarmService>(*facts_.alarms, world_.clock, facts_.self, [this](ConnectionId id) { return unsent(id); });
  }

  Outcome start(IpcServer::Settings settings);
  void stop() { server_.reset(); }

 private:
  void request(ConnectionId id, const wire::LocalRequest& request, IpcServer::Reply reply);
  wire::LocalReply control(const wire::LocalRequest& request);
  /// ctl-ready: what the other node's daemon says to the question that a stop would ask it.
  void ready(const wire::LocalRequest& request, IpcServer::Reply reply);
  wire::LocalReply unknown_domain(const std::string& name) const;
  /// The status, once the hypervisor has said how far the migrations have come that run now. `moving`: there are some.
  void status(std::function<void(std::string json, bool moving)> done);
  std::string status_now(JobsProgress jobs) const;
  void watch(ConnectionId id, IpcServer::Reply reply);
  void watch_again(ConnectionId id, IpcServer::Reply reply, Milliseconds after);
  bool unsent(ConnectionId id) const { return server_ && server_->unsent(id); }

  boost::asio::io_context& loop_;
  engine::Engine& engine_;
  engine::World& world_;
  Facts facts_;
  OrderIntake intake_;
  DomainWarnings warnings_;
  std::map<ConnectionId, engine::OrderId> orders_;
  std::set<ConnectionId> watchers_;
  std::unique_ptr<AlarmService> alarms_;
  std::unique_ptr<IpcServer> server_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
