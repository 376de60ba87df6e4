// SPDX-License-Identifier: GPL-2.0-or-later
// A stand-in for the daemon, as migrationctl sees it: each argument is one answer, given in turn.
//
//     stand-in CODE:REASON | BODY...
//
// A body (it begins with "{") that is followed by another body is sent with `more`, and the next one right after it.
// Prints "ready" when it listens, then "OPERATION OPERAND NAME=VALUE..." for each request. Ends at the end of its input.
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "tests/stand-in-loop.h"

using namespace migrationd;

int main(int count, char** arguments) {
  const std::vector<std::string> answers(arguments + 1, arguments + count);
  std::size_t next = 0;
  return tests::serve_until_input_ends([&](io::ConnectionId, wire::LocalRequest request, const io::Credentials&, io::IpcServer::Reply reply) {
    std::cout << request.operation << ' ' << request.resource;
    for (const auto& [name, value] : request.parameters) std::cout << ' ' << name << '=' << value;
    std::cout << std::endl;
    while (next < answers.size()) {
      const std::string& answer = answers[next++];
      if (!answer.starts_with('{')) {
        return reply({static_cast<wire::OcfCode>(std::atoi(answer.c_str())), answer.substr(answer.find(':') + 1), "", false});
      }
      const bool more = (request.operation == "ctl-watch" || request.operation == "ctl-events") && next < answers.size();
      reply({wire::OcfCode::success, "", answer, more});
      if (!more) return;
    }
  });
}
