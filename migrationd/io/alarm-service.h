// SPDX-License-Identifier: GPL-2.0-or-later
// What migrationctl asks of the alarms and events, over the local IPC:
//
//     ctl-alarms [all=yes]                       the list
//     ctl-alarm-acknowledge ID|"" [all=yes] by=  root only, as is
//     ctl-alarm-clear ID by=
//     ctl-events [since=N] [follow=yes]          several answers; following, until its caller is gone
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>

#include "migrationd/engine/world.h"
#include "migrationd/io/alarm-desk.h"
#include "migrationd/io/ipc-server.h"

namespace migrationd::io {

class AlarmService {
 public:
  using Unsent = std::function<bool(ConnectionId)>;
  /// `unsent`: earlier answers still wait for that caller to take them, see IpcServer.
  AlarmService(AlarmDesk& desk, engine::Clock& clock, NodeName self, Unsent unsent)
      : desk_(desk), clock_(clock), self_(std::move(self)), unsent_(std::move(unsent)) {}
  /// True: it is one of these, and is answered.
  bool request(ConnectionId id, const wire::LocalRequest& request, const IpcServer::Reply& reply);
  void closed(ConnectionId id) { followers_.erase(id); }

 private:
  wire::LocalReply acknowledge(const wire::LocalRequest& request);
  wire::LocalReply clear(const wire::LocalRequest& request);
  void events(ConnectionId id, const wire::LocalRequest& request, const IpcServer::Reply& reply);
  void follow(ConnectionId id, std::uint64_t since, Instant spoken, const IpcServer::Reply& reply);

  AlarmDesk& desk_;
  engine::Clock& clock_;
  NodeName self_;
  Unsent unsent_;
  std::set<ConnectionId> followers_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
