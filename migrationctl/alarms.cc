// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl alarms: what people must look at on this node; that somebody has seen it; that it is over.
#include <pwd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>

#include <nlohmann/json.hpp>

#include "migrationctl/alarm-view.h"
#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/status-view.h"
#include "migrationctl/terminal.h"

namespace migrationctl {

namespace {

using migrationd::Error;
using migrationd::Result;

struct Options {
  bool all = false;
  bool json = false;
  bool acknowledge_all = false;
  std::uint64_t id = 0;
};

int complain(const std::string& why) {
  std::cerr << "migrationctl: " << harmless(why) << '\n';
  return failed;
}

/// Who types this: behind sudo the person and not root.
std::string typist() {
  if (const char* behind = std::getenv("SUDO_USER"); behind != nullptr && *behind != '\0') return behind;
  const passwd* entry = getpwuid(getuid());
  return entry == nullptr ? std::to_string(getuid()) : entry->pw_name;
}

Result<std::string> ask(const std::string& operation, const std::string& operand, std::map<std::string, std::string> parameters) {
  auto daemon = Daemon::connect();
  if (!daemon) return Error{daemon.error()};
  return daemon.value().ask(operation, operand, std::move(parameters));
}

int list(const Options& options) {
  std::map<std::string, std::string> parameters;
  if (options.all) parameters["all"] = "yes";
  const auto body = ask("ctl-alarms", "", std::move(parameters));
  if (!body) return complain("no alarms: " + body.error());
  const auto shown = read_alarms(body.value());
  if (!shown) return complain("no alarms: " + shown.error());
  std::cout << (options.json ? body.value() + "\n" : alarms_text(shown.value(), options.all, terminal_width()));
  return success;
}

int acknowledge(const Options& options) {
  std::map<std::string, std::string> parameters{{"by", typist()}};
  if (options.acknowledge_all) parameters["all"] = "yes";
  const auto done = ask("ctl-alarm-acknowledge", options.acknowledge_all ? "" : std::to_string(options.id), std::move(parameters));
  if (!done) return complain("not acknowledged: " + done.error());
  if (!options.acknowledge_all) return success;
  const auto answer = nlohmann::json::parse(done.value(), nullptr, false);
  if (answer.is_object() && answer.contains("acknowledged")) std::cout << answer["acknowledged"] << " alarms acknowledged\n";
  return success;
}

int clear(const Options& options) {
  const auto done = ask("ctl-alarm-clear", std::to_string(options.id), {{"by", typist()}});
  return done ? success : complain("not cleared: " + done.error());
}

}  // namespace

void add_alarms(CLI::App& program, Chosen& chosen) {
  CLI::App* command = program.add_subcommand("alarms", "What people must look at on this node");
  const auto options = std::make_shared<Options>();
  command->add_flag("--all", options->all, "also those that are over");
  command->add_flag("--json", options->json, "print it as JSON");
  command->require_subcommand(0, 1);

  CLI::App* ack = command->add_subcommand("ack", "Say that somebody has seen an alarm");
  auto* one = ack->add_option("ID", options->id, "its number");
  auto* all = ack->add_flag("--all", options->acknowledge_all, "all that stand");
  one->excludes(all);
  ack->callback([options, one, &chosen] {
    if (one->count() == 0 && !options->acknowledge_all) throw CLI::RequiredError("ID or --all");
    chosen = [options] { return acknowledge(*options); };
  });
  CLI::App* over = command->add_subcommand("clear", "Say that an alarm is over");
  over->add_option("ID", options->id, "its number")->required();
  over->callback([options, &chosen] { chosen = [options] { return clear(*options); }; });

  command->callback([options, command, &chosen] {
    if (command->get_subcommands().empty()) chosen = [options] { return list(*options); };
  });
}

}  // namespace migrationctl
