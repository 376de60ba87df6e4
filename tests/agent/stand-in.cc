// SPDX-License-Identifier: GPL-2.0-or-later
// A stand-in for the daemon, for what a real one can't be made to show when a test needs it: answers with
// given codes, silence, a death in mid-call; or, started by another user, a squatter on the daemon's name.
//
//     stand-in [OPERATION=CODE[:REASON] | OPERATION=hang | OPERATION=die | stateful]...
//
// Prints "ready" when it listens, then each request as a line of JSON. Without a rule an operation succeeds;
// stateful: start and stop are remembered, and monitor and status tell. Ends at the end of its input.
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "migrationd/wire/local-codec.h"
#include "tests/stand-in-loop.h"

using namespace migrationd;

int main(int count, char** arguments) {
  std::map<std::string, std::string> rules;
  bool stateful = false, running = false;
  for (int i = 1; i < count; ++i) {
    const std::string rule = arguments[i];
    if (rule == "stateful") stateful = true;
    else rules[rule.substr(0, rule.find('='))] = rule.substr(rule.find('=') + 1);
  }

  std::vector<io::IpcServer::Reply> unanswered;
  return tests::serve_until_input_ends([&](io::ConnectionId, wire::LocalRequest request, const io::Credentials&, io::IpcServer::Reply reply) {
    std::cout << wire::encode(request).value() << std::endl;
    const std::string rule = rules.contains(request.operation) ? rules[request.operation] : "0";
    if (rule == "hang") return unanswered.push_back(reply);
    if (rule == "die") std::_Exit(0);
    wire::LocalReply answer{.code = static_cast<wire::OcfCode>(std::atoi(rule.c_str()))};
    if (const std::size_t colon = rule.find(':'); colon != std::string::npos) answer.reason = rule.substr(colon + 1);
    if (stateful) {
      if (request.operation == "start") running = true;
      if (request.operation == "stop") running = false;
      if ((request.operation == "monitor" || request.operation == "status") && !running) answer.code = wire::OcfCode::not_running;
      if (request.operation.starts_with("migrate_") && !running) answer = {wire::OcfCode::error, "it doesn't run"};
    }
    reply(answer);
  });
}
