// SPDX-License-Identifier: GPL-2.0-or-later
// What the stand-ins for the daemon share: they serve the local IPC until their input ends.
#pragma once

#include <unistd.h>

#include <iostream>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "migrationd/io/ipc-server.h"

namespace migrationd::tests {

/// Prints "ready" when it listens. Whoever runs it may act, so that no root is needed. Returns the exit code.
template <class Request>
int serve_until_input_ends(Request request) {
  boost::asio::io_context loop;
  auto server = io::IpcServer::start(loop, {.acting_uid = ::geteuid(), .reading_gid = 0}, {.request = std::move(request)});
  if (!server) {
    std::cerr << server.error() << std::endl;
    return 1;
  }
  std::cout << "ready" << std::endl;
  boost::asio::posix::stream_descriptor input(loop, STDIN_FILENO);
  char byte = 0;
  input.async_read_some(boost::asio::buffer(&byte, 1), [&](auto, auto) { loop.stop(); });
  loop.run();
  input.release();
  return 0;
}

}  // namespace migrationd::tests
