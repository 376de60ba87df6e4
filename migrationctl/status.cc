// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl status: the domains that this node's daemon knows, and its links.
#include <iostream>
#include <memory>

#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/status-view.h"

namespace migrationctl {

namespace {

int complain(const std::string& why) {
  std::cerr << "migrationctl: no status: " << why << '\n';
  return failed;
}

int run(bool json) {
  auto daemon = Daemon::connect();
  if (!daemon) return complain(daemon.error());
  const auto body = daemon.value().ask("ctl-status");
  if (!body) return complain(body.error());
  const auto status = read_status(body.value());
  if (!status) return complain(status.error());
  std::cout << (json ? body.value() + "\n" : status_text(status.value(), 0));
  return success;
}

}  // namespace

void add_status(CLI::App& program, Chosen& chosen) {
  CLI::App* command = program.add_subcommand("status", "The domains that this node's daemon knows, offers and links");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print it as JSON");
  command->callback([json, &chosen] { chosen = [json] { return run(*json); }; });
}

}  // namespace migrationctl
