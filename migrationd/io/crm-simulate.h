// SPDX-License-Identifier: GPL-2.0-or-later
// Asks Pacemaker's scheduler what a stop means: takes the CIB (the cluster's, or a saved file), has crm_simulate
// plan the next transition from it, and lets the room `intent` decide. Nothing of the cluster is changed.
//
// crm_simulate is run as `-x CIB -R -G GRAPH -I INPUT -O OUTPUT --output-as=xml`: -R plans only (with -S it goes on to act the
// transition out, which we don't need and which aborts on some CIBs), -O keeps its working copy out of
// /var/lib/pacemaker, -I is the CIB after its schema was upgraded. The live CIB is fetched with `cibadmin --query --local`
// instead of --live-check, because a pending stop must be undone in it first (see scheduler-graph.h). Files lie in a fresh
// directory (0700) under the one given and are removed with it. About 60 ms: cibadmin, crm_simulate and,
// unless the answer is already a stop, crm_resource --digests to see whether the definition changed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"
#include "migrationd/intent/intent.h"

namespace migrationd::io {

struct SchedulerQuestion {
  std::string resource;            ///< a primitive, also inside a group; a clone instance's number is ignored
  NodeName node;
  std::string cib_file;            ///< a saved CIB; empty: the live one, through the local CIB daemon
  std::string directory;           ///< where the working directory is made: the runtime directory, or /tmp offline
  Milliseconds deadline{10000};    ///< for all of it
  /// How often the live CIB is asked again, 300 ms apart, while the plan lacks the stop that is under way.
  int repeats = 3;
};

/// What a stop of the resource on the node means, the destination taken for ready. An Error when it can't be told
/// (the daemon takes it for intent::unsure; an administrator wants to see it).
boost::asio::awaitable<Result<intent::Decision>> explain_stop(SchedulerQuestion question);

/// The same without a loop of one's own: runs until it is answered.
Result<intent::Decision> explain_stop_now(SchedulerQuestion question);

/// The same with a callback, on `executor`, exactly once. Errors have become intent::unsure.
void explain_stop(boost::asio::any_io_executor executor, SchedulerQuestion question,
                  std::function<void(intent::Decision)> done);

/// What would become of a domain when its node goes to standby.
struct StandbyMove {
  std::string resource;
  intent::Decision decision;  ///< of its stop
  bool migrated = false;      ///< Pacemaker plans a migrate_to for it, before that stop
};

/// What `crm_standby` of question.node would do with each resource of this project's agent that is active there, in the order of
/// their names; question.resource is not used. Nothing of the cluster is changed. Runs until it is answered.
Result<std::vector<StandbyMove>> explain_standby_now(SchedulerQuestion question);

/// What the scheduler would do now with a CIB, given as text.
struct Outlook {
  intent::Plan plan;
  std::string cib;      ///< the same, after its schema was upgraded: for read_facts
  std::string summary;  ///< crm_simulate's
};

/// Nothing of the cluster is asked or changed. `directory` and `deadline` as in SchedulerQuestion. Runs until it is answered.
Result<Outlook> outlook_now(const std::string& cib, const std::string& directory, Milliseconds deadline);

/// Judges a standing offer again. On an error nothing is judged: the offer stands until its deadline.
void judge_offer(boost::asio::any_io_executor executor, SchedulerQuestion question,
                 std::function<void(Result<intent::Judged>)> done);

}  // namespace migrationd::io
