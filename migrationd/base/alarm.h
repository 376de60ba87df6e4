// SPDX-License-Identifier: GPL-2.0-or-later
// The words of alarms and events that every room speaks: what kind, of what, how bad. The spelled words are an
// interface for scripts, in files and in the agents' environment: they only ever grow, none changes its meaning.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"

namespace migrationd {

/// What people must look at. The comment says when it ends by itself; "stays": a person says when it is over.
enum class AlarmKind {
  absent_without_proof,   ///< a node counts as absent though nothing proves it; it is linked again
  authentication_refused, ///< new keys or certificates can't be read; they can
  copy_dropped,           ///< a stop dropped a copy that somebody may have given us; it runs, here or elsewhere
  copy_not_dropped,       ///< a copy that nobody gave stays here; it is dropped
  dead_man_failed,        ///< an offer's dead-man can't be armed or disarmed; the next time it can
  definition_not_saved,   ///< a resource's file is not kept up; it is saved
  definition_not_shared,  ///< the other nodes keep an old definition; they are told the new one
  definition_unreadable,  ///< a resource was changed whose definition can't be read; the next order that has one
  domain_gone,            ///< it ended without having been told to; it runs again, here or elsewhere
  domain_unhealthy,       ///< it is held here and crashed or stands still; it runs, or was ended
  executes_unasked,       ///< somebody started it behind the daemon's back; stays
  fencing_failed,         ///< of a node; it succeeds, or the node is linked again
  hypervisor_away,        ///< it answers again
  internal_error,         ///< a part of the daemon ended; stays
  journal_not_written,    ///< of a domain; its record is written
  journal_record_refused, ///< a record can't be read; a daemon that begins finds none such
  lost_in_post_copy,      ///< it died before all of its memory was there; it runs again, here or elsewhere
  managed_save_removed,   ///< a boot passed over a managed save; stays
  message_too_large,      ///< a message to a node was not sent; stays
  nodes_unknown,          ///< the cluster's list of nodes can't be used; it can. Of a name in it: stays
  not_ended,              ///< a domain can't be ended; it is gone
  not_fetched,            ///< a stop's time is up while its memory is fetched in post-copy; it is gone from here
  not_reachable,          ///< the other nodes can't reach this one; a daemon that begins finds nothing against it
  other,                  ///< what has no kind of its own; stays
  resume_failed,          ///< a domain that is ours stands still; it runs, or is gone
  two_instances,          ///< it may have run on two nodes; stays
  unfenced_membership,    ///< the configuration believes the membership; it does not any more
};

enum class Severity {
  critical,  ///< an outage, or lost safety
  warning,
};

enum class EventKind {
  alarm_raised,
  alarm_cleared,
  alarm_acknowledged,
  action_begun,
  action_ended,
  migration_begun,
  migration_ended,
  hypervisor_away,
  hypervisor_back,
  link_up,
  link_down,
  notice,   ///< what the log says beside
  warning,
};

/// "domain-unhealthy" and the like.
const char* to_string(AlarmKind kind);
const char* to_string(Severity severity);
const char* to_string(EventKind kind);
std::optional<AlarmKind> alarm_kind(std::string_view word);
std::optional<Severity> severity_of(std::string_view word);
Severity severity_of(AlarmKind kind);

/// Whom an alarm or event concerns.
struct Subject {
  enum class What { daemon, node, domain };
  What what = What::daemon;
  std::string name;      ///< the node's or domain's; of the daemon none
  std::string uuid;      ///< a domain's
  std::string resource;  ///< a domain's, as far as it is one

  static Subject daemon() { return {}; }
  static Subject node(const NodeName& name) { return {What::node, name, "", ""}; }
  static Subject domain(const DomainUuid& uuid, const std::string& name, const std::string& resource = "") {
    return {What::domain, name, uuid.str(), resource};
  }
  /// Two of the same key are the same one, though a domain or resource is called otherwise meanwhile.
  std::string key() const;
  /// The name of a domain, as the log has it before a text that does not name it itself.
  std::string before_text() const { return what == What::domain ? (name.empty() ? uuid : name) : ""; }
};
const char* to_string(Subject::What what);
std::optional<Subject::What> subject_kind(std::string_view word);

/// Milliseconds since 1970, for people and files; nothing is decided by it, because it can be set.
struct WallTime {
  Milliseconds since_epoch{0};
  auto operator<=>(const WallTime&) const = default;
};

}  // namespace migrationd
