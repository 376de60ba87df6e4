// SPDX-License-Identifier: GPL-2.0-or-later
// The face of AMF (OpenSAF): the CLC-CLI commands of a component that knows nothing of AMF (SAI-AIS-AMF-B.04.01, "Component
// Life Cycle Management Interface"). What AMF wants it says only in words; so the daemon hears what it hears of an init script.
#include <algorithm>
#include <string>

#include "agent/amf-monitor.h"
#include "agent/faces.h"
#include "agent/resource-file.h"
#include "migrationd/resource/duration.h"

namespace migrationd::agent {

namespace {

using wire::OcfCode;

/// amfnd does not tell its timeouts (saAmfCtDefClcCliTimeout and the like), and kills. The daemon bounds a start by
/// start_timeout and a stop by its own times; this is only so that a command never hangs for good.
constexpr Milliseconds command_time{120 * 60'000};
constexpr Milliseconds shortest_interval{100};

/// Another attempt on this node can't help: OCF's hard errors. amfnd goes by this status alone (AVND_COMP_INST_EXIT_CODE_NO_RETRY).
constexpr int no_more_attempts = 200;

bool is_hard(OcfCode code) {
  switch (code) {
    case OcfCode::success:
    case OcfCode::error:
    case OcfCode::not_running: return false;
    case OcfCode::bad_arguments:
    case OcfCode::unimplemented:
    case OcfCode::no_permission:
    case OcfCode::not_installed:
    case OcfCode::not_configured: return true;
  }
  return false;
}

const std::string* find(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() || found->second.empty() ? nullptr : &found->second;
}

/// am_start's settings, which come with the component (saAmfCompCmdEnv).
Result<Watch> watch_of(const std::string& component, const Environment& environment) {
  Watch watch{.component = component};
  if (const std::string* interval = find(environment, "MIGRATIOND_AMF_INTERVAL")) {
    const Result<Milliseconds> parsed = resource::parse_duration(*interval);
    if (!parsed) return Error{"MIGRATIOND_AMF_INTERVAL: " + parsed.error()};
    watch.interval = std::max(parsed.value(), shortest_interval);
  }
  if (const std::string* patience = find(environment, "MIGRATIOND_AMF_PATIENCE")) {
    const Result<Milliseconds> parsed = resource::parse_duration(*patience);
    if (!parsed) return Error{"MIGRATIOND_AMF_PATIENCE: " + parsed.error()};
    watch.patience = parsed.value();
  }
  if (const std::string* report = find(environment, "MIGRATIOND_AMF_REPORT")) {
    if (report->front() != '/') return Error{"MIGRATIOND_AMF_REPORT is no path from the root: '" + *report + "'"};
    watch.report = *report;
  }
  if (const std::string* recovery = find(environment, "MIGRATIOND_AMF_RECOVERY")) {
    constexpr const char* known[] = {"norec",        "comprestart",  "compfailover", "nodeswitchover",  "nodefailover",
                                     "nodefailfast", "clusterreset", "apprestart",   "containerrestart"};
    if (std::find(std::begin(known), std::end(known), *recovery) == std::end(known))
      return Error{"MIGRATIOND_AMF_RECOVERY: '" + *recovery + "' is none of amfpm's recoveries"};
    watch.recovery = *recovery;
    if (watch.report.empty() && (watch.recovery == "apprestart" || watch.recovery == "containerrestart"))
      return Error{"MIGRATIOND_AMF_RECOVERY: AMF does not take '" + *recovery + "' from amfpm; name a program in MIGRATIOND_AMF_REPORT that reports it"};
  }
  return watch;
}

}  // namespace

int amf_refusal(std::string_view action) { return action == "instantiate" ? no_more_attempts : static_cast<int>(OcfCode::bad_arguments); }

int run_amf(const Installation& installation, const Call& call, const Environment& environment, std::string_view program) {
  const std::string& name = call.resource;
  const auto fail = [&](int status, const std::string& why) {
    complain(name + ": " + call.action.substr(0, 64) + " failed: ", why);
    return status;
  };
  const bool starts = call.action == "instantiate", stops = call.action == "terminate", cleans = call.action == "cleanup";
  const bool watches = call.action == "am_start";
  if (!starts && !stops && !cleans && !watches && call.action != "am_stop")
    return fail(static_cast<int>(OcfCode::unimplemented), "it is not implemented; " + usage(Face::amf, program));

  if (call.action == "am_stop" || watches) {
    Result<Watch> watch = watch_of(call.component, environment);
    if (!watch && watches) return fail(1, watch.error());
    if (!watches) {
      // Settings that can't be used leave the way of the report open; then it is amfpm's, which is told once too often.
      const Outcome ended = end_monitor(installation, name, watch ? watch.value() : Watch{.component = call.component});
      return ended ? 0 : fail(1, ended.error());
    }
    ResourceFile file = read_resource_file(installation.resources, name);
    if (!file.complaint.empty()) return fail(1, file.complaint);
    const wire::LocalRequest request{.operation = "monitor", .face = "lsb", .resource = name, .parameters = std::move(file.parameters)};
    const Outcome started = start_monitor(installation, request, watch.value());
    return started ? 0 : fail(1, started.error());
  }

  ResourceFile file = read_resource_file(installation.resources, name);
  // What runs must be able to end, as with an init script.
  if (!starts) drop_what_cannot_be_sent(file);
  if (!file.complaint.empty()) {
    if (starts) return fail(no_more_attempts, file.complaint);
    complain(name + ": ", file.complaint);
  }
  if (cleans) {
    // AMF cleans up what it found faulty or could not terminate, and may take the node for faulty when that fails, too. So
    // nothing may be left of it, soon: the time that a guest takes to shut down is not known to be there.
    file.parameters["handoff"] = "off";
    file.parameters["force_stop"] = "yes";
  }
  const wire::LocalRequest request{.operation = starts ? "start" : "stop", .face = "lsb", .resource = name,
                                   .parameters = std::move(file.parameters), .cause = wire::HeartbeatCause::by_hand};
  const Answer answer = get_answer(installation, request, std::chrono::steady_clock::now() + command_time, false);
  if (answer.code == OcfCode::success) return 0;
  return fail(starts && is_hard(answer.code) ? no_more_attempts : 1, answer.reason);
}

}  // namespace migrationd::agent
