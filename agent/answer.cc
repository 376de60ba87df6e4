// SPDX-License-Identifier: GPL-2.0-or-later
// Gets an action done by the daemon, or directly.
#include "agent/answer.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "migrationd/io/ipc-client.h"

namespace migrationd::agent {

namespace {

using io::IpcClient;
using Trouble = IpcClient::Trouble;

/// What a daemon that died or is being upgraded needs to be back, with systemd's own delay.
constexpr Milliseconds restart_time{5000};
constexpr Milliseconds look_again{100};

IpcClient::Or<wire::LocalReply> ask_daemon(wire::LocalRequest& request, Deadline deadline) {
  auto client = IpcClient::connect(deadline);
  if (auto* failure = std::get_if<IpcClient::Failure>(&client)) return std::move(*failure);
  if (request.face != "lsb") request.timeout = time_until(deadline);  // an init script's caller sets no limit, so the daemon does
  return std::get<0>(client)->ask(request, deadline);
}

// The actions that libvirt and the emulator alone can answer, in --direct's words.
const char* direct_action(const std::string& operation) {
  if (operation == "monitor" || operation == "status") return "monitor";
  if (operation == "stop") return "stop";
  if (operation == "validate-all") return "validate-all";
  return nullptr;
}

// Whether a daemon that is away is waited for: without it a stop would be a real one, in the middle of a move, too, and
// a start or a move would fail. What only looks needs no daemon.
bool waits_for_daemon(const std::string& operation) {
  return operation == "start" || operation == "stop" || operation == "migrate_to" || operation == "migrate_from";
}

// What --direct reads; under OCF it is all there already.
void set_environment(const wire::LocalRequest& request) {
  ::setenv("OCF_RESOURCE_INSTANCE", request.resource.c_str(), 1);
  ::setenv("MIGRATIOND_FACE", request.face.c_str(), 1);
  for (const auto& [name, value] : request.parameters) ::setenv(("OCF_RESKEY_" + name).c_str(), value.c_str(), 1);
}

int exec_direct(const Installation& installation, const char* action) {
  ::execl(installation.daemon.c_str(), installation.daemon.c_str(), "--direct", action, static_cast<char*>(nullptr));
  return errno;
}

Answer no_direct(const Installation& installation, const std::string& why, int error) {
  const std::string instead = installation.daemon + " can't be run";
  return {wire::OcfCode::error, (why.empty() ? instead : why + ", and " + instead + " in its place") + ": " + std::strerror(error)};
}

// For the faces that have to translate the code: waits for --direct, as long as there's time.
Answer run_direct(const Installation& installation, const std::string& why, const char* action, Deadline deadline) {
  const pid_t child = ::fork();
  if (child < 0) return no_direct(installation, why, errno);
  if (child == 0) {
    exec_direct(installation, action);
    ::_exit(127);
  }
  int status = 0;
  if (!ended_by(deadline, child, status))
    return {wire::OcfCode::error, "migrationd isn't running on this node, and doing it without took too long"};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return no_direct(installation, why, ENOENT);
  if (WIFEXITED(status) && WEXITSTATUS(status) <= static_cast<int>(wire::OcfCode::not_running))
    return {static_cast<wire::OcfCode>(WEXITSTATUS(status)), {}};
  return {wire::OcfCode::error, installation.daemon + " --direct ended abnormally"};
}

Answer without_daemon(const Installation& installation, const wire::LocalRequest& request, const std::string& why, Deadline deadline,
                      bool replace) {
  const char* action = direct_action(request.operation);
  if (!action)
    return {wire::OcfCode::error, why + "; without it nothing proves that the domain doesn't run on another node, so " +
                                      request.operation + " is refused; start the service migrationd"};
  set_environment(request);
  if (!replace) return run_direct(installation, why, action, deadline);
  return no_direct(installation, why, exec_direct(installation, action));
}

}  // namespace

Answer get_answer(const Installation& installation, wire::LocalRequest request, Deadline deadline, bool replace) {
  // It looks at the domain's disks, and could hang with their storage; the daemon must not.
  if (request.operation == "validate-all") return without_daemon(installation, request, "", deadline, replace);
  std::optional<Deadline> patient;  // until when a daemon that is away is waited for
  bool asked_twice = false;
  for (;;) {
    auto answer = ask_daemon(request, deadline);
    if (auto* reply = std::get_if<wire::LocalReply>(&answer)) return {reply->code, std::move(reply->reason)};
    const auto& failure = std::get<IpcClient::Failure>(answer);
    switch (failure.trouble) {
      case Trouble::absent:
      case Trouble::lost:
        // Every action may be asked again: a daemon that has restarted finds what it was about in its journal.
        if (failure.trouble == Trouble::lost && !std::exchange(asked_twice, true)) continue;
        if (waits_for_daemon(request.operation)) {
          if (!patient) patient = std::chrono::steady_clock::now() + std::min(restart_time, time_until(deadline) / 4);
          if (std::chrono::steady_clock::now() < *patient) {
            std::this_thread::sleep_for(look_again);
            continue;
          }
        }
        return without_daemon(installation, request, failure.text, deadline, replace);
      case Trouble::denied:
        return {wire::OcfCode::no_permission, failure.text};
      case Trouble::distrusted:
      case Trouble::late:
      case Trouble::impossible:
        return {wire::OcfCode::error, failure.text};
    }
  }
}

}  // namespace migrationd::agent
