// SPDX-License-Identifier: GPL-2.0-or-later
// What Corosync knows: the configured nodes, who of them is a member now, and on which of them Pacemaker's
// controller has joined. Corosync's libraries block, so a thread of their own asks, and posts what changed to
// the daemon's loop. Without a running Corosync the configured nodes are read from corosync.conf.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

struct CorosyncNode {
  std::uint32_t id = 0;
  NodeName name;
  std::vector<std::string> addresses;  ///< ring0_addr, ring1_addr, ...
  bool operator==(const CorosyncNode&) const = default;
};

struct CorosyncView {
  bool connected = false;             ///< Corosync runs here and answers
  bool quorate = false;
  std::uint32_t self = 0;             ///< our node id; 0: not known
  std::vector<CorosyncNode> nodes;    ///< configured
  std::set<std::uint32_t> members;
  std::set<std::uint32_t> controllers;  ///< nodes whose Pacemaker controller has joined
  std::string trouble;                ///< why the nodes could not be read from the file, where Corosync does not run
  bool operator==(const CorosyncView&) const = default;

  const CorosyncNode* find(const NodeName& name) const;
  bool member(const NodeName& name) const;
  bool controller(const NodeName& name) const;
};

/// The nodelist of a corosync.conf. Errors: no nodelist, a node without ring0_addr, unbalanced braces, with
/// the line's number.
Result<std::vector<CorosyncNode>> parse_corosync_conf(const std::string& text);

/// What can be said without Corosync: its file's nodes, or the trouble with it, which names the file.
CorosyncView view_of_file(const std::string& conf_path);

class Corosync {
 public:
  /// Calls `changed` on `loop` with each new view; the first one comes at once, also when Corosync is down.
  Corosync(boost::asio::io_context& loop, std::string conf_path, std::function<void(const CorosyncView&)> changed);
  ~Corosync();
  Corosync(const Corosync&) = delete;
  Corosync& operator=(const Corosync&) = delete;

 private:
  struct Thread;
  std::shared_ptr<Thread> thread_;
};

}  // namespace migrationd::io
