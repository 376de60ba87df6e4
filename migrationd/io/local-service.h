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
#include "migrationd/io/heartbeat.h"
#include "migrationd/io/ipc-server.h"
#include "migrationd/io/order-intake.h"

namespace migrationd::io {

class LocalService {
 public:
  struct Facts {
    NodeName self;
    bool unfenced_membership = false;
    HeartbeatCluster* heartbeat = nullptr;  ///< when Heartbeat is the cluster manager
    std::string libvirt_uri;
  };
  LocalService(boost::asio::io_context& loop, engine::Engine& engine, engine::World& world, Facts facts)
      : loop_(loop), engine_(engine), world_(world), facts_(std::move(facts)), intake_(facts_.libvirt_uri) {}

  Outcome start(IpcServer::Settings settings);
  void stop() { server_.reset(); }

 private:
  void request(ConnectionId id, const wire::LocalRequest& request, IpcServer::Reply reply);
  wire::LocalReply control(const wire::LocalRequest& request);
  void watch(ConnectionId id, IpcServer::Reply reply);

  boost::asio::io_context& loop_;
  engine::Engine& engine_;
  engine::World& world_;
  Facts facts_;
  OrderIntake intake_;
  std::map<ConnectionId, engine::OrderId> orders_;
  std::set<ConnectionId> watchers_;
  std::unique_ptr<IpcServer> server_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
