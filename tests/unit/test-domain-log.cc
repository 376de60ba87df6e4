// SPDX-License-Identifier: GPL-2.0-or-later
// libvirt's log of a domain: what is written after the reading began is heard, in whatever pieces it comes, and nothing older.
#include <doctest/doctest.h>

#include <fstream>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/domain-log.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using io::DomainLog;

namespace {

const char* const wanted = "shutting down, reason=migrated";

struct Log {
  tests::Scratch scratch;
  boost::asio::io_context loop;
  int said = 0;

  Log() { write("2026-11-27: shutting down, reason=migrated\n"); }
  void write(const std::string& text) { std::ofstream(scratch.path() + "/vm1.log", std::ios::app) << text; }
  /// Until the loop has nothing ready.
  void settle() {
    loop.restart();
    while (loop.poll() > 0) {}
  }
};

}  // namespace

TEST_CASE("domain log: an end is heard once, in pieces, too, and not one of before") {
  Log log;
  DomainLog follower(log.loop, log.scratch.path(), "vm1");
  follower.when_said(wanted, [&] { ++log.said; });
  log.settle();
  CHECK(log.said == 0);
  log.write("qemu: a warning\n2026-11-28: shutting down, rea");
  log.settle();
  CHECK(log.said == 0);
  log.write("son=migrated\n");
  log.settle();
  CHECK(log.said == 1);
  log.write("2026-11-28: shutting down, reason=migrated\n");
  log.settle();
  CHECK(log.said == 1);
}

TEST_CASE("domain log: another end is not the one that is waited for") {
  Log log;
  DomainLog follower(log.loop, log.scratch.path(), "vm1");
  follower.when_said(wanted, [&] { ++log.said; });
  log.write("2026-11-28: shutting down, reason=failed\n");
  log.settle();
  CHECK(log.said == 0);
}

TEST_CASE("domain log: one that is not there, or no file name, is never heard of, and neither is one whose reader has gone") {
  Log log;
  for (const char* name : {"vm2", "", "../vm1"}) {
    DomainLog follower(log.loop, log.scratch.path(), name);
    follower.when_said(wanted, [&] { ++log.said; });
    log.write("2026-11-28: shutting down, reason=migrated\n");
    log.settle();
    CHECK(log.said == 0);
  }
  {
    DomainLog follower(log.loop, log.scratch.path(), "vm1");
    follower.when_said(wanted, [&] { ++log.said; });
    log.settle();
    log.write("2026-11-28: shutting down, reason=migrated\n");
  }
  log.settle();
  CHECK(log.said == 0);
}
