// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon of this node, as the commands ask it: each error already says what to do about it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "migrationd/base/result.h"
#include "migrationd/io/ipc-client.h"

namespace migrationctl {

class Daemon {
 public:
  /// Connects, within ten seconds. Errors: it does not run, it refuses this user, or another process has its name.
  static migrationd::Result<Daemon> connect();

  /// The body of the answer to "ctl-..." with its operand and parameters, within ten seconds. Errors also: the daemon's
  /// own reason.
  migrationd::Result<std::string> ask(const std::string& operation, const std::string& operand = "",
                                      std::map<std::string, std::string> parameters = {});
  /// The next answer of ctl-watch or ctl-events, within ten seconds (it comes every few seconds).
  migrationd::Result<std::string> next();
  /// Whether the last answer announced another one.
  bool more() const { return more_; }

 private:
  explicit Daemon(std::unique_ptr<migrationd::io::IpcClient> client) : client_(std::move(client)) {}
  std::unique_ptr<migrationd::io::IpcClient> client_;
  bool more_ = false;
};

}  // namespace migrationctl
