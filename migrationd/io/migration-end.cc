// SPDX-License-Identifier: GPL-2.0-or-later
// See migration-end.h.
#include "migrationd/io/migration-end.h"

namespace migrationd::io {

using engine::MigrationEnd;
using handoff::Here;
using handoff::JobEnd;

namespace {

std::string because(const JobFacts& facts, const std::string& text) {
  return facts.call_error.empty() ? text : facts.call_error + "; " + text;
}

}  // namespace

std::optional<MigrationEnd> judge_job(const JobFacts& facts) {
  using Call = JobFacts::Call;
  bool moved = facts.switchover_seen || facts.stopped_migrated || facts.call == Call::succeeded;
  if (facts.has_emulator && facts.emulator_dead) {
    if (moved) return MigrationEnd{JobEnd::migrated, "the emulator is dead after the switchover"};
    if (facts.waited_after_death)
      return MigrationEnd{JobEnd::vanished, because(facts, "the emulator died and no switchover was seen")};
    return {};
  }
  if (!facts.has_emulator) {
    // Without a process to watch only libvirt's word is left.
    if (facts.call == Call::succeeded || facts.stopped_migrated)
      return MigrationEnd{JobEnd::migrated, "libvirt says that the domain has migrated"};
  }
  if (facts.call == Call::running || facts.call == Call::succeeded || !facts.view || facts.view->job) return {};
  switch (facts.view->here) {
    case Here::running: return MigrationEnd{JobEnd::runs_here, because(facts, "the job ended and the domain runs here")};
    case Here::paused: return MigrationEnd{JobEnd::paused_here, because(facts, "the job ended and the domain is paused here")};
    case Here::absent:
      if (facts.has_emulator) return {};  // its pidfd decides, not the listing
      return MigrationEnd{JobEnd::vanished, because(facts, "the domain is gone and no switchover was seen")};
    case Here::incoming:
    case Here::remains:  // it executes elsewhere: the emulator's death ends the job
    case Here::unknown: return {};
  }
  return {};
}

}  // namespace migrationd::io
