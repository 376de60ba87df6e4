// SPDX-License-Identifier: GPL-2.0-or-later
// Tells programs of alarms, in the environment of Pacemaker's alert agents (Pacemaker Explained, "Alerts"), so that those that
// there are can be used: alert_smtp.sh, alert_snmp.sh. Each runs once at a time, off the loop, and a slow one holds up only
// its own queue.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migrationd/alarms/book.h"
#include "migrationd/base/result.h"
#include "migrationd/engine/log.h"
#include "migrationd/io/alert-config.h"

namespace migrationd::io {

/// What an agent is told: an alarm was raised, or (if it stands no more) cleared.
struct AlertNews {
  alarms::Alarm alarm;
  WallTime at;
  std::uint64_t sequence = 0;  ///< grows with each on this node
};

/// NAME=VALUE of one run. An empty `recipient`: none is configured.
std::vector<std::string> alert_environment(const AlertNews& news, const NodeName& self, const std::string& recipient);

/// Its first group; nothing: there is no such user. Errors: nobody can say whether there is.
Result<std::optional<gid_t>> group_of_user(const std::string& user);

struct AlertSettings {
  NodeName self;
  std::vector<AlertAgent> agents;
  Milliseconds limit{30'000};         ///< Pacemaker's default, too
  std::string user = "hacluster";     ///< who runs them, as under Pacemaker; if there is no such user, or we aren't root: we
  std::function<Result<std::optional<gid_t>>(const std::string& user)> group_of = group_of_user;
  std::size_t waiting_limit = 100;    ///< of each agent; for more the oldest warning is given up, else the oldest
};

class AlertAgents {
 public:
  AlertAgents(boost::asio::io_context& loop, AlertSettings settings, engine::Log& log);
  /// Runs all agents, soon.
  void tell(const alarms::Alarm& alarm, WallTime at);

 private:
  struct Run {
    AlertNews news;
    std::string recipient;
  };
  struct Queue {
    AlertAgent agent;
    std::deque<Run> waiting;
    bool running = false;
    bool overflowed = false;  // said
  };
  void run_next(std::size_t which);

  boost::asio::io_context& loop_;
  AlertSettings settings_;
  engine::Log& log_;
  std::vector<Queue> queues_;
  std::vector<std::string> as_user_;  // what comes before the agent on the command line
  std::uint64_t sequence_ = 0;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
