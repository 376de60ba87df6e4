// SPDX-License-Identifier: GPL-2.0-or-later
// A daemon that isn't sure who it is doesn't start: a repeated incarnation would let old attempts win.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

#include "migrationd/base/ids.h"
#include "migrationd/io/installation.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using tests::Scratch;
namespace fs = std::filesystem;

namespace {
std::string refusal(const std::string& directory) {
  const auto identity = begin_incarnation(directory);
  return identity.ok() ? "accepted" : identity.error();
}
bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("installation: the UUID stays, the incarnation grows with each start") {
  Scratch scratch;
  const auto first = begin_incarnation(scratch / "state");
  REQUIRE(first.ok());
  CHECK(DomainUuid::parse(first.value().installation));
  CHECK(first.value().incarnation == 1);
  for (std::uint64_t n = 2; n < 12; ++n) {
    const auto next = begin_incarnation(scratch / "state");
    REQUIRE(next.ok());
    CHECK(next.value().installation == first.value().installation);
    CHECK(next.value().incarnation == n);
  }
  struct stat status {};
  REQUIRE(::stat((scratch / "state").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
  for (const char* name : {"state/installation", "state/incarnation"}) {
    REQUIRE(::stat((scratch / name).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0600);
  }
}

TEST_CASE("installation: two nodes get different UUIDs") {
  Scratch one, two;
  CHECK(begin_incarnation(one / "s").value().installation != begin_incarnation(two / "s").value().installation);
}

TEST_CASE("installation: a damaged file is refused and left alone, whatever byte of it is changed") {
  Scratch scratch;
  REQUIRE(begin_incarnation(scratch / "state").ok());
  for (const char* name : {"state/installation", "state/incarnation"}) {
    const std::string good = tests::file_content(scratch / name);
    for (std::size_t i = 0; i < good.size(); ++i) {
      CAPTURE(name);
      CAPTURE(i);
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 1);
      tests::write_file(scratch / name, bad);
      CHECK_FALSE(begin_incarnation(scratch / "state").ok());
      tests::write_file(scratch / name, good.substr(0, i));
      CHECK_FALSE(begin_incarnation(scratch / "state").ok());
    }
    tests::write_file(scratch / name, "garbage");
    CHECK(says(refusal(scratch / "state"), "is damaged"));
    CHECK(says(refusal(scratch / "state"), "migrationctl forget"));
    CHECK(tests::file_content(scratch / name) == "garbage");
    tests::write_file(scratch / name, good);
  }
  CHECK(begin_incarnation(scratch / "state").value().incarnation == 2);
}

TEST_CASE("installation: a lost counter beside a known UUID is refused") {
  Scratch scratch;
  REQUIRE(begin_incarnation(scratch / "state").ok());
  fs::remove(scratch / "state/incarnation");
  CHECK(says(refusal(scratch / "state"), "incarnation is missing"));
}

TEST_CASE("installation: a crash between the first two writes is survived") {
  Scratch scratch;
  REQUIRE(begin_incarnation(scratch / "state").ok());
  fs::remove(scratch / "state/installation");
  CHECK(begin_incarnation(scratch / "state").value().incarnation == 2);
}

TEST_CASE("installation: links, wide directories and newer files are refused") {
  Scratch scratch;
  REQUIRE(begin_incarnation(scratch / "state").ok());
  fs::create_directory_symlink(scratch / "state", scratch / "link");
  CHECK(says(refusal(scratch / "link"), "symbolic link"));
  fs::rename(scratch / "state/installation", scratch / "elsewhere");
  fs::create_symlink(scratch / "elsewhere", scratch / "state/installation");
  CHECK(says(refusal(scratch / "state"), "regular file"));
  fs::remove(scratch / "state/installation");
  tests::write_file(scratch / "state/installation", "migrationd-installation 2 x y\n");
  CHECK(says(refusal(scratch / "state"), "newer migrationd"));
  ::chmod((scratch / "state").c_str(), 0750);
  CHECK(says(refusal(scratch / "state"), "chmod 0700"));
  CHECK(says(refusal(scratch / "no/state"), "install -d -m 0700"));
}
