// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl: what an administrator types. The commands themselves are in the files beside this one.
#include "migrationctl/commands.h"

#include <exception>
#include <iostream>

#include "config.h"

int main(int argc, char** argv) {
  CLI::App program("Shows and steers the live migrations of a cluster's virtual machines.", "migrationctl");
  program.set_version_flag("--version", PACKAGE_NAME " " PACKAGE_VERSION);
  program.require_subcommand(1);
  program.failure_message(CLI::FailureMessage::simple);
  migrationctl::Chosen chosen;
  migrationctl::add_status(program, chosen);
  migrationctl::add_watch(program, chosen);
  migrationctl::add_alarms(program, chosen);
  migrationctl::add_events(program, chosen);
  migrationctl::add_explain(program, chosen);
  migrationctl::add_plan(program, chosen);
  migrationctl::add_evacuate(program, chosen);
  migrationctl::add_return(program, chosen);
  migrationctl::add_adopt(program, chosen);
  migrationctl::add_forget(program, chosen);
  migrationctl::add_keygen(program, chosen);

  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? migrationctl::success : migrationctl::usage;
  }
  try {
    const int code = chosen ? chosen() : migrationctl::usage;
    std::cout.flush();
    if (!std::cout) {
      std::cerr << "migrationctl: cannot write the answer to standard output\n";
      return migrationctl::failed;
    }
    return code;
  } catch (const std::exception& error) {
    std::cerr << "migrationctl: " << error.what() << '\n';
    return migrationctl::failed;
  }
}
