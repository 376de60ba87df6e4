// SPDX-License-Identifier: GPL-2.0-or-later
// What the agent calls when the daemon is dead goes by that daemon's configuration.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "migrationd/io/config-file.h"
#include "migrationd/io/config-note.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

TEST_CASE("config note: the configuration of the daemon that ran last is found") {
  tests::Scratch scratch;
  const std::string run = scratch / "run";
  CHECK(noted_config(run) == default_config_path);
  REQUIRE(note_config("/srv/cluster/migrationd.conf", run).ok());
  CHECK(noted_config(run) == "/srv/cluster/migrationd.conf");
  SUBCASE("a relative path is noted as what it was relative to") {
    REQUIRE(note_config("other.conf", run).ok());
    CHECK(noted_config(run) == (std::filesystem::current_path() / "other.conf").string());
  }
  SUBCASE("a daemon that runs by the default one removes the note of the one before it") {
    REQUIRE(note_config(default_config_path, run).ok());
    CHECK(noted_config(run) == default_config_path);
    CHECK_FALSE(std::filesystem::exists(run + "/config-file"));
  }
}

TEST_CASE("config note: what others could have written, or is no note, is not believed") {
  tests::Scratch scratch;
  REQUIRE(note_config("/srv/a.conf", scratch.path()).ok());
  const std::string note = scratch / "config-file";
  SUBCASE("writable for others") { REQUIRE(::chmod(note.c_str(), 0622) == 0); }
  SUBCASE("a symbolic link") {
    std::filesystem::rename(note, scratch / "elsewhere");
    REQUIRE(::symlink("elsewhere", note.c_str()) == 0);
  }
  SUBCASE("not an absolute path") { tests::write_file(note, "a.conf\n"); }
  SUBCASE("cut short") { tests::write_file(note, "/srv/a.co"); }
  CHECK(noted_config(scratch.path()) == default_config_path);
}
