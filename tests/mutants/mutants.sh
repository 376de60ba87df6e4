# SPDX-License-Identifier: GPL-2.0-or-later
# The mutants: name, file, the sed script that breaks one rule, and the tests that must notice. A unit test is
# named by a part of its name; a run of the explorer with the rules (I1 to I7) any of which it may find broken.

all_mutants() {
  # The offer is not on disk before the stop succeeds.
  $1 offer-not-on-disk migrationd/handoff/handoff.cc \
    's/if (!same_on_disk(before_, s_)) journal/if (!same_on_disk(before_, s_) \&\& s_.phase != Phase::offered) journal/' \
    'unit handoff source: a stop that means an offer is on disk*' 'explore two-kill I2'
  # The record of an offer is only tried.
  $1 offer-best-effort migrationd/handoff/orders.cc \
    '/case Phase::held:/,/case Phase::offered:/s/offer(e.offer_for);/offer(e.offer_for); best_effort();/' \
    'unit handoff source: a stop that means an offer is on disk*' 'explore two-kill I2'
  $1 smaller-epoch-claims migrationd/handoff/holder.cc \
    's/if (has_it && e.epoch < s_.epoch)/if (has_it \&\& false)/' \
    'unit handoff source: a claim from before the last change of owner*'
  $1 smaller-epoch-wins migrationd/handoff/handoff.cc \
    's/ours_is_older = holder.epoch > s_.epoch/ours_is_older = holder.epoch < s_.epoch/' \
    'unit handoff rules: two holders: the one with the smaller epoch*'
  $1 smaller-epoch-taken migrationd/handoff/handoff.cc \
    's/if (holder.epoch > s_.epoch) s_.epoch = holder.epoch;/s_.epoch = holder.epoch;/' \
    'unit handoff rules: a note with a smaller epoch*'
  $1 smaller-attempt-served migrationd/handoff/holder.cc \
    '/void Stepper::on(const event::Claim/,/^}/s/if (e.attempt < last) return;/if (e.attempt.incarnation < last.incarnation) return;/' \
    'unit handoff source: a claim with a smaller attempt*'
  $1 stale-incarnation-served migrationd/handoff/holder.cc \
    '/void Stepper::on(const event::Claim/,/^}/s/if (e.attempt < last) return;/if (e.attempt.number < last.number) return;/' \
    'unit handoff source: a claim of a daemon*former incarnation*'
  $1 stale-answer-counts migrationd/handoff/claimer.cc \
    '/void Stepper::on(const event::Gone/,/^}/s/e.attempt != s_.own/e.attempt.number > s_.own.number/' \
    'unit handoff destination: an answer to another attempt proves nothing'
  $1 attempt-used-twice migrationd/handoff/claimer.cc \
    's/Attempt{s_.own.incarnation, s_.own.number + 1}/s_.own/' \
    'unit handoff destination: a start claims with a new attempt*'
  $1 boot-on-timeout migrationd/handoff/orders.cc \
    's/if (s_.phase == Phase::claim) withdraw(e.why);/if (s_.phase == Phase::claim) hold(s_.epoch.next(), Due::boot);/' \
    'unit handoff destination: fencing and farewell prove absence*' 'explore two-claims-cut I1|I3'
  $1 deadline-ignored migrationd/handoff/orders.cc \
    '/void Stepper::on(const event::Deadline/,/^}/s/stop_for_real(false);//' \
    'unit handoff source: at its deadline an offer is really stopped'
  $1 deadline-is-proof migrationd/handoff/orders.cc \
    '/void Stepper::on(const event::Deadline/,/^}/s/if (s_.phase != Phase::offered) return;/for (const NodeName\& n : s_.asked) s_.answers[n] = {Answer::Kind::proven, {}};\n&/' \
    'unit handoff destination: fencing and farewell prove absence*'
  $1 resumed-without-given migrationd/handoff/claimer.cc \
    '/void Stepper::settle_claim/,/^}/s/if (s_.invited) return;/if (here(Here::paused)) return hold(s_.epoch.next(), Due::resume);\n  &/' \
    'unit handoff destination: without given a complete copy is never resumed' 'explore two-claims-cut I1|I3'
  $1 given-though-it-runs-here migrationd/handoff/holder.cc \
    '/^    case JobEnd::runs_here:$/d; s/case JobEnd::migrated:/case JobEnd::runs_here: &/' \
    'unit handoff source: the job ended and it runs here*' 'explore two-claims-crash-cut I1|I3'
  $1 taken-back-with-the-job-running migrationd/handoff/orders.cc \
    's/^ *s_.doubt = "waits for the end of the migration to ".*/hold(s_.epoch.next(), Due::nothing);/' \
    'unit handoff source: our own start in mid-job*' 'explore two-claims-crash-cut I1|I3|I4'
  $1 unknown-is-absent migrationd/handoff/stepper.h \
    's/nothing_here() const { return here(Here::absent); }/nothing_here() const { return !here(Here::running) \&\& !here(Here::paused); }/' \
    'unit handoff source: gone is never said while the hypervisor is silent' 'explore two-silent I1|I2|I3|I4'
  $1 gone-without-a-newer-epoch migrationd/handoff/holder.cc \
    's/if (s_.epoch == before_.epoch) best_effort();/best_effort();/' \
    'unit handoff source: a larger epoch of a claimer*'
  $1 gone-needs-the-disk migrationd/handoff/holder.cc \
    's/if (s_.epoch == before_.epoch) best_effort();//' \
    'unit handoff source: gone is also said when the disk is full*'
  $1 epoch-of-a-claimer-ignored migrationd/handoff/holder.cc \
    's/if (e.epoch > s_.epoch) s_.epoch = e.epoch;//' \
    'unit handoff source: a larger epoch of a claimer*' 'explore three-ahead I1|I3'
  $1 noted-before-it-executes migrationd/handoff/holder.cc \
    's/if (s_.due == Due::nothing) act(action::SendNote/act(action::SendNote/' \
    'unit handoff source: no note before the copy executes*'
  $1 old-resume-counts migrationd/handoff/claimer.cc \
    's/if (s_.due == Due::resume \&\& !here(Here::running)) {/if (false) {/' \
    'unit handoff rules: the end of an old resume is not the end of this one'
  $1 old-gone-counts migrationd/handoff/claimer.cc \
    '/void Stepper::held_later_than_known/,/^}/s/if (s_.phase != Phase::claim.*/return;/' \
    'unit handoff destination: gone of a node that was given it meanwhile*' 'explore three-two-claims I1|I3'
  $1 farewell-outlives-a-fencing migrationd/handoff/claimer.cc \
    's/ask_anew(!left);/ask_anew(false);/' \
    'unit handoff destination: a farewell is looked at anew after a fencing*' 'explore three-left I1|I3'
  $1 boots-once-only migrationd/handoff/claimer.cc \
    's/if (silent.empty()) return true;/if (silent.empty() \&\& s_.epoch.value == 0) return true;/' \
    'unit handoff destination: who boots without*' 'explore two-claims-crash I7'
  $1 boot-not-waited-for migrationd/handoff/handoff.cc \
    's/if (nothing_here() && s_.due != Due::boot) ended();/if (nothing_here()) ended();/' \
    'unit handoff rules: a real stop during a boot*'
  $1 reinstalled-node-believed migrationd/handoff/claimer.cc \
    's/s_.noted.installation != answer.installation/false/' \
    'unit handoff rules: a reinstalled node*'
  $1 abort-in-post-copy migrationd/handoff/switch.cc \
    's/if (!s_.aborting && !s_.post_copy) act(/if (!s_.aborting) act(/' \
    'unit handoff post-copy: with the switch ordered nothing aborts the job*' 'explore two-post-copy-push I1'
  $1 switch-before-the-disk migrationd/handoff/switch.cc \
    '/on(const event::SwitchWanted/,/^}/s/must_be_on_disk();/best_effort();/' \
    'unit handoff post-copy: the switch is on disk before it is ordered*'
  $1 switch-of-an-aborted-job migrationd/handoff/switch.cc \
    's/if (s_.aborting) return;.*//' \
    'unit handoff post-copy: a job that was told to end does not switch'
  $1 remains-taken-for-paused migrationd/handoff/holder.cc \
    's/if (s_.post_copy && e.end == JobEnd::paused_here && !here(Here::paused)) {.*/if (false) {/' \
    'unit handoff post-copy: with the switch ordered? a domain that is said to be paused*'
  $1 let-run-before-the-disk migrationd/handoff/claimer.cc \
    '/in post-copy it is let run/{n;s/must_be_on_disk();//}' \
    'unit handoff post-copy: a copy that is given so is let run*'
  $1 needed-remains-dropped migrationd/handoff/switch.cc \
    's/here(Here::unknown) || (!nothing_here() && context_.fetching)/false/' \
    'unit handoff post-copy: it is acknowledged when it executes*' 'explore two-post-copy-crash I3'
  $1 offer-when-unsure migrationd/intent/intent.cc \
    's/^\(Decision unsure(const std::string& why) {\) return real_stop(\(.*\)); }$/\1 return {Intent::offer, {}, \2}; }/' \
    'unit intent: a destination that is not ready*'
  $1 push-without-readiness migrationd/intent/intent.cc \
    's/if (ready || (decision.intent/if (true || (decision.intent/' \
    'unit intent: a destination that is not ready*'

  # --- the code that does it ---
  $1 no-fsync-of-the-record migrationd/io/file.cc \
    's/if (::fsync(fd.get()) != 0) return fail("fsync");//' \
    'unit journal-disk: a record and its name are flushed*' 'unit journal-disk: a write for --direct*'
  $1 no-fsync-of-the-name migrationd/io/file.cc \
    's/if (::fsync(directory.get()) != 0)/if (false)/' \
    'unit journal-disk: a record and its name are flushed*' 'unit journal-disk: a write for --direct*'
  $1 failed-fsync-is-success migrationd/io/file.cc \
    's/if (::fsync(fd.get()) != 0) return fail("fsync");/(void)::fsync(fd.get());/' \
    'unit journal-disk: a record that can?t be flushed*'
  $1 answer-before-the-disk migrationd/io/journal-files.cc \
    's/^\( *\)Outcome outcome = job.work(finish);/\1job.report(Done{}), std::this_thread::sleep_for(Milliseconds{200});\n&/' \
    'unit journal-disk: a record and its name are flushed*'
  $1 failed-listing-is-empty migrationd/io/libvirt-look.cc \
    's/bool complete = count >= 0;/bool complete = true;/' \
    'unit libvirt-listing: half of a listing that fails*'
  $1 half-a-listing-is-enough migrationd/io/libvirt-look.cc \
    's/^\( *\)!Found::collect(connection, VIR_CONNECT_LIST_DOMAINS_ACTIVE, found.uuids))/\1(Found::collect(connection, VIR_CONNECT_LIST_DOMAINS_ACTIVE, found.uuids), false))/' \
    'unit libvirt-listing: half of a listing that fails*'
  $1 not-listed-is-absent migrationd/io/domain-registry.cc \
    '/DomainRegistry::listed(/,/^}/s/if (entry.listed) to_read.insert(uuid);/if (uuids.contains(uuid)) to_read.insert(uuid); else entries_[uuid].listed = false, entries_[uuid].end_seen = true, entries_[uuid].alive = nullptr;/' \
    'unit libvirt-listing: a known domain that a listing leaves out*'
  $1 emulators-not-looked-for migrationd/io/libvirt-look.cc \
    's/if (!found.value().uuids.contains(uuid)) registry_.stray(.*/;/' \
    'unit libvirt-listing: a living emulator that the listing does not name*'
  $1 complete-before-it-is-read migrationd/io/libvirt-look.cc \
    's/std::set<DomainUuid> to_read = registry_.listed(found.value().uuids);/&\n        registry_.complete(boot_time());/' \
    'unit libvirt-listing: before each domain of the listing is read*'
  $1 copy-resumes-by-itself migrationd/io/migrate-call.cc \
    's/ | VIR_MIGRATE_PAUSED//' \
    'unit libvirt-job: the copy is ordered to arrive paused*'
  $1 copy-runs-in-doubt migrationd/io/arrival-guard.cc \
    's/if (!gate.wait(PostCopyGate::Word::run, for_the_disk, stop_)) call.flags |= VIR_MIGRATE_PAUSED;//' \
    'unit arrival guard: where post-copy is possible*'
  $1 given-not-waited-for migrationd/io/departure-guard.cc \
    's/ && gate_->wait(Word::run, for_the_word, stop_)//' \
    'unit departure guard: libvirt?s finish asks for a running copy*'
  $1 copy-without-its-mark migrationd/io/migrate-call.cc \
    's/return with_copy_mark(xml.get(), !paused_by_somebody);/return std::string(xml.get());/' \
    'unit libvirt-job: the copy is ordered to arrive paused*'
  $1 lost-answer-resumes-the-source migrationd/io/migration-end.cc \
    's/^ *bool moved = /  if (facts.call == Call::failed) return MigrationEnd{JobEnd::paused_here, "the call failed"};\n&/' \
    'unit libvirt-job: a lost answer ends nothing*'
  $1 unreadable-source-resumes migrationd/io/migration-end.cc \
    's/case Here::unknown: return {};/case Here::unknown: return MigrationEnd{JobEnd::paused_here, ""};/' \
    'unit libvirt-job: a lost answer ends nothing*'
  $1 death-of-the-source-not-seen migrationd/io/libvirt-migration.cc \
    '/void MigrationJob::order(/,/^}/s/watch_emulator();//' \
    'unit libvirt-job: after the switchover the emulator?s death*'
  $1 first-thread-is-all migrationd/io/emulator.cc \
    's/ && has_program(entry->d_name)) return false;/ \&\& false) return false;/' \
    'unit emulator exit: a process whose first thread has ended*'
  $1 old-fencing-is-proof migrationd/io/fencing-memory.cc \
    's/ || seen->second.first <= since) continue/) continue/' \
    'unit fencing: what was in the history before the last word*'
  $1 first-look-is-proof migrationd/io/fencing-memory.cc \
    's/if (!seen->second.absent) {/if (false) {/; s/\*seen->second.absent >= since/true/' \
    'unit fencing: what the first look of all finds*'
  $1 older-definition-kept migrationd/engine/definition-keeper.cc \
    's/return kept.epoch < said.epoch;/return true;/' \
    'unit definition keeper: newer is the larger epoch*'
  $1 another-domains-definition-kept migrationd/io/kept-definitions.cc \
    's/if (xml.value().uuid != definition.uuid)/if (false)/' \
    'unit kept definitions: a definition is of the domain*'
  $1 broken-file-replaced migrationd/io/order-intake.cc \
    's/order.no_file = no_such_file(parameters.config);/order.no_file = true;/' \
    'unit order-intake: a file that is there and can?t be used*'
  $1 claim-used-again migrationd/io/carrier.cc \
    's/carry.attempt.incarnation != settings_.incarnation/false/' \
    'unit carrier: a ticket that was used stays used when the daemon*'
  $1 new-disk-taken migrationd/io/definition-difference.cc \
    's/if (!known.contains(rest) \&\& !plain(rest))/if (false)/' \
    'unit saved-definition: of what another node sent only*'
  $1 definition-of-another-domain migrationd/io/saved-definition.cc \
    's/if (one->uuid != uuid)/if (false)/' \
    'unit saved-definition: nothing is written that is not surely the same domain?s*'
  $1 half-a-disk migrationd/io/copy-on-write.cc \
    's/const std::string temporary = disk.image + ".new";/const std::string temporary = disk.image;/' \
    'unit copy-on-write: what fails leaves the old disk*'
  $1 our-own-stop-reported migrationd/engine/failures.cc \
    's/return !ordered(runner.record().uuid);/return true;/' \
    'unit failures: a domain that ends while an order about it*'
  $1 reported-twice migrationd/engine/failures.cc \
    's/if (told->second.under_way || .*) return;/if (false) return;/' \
    'unit failures: a held domain that ends is reported at once*'
  $1 stop-before-the-report migrationd/engine/stops.cc \
    's/if (wait_until_told(pending) || /if (/' \
    'unit failures: a stop is answered after the report*'
  $1 not-running-before-it-is-kept-off migrationd/engine/failures.cc \
    '/Engine::answer_monitor/,/^}/s/if (found == tellings_.end()) return reply(monitor(order));/return reply(monitor(order));/' \
    'unit failures: on_poweroff=stay-off keeps a guest off*'
  $1 unmanaged-reported migrationd/io/pacemaker-failure.cc \
    's/if (!is("managed", "true"))/if (false)/' \
    'unit failures: Pacemaker is told only of what it believes*'
  $1 kill-is-a-poweroff migrationd/io/domain-endings.cc \
    's/detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST ? Sign::signalled : //' \
    'unit endings: a killed emulator and a panic are a crash*'
}
