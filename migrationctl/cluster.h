// SPDX-License-Identifier: GPL-2.0-or-later
// Pacemaker's own commands, for what changes the cluster. From the moment that a Cluster exists, SIGINT, SIGTERM and SIGHUP end
// nothing by themselves: what waits is broken off, and who uses it asks whether one came, because there is something to put back.
#pragma once

#include <chrono>
#include <csignal>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationctl {

/// Whether this value of the node attribute "standby" means it.
bool is_standby(const std::string& value);

class Cluster {
 public:
  Cluster();

  /// Whether the user wants it to end, and nothing has to be done before.
  bool interrupted();
  /// What is done now must be done: an interrupt that came, or comes, no longer breaks anything off.
  void put_back() { patient_ = true; }

  /// The whole CIB.
  migrationd::Result<std::string> cib();
  /// Makes of the CIB what `from` differs in from `to`, in one step, as `crm_diff` finds it. Nothing when they are alike.
  migrationd::Outcome change(const std::string& from, const std::string& to);
  /// Forgets what is known of this resource alone, so that it is looked for on all nodes.
  migrationd::Outcome refresh(const std::string& resource);
  /// Waits until the cluster has nothing left to do. Errors: it has by `time`, or an interrupt came.
  migrationd::Outcome settle(std::chrono::seconds time);
  /// Whether the agent ocf:PROVIDER:VirtualDomain of this node accepts the parameters. `here`: what it finds missing on this
  /// node counts, too.
  migrationd::Outcome accepts(const std::string& provider, const std::map<std::string, std::string>& parameters, bool here);
  /// The names of the parameters that ocf:PROVIDER:VirtualDomain has.
  migrationd::Result<std::set<std::string>> parameters_of(const std::string& provider);
  /// The node attribute "standby"; empty: it is not set. Errors: there is no such node.
  migrationd::Result<std::string> standby(const migrationd::NodeName& node);
  /// Sets the node attribute "standby"; removes it when `value` is empty.
  migrationd::Outcome set_standby(const migrationd::NodeName& node, const std::string& value);

 private:
  struct Ended {
    int code = 0;
    std::string out, err;
  };
  migrationd::Result<Ended> run(std::vector<std::string> argv, std::chrono::seconds time, bool breakable = false);
  migrationd::Result<std::string> output_of(std::vector<std::string> argv, std::chrono::seconds time = std::chrono::seconds{60});

  boost::asio::io_context loop_;
  boost::asio::signal_set signals_{loop_, SIGINT, SIGTERM};
  bool asked_ = false;
  bool patient_ = false;
};

}  // namespace migrationctl
