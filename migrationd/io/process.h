// SPDX-License-Identifier: GPL-2.0-or-later
// Runs another program and waits for it on an Asio loop: crm_simulate, crm_resource, stonith_admin, cl_status.
// The child gets no standard input, none of our descriptors, no blocked signals, and a process group of its own,
// which is killed at the deadline; its end is seen through a pidfd, so that no pid can be mistaken for another.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

struct ProcessOrder {
  std::vector<std::string> argv;         ///< argv[0] is looked for in PATH when it has no slash
  std::vector<std::string> environment;  ///< NAME=VALUE, added to ours or replacing it
  Milliseconds deadline{10000};          ///< killed then
  std::size_t output_limit = 1024 * 1024;  ///< bytes kept of each of stdout and stderr; the rest is read and dropped
};

struct ProcessEnd {
  int exit_status = -1;  ///< what it exited with; -1 when a signal ended it
  int signal = 0;        ///< the signal that ended it; 0: none
  std::string out, err;
  bool truncated = false;  ///< more than output_limit came
};

/// Runs it and calls back exactly once, never from inside this call. An error when it could not be started or did not
/// end before the deadline; any exit status is a ProcessEnd.
void run_process(boost::asio::any_io_executor executor, ProcessOrder order,
                 std::function<void(Result<ProcessEnd>)> done);

/// The same for coroutines.
boost::asio::awaitable<Result<ProcessEnd>> run_process(ProcessOrder order);

/// An error text for an end that isn't exit status 0: "crm_simulate exited with 1: <first line of stderr>".
std::string describe(const ProcessOrder& order, const ProcessEnd& end);

}  // namespace migrationd::io
