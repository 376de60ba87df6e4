// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl forget: the administrator's word that nothing of a node's old installation can run any more. It replaces
// a proof, so it is asked for twice.
#include <iostream>
#include <memory>
#include <string>

#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/status-view.h"

namespace migrationctl {

namespace {

struct Options {
  std::string node;
  bool yes = false;
};

bool confirmed(const std::string& node) {
  std::cerr << "From now on this node no longer asks whether the former installation of " << node << " still runs a domain\n"
            << "that it held last. If it does, the domain will run twice and destroy its disks. Make sure that the old\n"
            << "machine is off, or was really installed anew. Type yes to go on: " << std::flush;
  std::string answer;
  return std::getline(std::cin, answer) && answer == "yes";
}

int run(const Options& options) {
  const std::string node = harmless(options.node);
  if (!options.yes && !confirmed(node)) {
    std::cerr << "\nmigrationctl: not confirmed, so nothing was forgotten (--yes does it without asking)\n";
    return failed;
  }
  auto daemon = Daemon::connect();
  const auto done = daemon ? daemon.value().ask("ctl-forget", options.node) : migrationd::Result<std::string>(migrationd::Error{daemon.error()});
  if (!done) {
    std::cerr << "migrationctl: " << node << " is not forgotten: " << done.error() << '\n';
    return failed;
  }
  const auto domains = read_forgotten(done.value());
  if (!domains) {
    std::cerr << "migrationctl: what of " << node << " was forgotten is not known: " << domains.error() << '\n';
    return failed;
  }
  if (domains.value().empty()) {
    std::cout << "There was nothing to forget: this node does not know " << node << " as the last holder of any domain.\n"
              << "Where another node refuses a start for it, say it there.\n";
    return success;
  }
  std::string names;
  for (const std::string& name : domains.value()) names += (names.empty() ? "" : ", ") + harmless(name);
  std::cout << "This node forgot that " << node << " held last: " << names << ".\nDo the same on the other nodes that refuse a start for it.\n";
  return success;
}

}  // namespace

void add_forget(CLI::App& program, Chosen& chosen) {
  CLI::App* command = program.add_subcommand("forget", "Say that nothing of a reinstalled node's former installation can run any more");
  const auto options = std::make_shared<Options>();
  command->add_option("NODE", options->node, "the node that was installed anew")->required();
  command->add_flag("--yes", options->yes, "do not ask for a confirmation");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace migrationctl
