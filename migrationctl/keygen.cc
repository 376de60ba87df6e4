// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl keygen: makes the key that all nodes of a cluster share, or replaces it in two steps.
#include <iostream>
#include <memory>
#include <string>

#include "migrationctl/commands.h"
#include "migrationd/io/key-file.h"

namespace migrationctl {

namespace {
struct Options {
  bool rotate = false;
  bool drop_old = false;
  std::string file = migrationd::io::default_key_path;
};
}  // namespace

void add_keygen(CLI::App& program, Chosen& chosen) {
  CLI::App* command = program.add_subcommand(
      "keygen", "Make the key that all nodes share. To replace it: --rotate, copy the file to all nodes, then --drop-old "
                "and copy it again; no link is lost on the way.");
  const auto options = std::make_shared<Options>();
  CLI::Option* rotate = command->add_flag("--rotate", options->rotate, "put a new key before the old one; both are valid");
  command->add_flag("--drop-old", options->drop_old, "keep only the newest key")->excludes(rotate);
  command->add_option("--file", options->file, "the key file")->type_name("FILE")->capture_default_str();
  command->callback([options, &chosen] {
    chosen = [options] {
      using migrationd::io::KeyChange;
      const auto change = options->rotate ? KeyChange::rotate : options->drop_old ? KeyChange::drop_old : KeyChange::create;
      const auto done = migrationd::io::change_key_file(options->file, change);
      if (!done.ok()) {
        std::cerr << "migrationctl: " << done.error() << '\n';
        return failed;
      }
      std::cout << done.value() << '\n';
      return success;
    };
  });
}

}  // namespace migrationctl
