// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl watch: the status, live. On a terminal the tables are drawn anew each second; elsewhere each change is
// one line with its time. It goes on until it is interrupted, which is a success.
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>

#include <nlohmann/json.hpp>

#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/status-view.h"
#include "migrationctl/terminal.h"

namespace migrationctl {

namespace {

int complain(const std::string& why) {
  std::cerr << "migrationctl: nothing to watch: " << why << '\n';
  return failed;
}

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  char text[16] = {};
  if (localtime_r(&now, &local)) std::strftime(text, sizeof text, "%H:%M:%S", &local);
  return text;
}

/// The state without the time that only passes.
nlohmann::json without_time(const std::string& body) {
  auto json = nlohmann::json::parse(body);
  if (json.contains("domains"))
    for (auto& domain : json["domains"]) domain.erase("offer_left_ms");
  return json;
}

int run(bool json) {
  // Nothing is held that would have to be put back, so an interrupt may end it anywhere.
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { _exit(success); });
  auto daemon = Daemon::connect();
  if (!daemon) return complain(daemon.error());
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  std::optional<Status> before;
  nlohmann::json known;
  for (auto body = daemon.value().ask("ctl-watch");; body = daemon.value().next()) {
    if (!body) return complain(body.error());
    const auto status = read_status(body.value());
    if (!status) return complain(status.error());
    if (json) {
      auto now = without_time(body.value());
      if (now != known) std::cout << body.value() << '\n';
      known = std::move(now);
    } else if (terminal) {
      // Home, draw, erase what is left of the last picture: no flicker.
      std::string picture = status_text(status.value(), terminal_width());
      for (std::size_t at = 0; (at = picture.find('\n', at)) != std::string::npos; at += 4) picture.replace(at, 1, "\033[K\n");
      std::cout << (before ? "\033[H" : "\033[H\033[2J") << picture << "\033[J";
    } else {
      for (const auto& line : changes(before, status.value())) std::cout << time_now() << ' ' << line << '\n';
    }
    before = status.value();
    std::cout.flush();
    if (!std::cout) return failed;
  }
}

}  // namespace

void add_watch(CLI::App& program, Chosen& chosen) {
  CLI::App* command = program.add_subcommand("watch", "The status, live, until interrupted");
  const auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print the status as one line of JSON whenever it changes");
  command->callback([json, &chosen] { chosen = [json] { return run(*json); }; });
}

}  // namespace migrationctl
