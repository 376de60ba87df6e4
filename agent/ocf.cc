// SPDX-License-Identifier: GPL-2.0-or-later
// The OCF face.
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <thread>

#include "agent/faces.h"
#include "agent/monitor-scripts.h"
#include "config.h"
#include "migrationd/resource/duration.h"
#include "migrationd/resource/meta-data.h"
#include "migrationd/resource/parameters.h"

namespace migrationd::agent {

namespace {

using wire::OcfCode;

constexpr std::string_view reskey = "OCF_RESKEY_";
constexpr Milliseconds look_again{1000};

int refuse(OcfCode code, std::string_view reason) {
  if (!reason.empty()) complain("ocf-exit-reason:", reason);
  return static_cast<int>(code);
}

bool print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool is_daemons(std::string_view action) {
  for (const char* one : {"start", "stop", "monitor", "status", "migrate_to", "migrate_from", "validate-all", "reload-agent"})
    if (action == one) return true;
  return false;
}

// The action's time in milliseconds as Pacemaker passes it, else what the meta-data advertises.
Milliseconds action_time(const std::map<std::string, std::string>& parameters, const std::string& action) {
  const auto it = parameters.find("CRM_meta_timeout");
  long long milliseconds = 0;
  if (it != parameters.end()) {
    const auto [end, status] = std::from_chars(it->second.data(), it->second.data() + it->second.size(), milliseconds);
    if (status == std::errc() && milliseconds > 0 && milliseconds < 7LL * 24 * 3'600'000) return Milliseconds(milliseconds);
  }
  return resource::advertised_timeout(action);
}

}  // namespace

int run_ocf(const Installation& installation, const Call& call, const Environment& environment, std::string_view program) {
  const auto begin = std::chrono::steady_clock::now();
  if (call.action == "meta-data") return print(resource::meta_data(PACKAGE_VERSION)) ? 0 : 1;
  if (call.action == "usage" || call.action == "help") return print(usage(Face::ocf, program) + "\n") ? 0 : 1;
  if (!is_daemons(call.action)) {
    complain("", usage(Face::ocf, program));
    return refuse(OcfCode::unimplemented, "the action '" + call.action.substr(0, 64) + "' is not implemented");
  }
  if (const auto major = environment.find("OCF_RA_VERSION_MAJOR"); major != environment.end() && major->second != "1")
    return refuse(OcfCode::error, "version " + major->second + " of the OCF resource agent API is unknown; this agent speaks version 1");

  wire::LocalRequest request{.operation = call.action, .face = "ocf", .resource = call.resource};
  for (const auto& [name, value] : environment)
    if (name.starts_with(reskey)) request.parameters.emplace(name.substr(reskey.size()), value);

  if (call.action == "validate-all") {
    // What no node could do is told without asking the daemon; level 0 is nothing but that (OCF 1.1, "Check Levels").
    if (auto parsed = resource::parse(request.parameters); !parsed) return refuse(OcfCode::not_configured, parsed.error());
    if (const auto level = environment.find("OCF_CHECK_LEVEL"); level != environment.end() && level->second == "0") return 0;
  }
  // At a timeout Pacemaker kills without a word, so the reason has to be out a little earlier.
  const Milliseconds time = action_time(request.parameters, call.action);
  const Milliseconds margin = std::clamp(time / 20, Milliseconds(50), Milliseconds(1000));
  const Deadline deadline = begin + time - margin;
  const auto given = request.parameters.find("monitor_scripts");
  const std::string scripts = given == request.parameters.end() ? "" : given->second;
  const bool looks = call.action == "monitor" || call.action == "status";
  const bool checked = !scripts.empty() && (looks || call.action == "start");
  const Answer answer = get_answer(installation, std::move(request), deadline, !checked);
  if (!checked || answer.code != OcfCode::success) return refuse(answer.code, answer.reason);
  // As with ocf:heartbeat:VirtualDomain a start ends when its services are up, which takes a guest a while.
  for (std::string failed;; std::this_thread::sleep_for(look_again)) {
    failed = run_monitor_scripts(scripts, deadline);
    if (failed.empty()) return 0;
    if (looks || std::chrono::steady_clock::now() + look_again >= deadline) return refuse(OcfCode::error, failed);
  }
}

}  // namespace migrationd::agent
