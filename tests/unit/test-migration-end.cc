// SPDX-License-Identifier: GPL-2.0-or-later
// How a job ended: every order in which the emulator's death, libvirt's events and the call's answer can come.
#include <doctest/doctest.h>

#include "migrationd/io/migrate-options.h"
#include "migrationd/io/migration-end.h"
#include "migrationd/io/shutdown-mode.h"

#include <libvirt/libvirt.h>

using namespace migrationd;
using namespace migrationd::io;
using handoff::Here;
using handoff::JobEnd;
using Call = JobFacts::Call;

namespace {

JobFacts begun() {
  JobFacts facts;
  facts.call = Call::running;
  facts.has_emulator = true;
  return facts;
}

engine::DomainView view(Here here, bool job = false) {
  engine::DomainView one;
  one.here = here;
  one.job = job;
  return one;
}

}  // namespace

TEST_CASE("migration-end: the emulator's death after the switchover is enough, before the call returns") {
  JobFacts facts = begun();
  CHECK(!judge_job(facts));
  facts.switchover_seen = true;
  CHECK(!judge_job(facts));
  facts.emulator_dead = true;
  REQUIRE(judge_job(facts));
  CHECK(judge_job(facts)->end == JobEnd::migrated);
}

TEST_CASE("migration-end: a death without a switchover waits for libvirt's word, then the domain has vanished") {
  JobFacts facts = begun();
  facts.emulator_dead = true;
  CHECK(!judge_job(facts));
  SUBCASE("the call succeeds") {
    facts.call = Call::succeeded;
    CHECK(judge_job(facts)->end == JobEnd::migrated);
  }
  SUBCASE("the event says migrated") {
    facts.stopped_migrated = true;
    CHECK(judge_job(facts)->end == JobEnd::migrated);
  }
  SUBCASE("nothing comes") {
    facts.call = Call::failed;
    facts.call_error = "domain is not running";
    CHECK(!judge_job(facts));
    facts.waited_after_death = true;
    CHECK(judge_job(facts)->end == JobEnd::vanished);
    CHECK(judge_job(facts)->why.find("domain is not running") != std::string::npos);
  }
}

TEST_CASE("migration-end: the call's success without the emulator's death is not believed") {
  JobFacts facts = begun();
  facts.call = Call::succeeded;
  facts.view = view(Here::absent);
  CHECK(!judge_job(facts));
}

TEST_CASE("migration-end: after a failure the state decides, and only a job that has ended") {
  JobFacts facts = begun();
  facts.call = Call::failed;
  CHECK(!judge_job(facts));
  facts.view = view(Here::running, true);
  CHECK(!judge_job(facts));
  facts.view = view(Here::unknown);
  CHECK(!judge_job(facts));
  facts.view = view(Here::running);
  CHECK(judge_job(facts)->end == JobEnd::runs_here);
  facts.view = view(Here::paused);
  CHECK(judge_job(facts)->end == JobEnd::paused_here);
}

TEST_CASE("migration-end: without an emulator to watch, libvirt's word counts") {
  JobFacts facts = begun();
  facts.has_emulator = false;
  facts.call = Call::succeeded;
  CHECK(judge_job(facts)->end == JobEnd::migrated);
  facts.call = Call::failed;
  facts.view = view(Here::absent);
  CHECK(judge_job(facts)->end == JobEnd::vanished);
}

TEST_CASE("migrate-options: virsh's words, with and without '='") {
  Result<MigrateOptions> options =
      parse_migrate_options("--auto-converge --unsafe  --parallel --parallel-connections 4 --comp-methods=mt,xbzrle --live");
  REQUIRE(options.ok());
  CHECK(options.value().flags == (VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_UNSAFE | VIR_MIGRATE_PARALLEL));
  REQUIRE(options.value().parameters.size() == 3);
  CHECK(std::get<int>(options.value().parameters[0].value) == 4);
  CHECK(std::get<std::string>(options.value().parameters[2].value) == "xbzrle");
  CHECK(parse_migrate_options("").ok());
}

TEST_CASE("migrate-options: what is unknown or contradicts the hand-off is refused with its reason") {
  for (const char* text : {"--nonsense", "auto-converge", "--parallel-connections", "--parallel-connections x", "--unsafe=1",
                           "--persistent", "--postcopy", "--timeout 10", "--suspend"}) {
    Result<MigrateOptions> options = parse_migrate_options(text);
    REQUIRE_MESSAGE(!options.ok(), text);
    CHECK(options.error().find("migrate_options: ") == 0);
  }
}

TEST_CASE("migrate-options: a guest may be slowed, unless nothing may be; the administrator's own figures count") {
  const auto allowed = [](const char* words, int first) {
    auto options = parse_migrate_options(words);
    REQUIRE(options.ok());
    allow_throttling(options.value(), first, 25);
    std::string said = (options.value().flags & VIR_MIGRATE_AUTO_CONVERGE) != 0 ? "slowed" : "not slowed";
    for (const MigrateParameter& one : options.value().parameters) said += " " + one.field + " " + std::to_string(std::get<int>(one.value));
    return said;
  };
  CHECK(allowed("", 50) == "slowed auto_converge.initial 50 auto_converge.increment 25");
  CHECK(allowed("", 0) == "not slowed");
  CHECK(allowed("--auto-converge", 50) == "slowed");
  CHECK(allowed("--auto-converge", 0) == "slowed");
  CHECK(allowed("--auto-converge-initial 10", 50) == "slowed auto_converge.initial 10");  // libvirt wants the word with the figure
}

TEST_CASE("shutdown-mode: libvirt's words") {
  CHECK(shutdown_flags("").value() == 0u);
  CHECK(shutdown_flags("agent,acpi").value() == (VIR_DOMAIN_SHUTDOWN_GUEST_AGENT | VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN));
  CHECK(!shutdown_flags("poweroff").ok());
}
