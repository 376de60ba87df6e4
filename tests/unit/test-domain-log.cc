// SPDX-License-Identifier: GPL-2.0-or-later
// libvirt's log of a domain: what is written after the reading began is heard, in whatever pieces it comes, and nothing older.
#include <doctest/doctest.h>

#include <fstream>

#include "migrationd/io/domain-log.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using io::DomainLog;

namespace {

const std::string wanted = "shutting down, reason=migrated";

struct Log {
  tests::Scratch scratch;
  Log() { write("2026-11-27: shutting down, reason=migrated\n"); }
  void write(const std::string& text) { std::ofstream(scratch / "vm1.log", std::ios::app) << text; }
};

}  // namespace

TEST_CASE("domain log: an end is found, in pieces, too, and not one of before") {
  Log log;
  DomainLog reader(log.scratch.path(), "vm1");
  CHECK_FALSE(reader.says(wanted));
  log.write("qemu: a warning\n2026-11-28: shutting down, rea");
  CHECK_FALSE(reader.says(wanted));
  log.write("son=migrated\n");
  CHECK(reader.says(wanted));
}

TEST_CASE("domain log: an end behind much else is found, where the pieces that are read meet, too") {
  for (const std::size_t before : {4096 - 20, 4096 - 1, 4096, 10'000}) {
    CAPTURE(before);
    Log log;
    DomainLog reader(log.scratch.path(), "vm1");
    log.write(std::string(before, 'x') + wanted + "\n");
    CHECK(reader.says(wanted));
  }
}

TEST_CASE("domain log: another end is not the one that is waited for") {
  Log log;
  DomainLog reader(log.scratch.path(), "vm1");
  log.write("2026-11-28: shutting down, reason=failed\n");
  CHECK_FALSE(reader.says(wanted));
}

TEST_CASE("domain log: nothing is found in one that is not there, and no name leads out of the directory") {
  Log log;
  for (const char* name : {"vm2", "", "../vm1", "."}) {
    CAPTURE(name);
    DomainLog reader(log.scratch.path(), name);
    log.write("2026-11-28: shutting down, reason=migrated\n");
    CHECK_FALSE(reader.says(wanted));
  }
}
