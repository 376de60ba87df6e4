// SPDX-License-Identifier: GPL-2.0-or-later
// Asks over the local IPC.
#include "migrationctl/daemon.h"

#include <chrono>

namespace migrationctl {

using migrationd::Error;
using migrationd::Result;
using migrationd::io::IpcClient;
namespace wire = migrationd::wire;

namespace {

constexpr std::chrono::seconds patience{10};

IpcClient::Deadline deadline() { return std::chrono::steady_clock::now() + patience; }

Error in_words(const IpcClient::Failure& failure) {
  switch (failure.trouble) {
    case IpcClient::Trouble::absent: return {failure.text + ": start it, for example with systemctl start migrationd"};
    case IpcClient::Trouble::late:
      return {"migrationd has not answered within " + std::to_string(patience.count()) + " s: see its log"};
    case IpcClient::Trouble::lost: return {failure.text + ": see its log, and try again"};
    case IpcClient::Trouble::denied:
    case IpcClient::Trouble::distrusted:
    case IpcClient::Trouble::impossible: return {failure.text};
  }
  return {failure.text};
}

Result<std::string> body_of(IpcClient::Or<wire::LocalReply> answer, bool& more) {
  more = false;
  if (const auto* failure = std::get_if<IpcClient::Failure>(&answer)) return in_words(*failure);
  auto& reply = std::get<wire::LocalReply>(answer);
  if (reply.code != wire::OcfCode::success) return Error{reply.reason.empty() ? "migrationd refused without a reason" : reply.reason};
  more = reply.more;
  return std::move(reply.body);
}

}  // namespace

Result<Daemon> Daemon::connect() {
  auto client = IpcClient::connect(deadline());
  if (const auto* failure = std::get_if<IpcClient::Failure>(&client)) return in_words(*failure);
  return Daemon(std::move(std::get<0>(client)));
}

Result<std::string> Daemon::ask(const std::string& operation, const std::string& operand, std::map<std::string, std::string> parameters) {
  wire::LocalRequest request{.operation = operation, .face = "ctl", .resource = operand, .parameters = std::move(parameters)};
  request.timeout = std::chrono::duration_cast<migrationd::Milliseconds>(patience);
  return body_of(client_->ask(request, deadline()), more_);
}

Result<std::string> Daemon::next() { return body_of(client_->next(deadline()), more_); }

}  // namespace migrationctl
