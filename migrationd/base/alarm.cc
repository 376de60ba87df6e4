// SPDX-License-Identifier: GPL-2.0-or-later
#include "migrationd/base/alarm.h"

#include <array>

namespace migrationd {

namespace {

constexpr std::array all_kinds{
    AlarmKind::absent_without_proof, AlarmKind::authentication_refused, AlarmKind::copy_dropped, AlarmKind::copy_not_dropped,
    AlarmKind::dead_man_failed,      AlarmKind::definition_not_saved,   AlarmKind::definition_not_shared,
    AlarmKind::definition_unreadable, AlarmKind::domain_gone,           AlarmKind::domain_unhealthy,
    AlarmKind::executes_unasked,     AlarmKind::fencing_failed,         AlarmKind::hypervisor_away,
    AlarmKind::internal_error,       AlarmKind::journal_not_written,    AlarmKind::journal_record_refused,
    AlarmKind::lost_in_post_copy,    AlarmKind::managed_save_removed,   AlarmKind::message_too_large,
    AlarmKind::nodes_unknown,        AlarmKind::not_ended,              AlarmKind::not_fetched,
    AlarmKind::not_reachable,        AlarmKind::other,                  AlarmKind::resume_failed,
    AlarmKind::two_instances,        AlarmKind::unfenced_membership,
};

template <class All>
auto spelled(const All& all, std::string_view word) -> std::optional<typename All::value_type> {
  for (const auto one : all)
    if (word == to_string(one)) return one;
  return std::nullopt;
}

}  // namespace

const char* to_string(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::absent_without_proof: return "absent-without-proof";
    case AlarmKind::authentication_refused: return "authentication-refused";
    case AlarmKind::copy_dropped: return "copy-dropped";
    case AlarmKind::copy_not_dropped: return "copy-not-dropped";
    case AlarmKind::dead_man_failed: return "dead-man-failed";
    case AlarmKind::definition_not_saved: return "definition-not-saved";
    case AlarmKind::definition_not_shared: return "definition-not-shared";
    case AlarmKind::definition_unreadable: return "definition-unreadable";
    case AlarmKind::domain_gone: return "domain-gone";
    case AlarmKind::domain_unhealthy: return "domain-unhealthy";
    case AlarmKind::executes_unasked: return "executes-unasked";
    case AlarmKind::fencing_failed: return "fencing-failed";
    case AlarmKind::hypervisor_away: return "hypervisor-away";
    case AlarmKind::internal_error: return "internal-error";
    case AlarmKind::journal_not_written: return "journal-not-written";
    case AlarmKind::journal_record_refused: return "journal-record-refused";
    case AlarmKind::lost_in_post_copy: return "lost-in-post-copy";
    case AlarmKind::managed_save_removed: return "managed-save-removed";
    case AlarmKind::message_too_large: return "message-too-large";
    case AlarmKind::nodes_unknown: return "nodes-unknown";
    case AlarmKind::not_ended: return "not-ended";
    case AlarmKind::not_fetched: return "not-fetched";
    case AlarmKind::not_reachable: return "not-reachable";
    case AlarmKind::other: return "other";
    case AlarmKind::resume_failed: return "resume-failed";
    case AlarmKind::two_instances: return "two-instances";
    case AlarmKind::unfenced_membership: return "unfenced-membership";
  }
  return "other";
}

Severity severity_of(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::absent_without_proof:
    case AlarmKind::copy_dropped:
    case AlarmKind::dead_man_failed:
    case AlarmKind::domain_gone:
    case AlarmKind::domain_unhealthy:
    case AlarmKind::executes_unasked:
    case AlarmKind::fencing_failed:
    case AlarmKind::hypervisor_away:
    case AlarmKind::internal_error:
    case AlarmKind::journal_not_written:
    case AlarmKind::journal_record_refused:
    case AlarmKind::lost_in_post_copy:
    case AlarmKind::nodes_unknown:
    case AlarmKind::not_ended:
    case AlarmKind::not_fetched:
    case AlarmKind::other:
    case AlarmKind::resume_failed:
    case AlarmKind::two_instances:
      return Severity::critical;
    case AlarmKind::authentication_refused:
    case AlarmKind::copy_not_dropped:
    case AlarmKind::definition_not_saved:
    case AlarmKind::definition_not_shared:
    case AlarmKind::definition_unreadable:
    case AlarmKind::managed_save_removed:
    case AlarmKind::message_too_large:
    case AlarmKind::not_reachable:
    case AlarmKind::unfenced_membership:
      return Severity::warning;
  }
  return Severity::critical;
}

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::critical: return "critical";
    case Severity::warning: return "warning";
  }
  return "critical";
}

const char* to_string(EventKind kind) {
  switch (kind) {
    case EventKind::alarm_raised: return "alarm-raised";
    case EventKind::alarm_cleared: return "alarm-cleared";
    case EventKind::alarm_acknowledged: return "alarm-acknowledged";
    case EventKind::action_begun: return "action-begun";
    case EventKind::action_ended: return "action-ended";
    case EventKind::migration_begun: return "migration-begun";
    case EventKind::migration_ended: return "migration-ended";
    case EventKind::hypervisor_away: return "hypervisor-away";
    case EventKind::hypervisor_back: return "hypervisor-back";
    case EventKind::link_up: return "link-up";
    case EventKind::link_down: return "link-down";
    case EventKind::notice: return "notice";
    case EventKind::warning: return "warning";
  }
  return "notice";
}

const char* to_string(Subject::What what) {
  switch (what) {
    case Subject::What::daemon: return "daemon";
    case Subject::What::node: return "node";
    case Subject::What::domain: return "domain";
  }
  return "daemon";
}

std::optional<AlarmKind> alarm_kind(std::string_view word) { return spelled(all_kinds, word); }
std::optional<Severity> severity_of(std::string_view word) {
  return spelled(std::array{Severity::critical, Severity::warning}, word);
}
std::optional<Subject::What> subject_kind(std::string_view word) {
  return spelled(std::array{Subject::What::daemon, Subject::What::node, Subject::What::domain}, word);
}

std::string Subject::key() const {
  return std::string(to_string(what)) + ":" + (what == What::domain && !uuid.empty() ? uuid : name);
}

}  // namespace migrationd
