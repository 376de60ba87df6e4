// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl events: what happened on this node last, and with --follow what happens, until it is interrupted, which is a
// success. Each event is one line, also as JSON.
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <iostream>
#include <memory>

#include "migrationctl/alarm-view.h"
#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/status-view.h"

namespace migrationctl {

namespace {

struct Options {
  bool follow = false;
  bool json = false;
  std::uint64_t since = 0;
};

int complain(const std::string& why) {
  std::cerr << "migrationctl: no events: " << harmless(why) << '\n';
  return failed;
}

int run(const Options& options) {
  // Nothing is held that would have to be put back, so an interrupt may end it anywhere.
  if (options.follow)
    for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { _exit(success); });
  auto daemon = Daemon::connect();
  if (!daemon) return complain(daemon.error());
  std::map<std::string, std::string> parameters;
  if (options.follow) parameters["follow"] = "yes";
  if (options.since > 0) parameters["since"] = std::to_string(options.since);
  bool heard = false;
  for (auto body = daemon.value().ask("ctl-events", "", std::move(parameters));; body = daemon.value().next()) {
    if (!body) return complain(body.error());
    const auto shown = read_events(body.value());
    if (!shown) return complain(shown.error());
    // Who did not ask for older ones misses none; who follows and is too slow does.
    if (shown.value().lost > 0 && (options.since > 0 || heard))
      std::cerr << "migrationctl: " << shown.value().lost << " events are lost: they came too fast, or long ago\n";
    heard = heard || !shown.value().events.empty();
    for (const ShownEvent& event : shown.value().events) std::cout << (options.json ? event.json : event_text(event)) << '\n';
    std::cout.flush();
    if (!std::cout) return failed;
    if (!daemon.value().more()) return success;
  }
}

}  // namespace

void add_events(CLI::App& program, Chosen& chosen) {
  CLI::App* command = program.add_subcommand("events", "What happened on this node last");
  const auto options = std::make_shared<Options>();
  command->add_flag("--follow", options->follow, "and what happens, until interrupted");
  command->add_flag("--json", options->json, "print each as one line of JSON");
  command->add_option("--since", options->since, "only those after the one of this number");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace migrationctl
