// SPDX-License-Identifier: GPL-2.0-or-later
// The face of init scripts and haresources.
#include <unistd.h>

#include <string>

#include "agent/ancestry.h"
#include "agent/faces.h"
#include "agent/resource-file.h"

namespace migrationd::agent {

namespace {

using wire::OcfCode;

// Nobody above bounds these actions, so the daemon does (start_timeout, the stop's own times); these are only
// so that a script never hangs for good.
constexpr Milliseconds status_time{20'000};
constexpr Milliseconds action_time{120 * 60'000};

Deadline in(Milliseconds time) { return std::chrono::steady_clock::now() + time; }

int status(const std::string& name, const Answer& answer) {
  if (answer.code == OcfCode::success) return ::write(STDOUT_FILENO, "running\n", 8) == 8 ? 0 : 4;
  if (answer.code == OcfCode::not_running) return ::write(STDOUT_FILENO, "stopped\n", 8) == 8 ? 3 : 4;
  complain(name + ": status unknown: ", answer.reason);
  return 4;
}

}  // namespace

int run_lsb(const Installation& installation, const Call& call, std::string_view program) {
  const std::string& name = call.resource;
  const bool is_status = call.action == "status";
  const auto wrong = [&](OcfCode code, const std::string& why) {
    complain(name + ": ", why);
    return is_status ? 4 : static_cast<int>(code);
  };
  if (!is_status && call.action != "start" && call.action != "stop" && call.action != "restart" && call.action != "force-reload")
    return wrong(OcfCode::unimplemented, "the action '" + call.action.substr(0, 64) + "' is not implemented; " + usage(Face::lsb, program));
  ResourceFile file = read_resource_file(installation.resources, name);
  // What runs must be able to end: a stop goes on with what can be read, and the resource's name tells the rest.
  if (call.action == "stop") drop_what_cannot_be_sent(file);
  if (!file.complaint.empty()) {
    if (call.action != "stop") return wrong(OcfCode::not_configured, file.complaint);
    complain(name + ": ", file.complaint);
  }

  wire::LocalRequest request{.face = "lsb", .resource = name, .parameters = std::move(file.parameters)};
  const auto ask = [&](const char* operation, Milliseconds time) {
    request.operation = operation;
    return get_answer(installation, request, in(time), false);
  };
  if (is_status) return status(name, ask("status", status_time));

  const std::vector<Arguments> above = ancestors();
  request.cause = cause_of_call(above);
  if (std::string dead = dead_node(above); !dead.empty() && call.action == "start")
    request.parameters["CRM_meta_heartbeat_dead_node"] = std::move(dead);
  Answer answer;
  if (call.action == "restart") {
    answer = ask("stop", action_time);
    if (answer.code == OcfCode::success) answer = ask("start", action_time);
  } else {
    answer = ask(call.action == "force-reload" ? "reload-agent" : call.action.c_str(), action_time);
  }
  if (answer.code != OcfCode::success) complain(name + ": " + call.action + " failed: ", answer.reason);
  return static_cast<int>(answer.code);
}

}  // namespace migrationd::agent
