// SPDX-License-Identifier: GPL-2.0-or-later
// The dead-man is armed to look where its daemon works, wherever that is.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/dead-man.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

struct Silent : engine::Log {
  void write(Level, const std::string&, const std::string& text) override { said += text + "\n"; }
  std::string said;
};

/// The words with which the dead-man is started, a line each.
std::string armed_with(const tests::Scratch& scratch, const std::string& config) {
  const std::string program = scratch / "program";
  tests::write_file(program, "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + (scratch / "words") + "\n");
  ::chmod(program.c_str(), 0755);
  boost::asio::io_context loop;
  Silent log;
  DeadManConfig settings{program, "/srv/state", scratch / "run", false, config};
  DeadManProcess dead_man(loop, settings, log);
  dead_man.arm(*DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd"), Milliseconds{3000}, [](Outcome armed) { CHECK(armed.ok()); });
  loop.run();
  CHECK(log.said.empty());
  return tests::file_content(scratch / "words");
}

}  // namespace

TEST_CASE("dead-man: it goes by its daemon's configuration and places") {
  tests::Scratch scratch;
  const std::string rest = "--direct\ndead-man-timer\n0b7e4c1a-90ab-4cde-8f01-23456789abcd\n5000\n--state-dir=/srv/state\n--runtime-dir=" +
                           (scratch / "run") + "\n";
  CHECK(armed_with(scratch, "/srv/migrationd.conf") == "--config\n/srv/migrationd.conf\n" + rest);
  CHECK(armed_with(scratch, "") == rest);
}
