// SPDX-License-Identifier: GPL-2.0-or-later
// Running other programs: what they say, how they end, and that none outlives its deadline or sees our descriptors.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/process.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

Result<ProcessEnd> run(ProcessOrder order) {
  boost::asio::io_context loop;
  std::optional<Result<ProcessEnd>> end;
  int calls = 0;
  run_process(loop.get_executor(), std::move(order), [&](Result<ProcessEnd> result) {
    end.emplace(std::move(result));
    ++calls;
  });
  CHECK_FALSE(end.has_value());  // never from inside the call
  loop.run();
  CHECK(calls == 1);
  REQUIRE(end.has_value());
  return std::move(*end);
}

ProcessOrder shell(const std::string& script) {
  ProcessOrder order;
  order.argv = {"sh", "-c", script};
  order.deadline = Milliseconds{60000};
  return order;
}

}  // namespace

TEST_CASE("process: output, error output, exit status, environment and an empty standard input") {
  ProcessOrder order = shell("cat; echo out $ADDED; echo err >&2; exit 3");
  order.environment = {"ADDED=value", "HOME=/"};
  const auto end = run(order);
  REQUIRE(end.ok());
  CHECK(end.value().out == "out value\n");
  CHECK(end.value().err == "err\n");
  CHECK(end.value().exit_status == 3);
  CHECK(end.value().signal == 0);
  CHECK(describe(order, end.value()) == "sh exited with 3: err");
}

TEST_CASE("process: all of the output of a program that has ended before anybody looks, in its order") {
  std::string expected;
  for (int line = 100000; line < 108000; ++line) expected += std::to_string(line) + "\n";  // more than is read at once, less than a pipe holds
  boost::asio::io_context loop;
  std::optional<Result<ProcessEnd>> end;
  run_process(loop.get_executor(), shell("seq 100000 107999"), [&](Result<ProcessEnd> result) { end.emplace(std::move(result)); });
  siginfo_t ended{};
  REQUIRE(waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) == 0);
  loop.run();
  REQUIRE(end.has_value());
  REQUIRE(end->ok());
  CHECK(end->value().out.size() == expected.size());
  CHECK((end->value().out == expected));
}

TEST_CASE("process: a signal is told from an exit") {
  const auto end = run(shell("kill -9 $$"));
  REQUIRE(end.ok());
  CHECK(end.value().signal == 9);
  CHECK(end.value().exit_status == -1);
}

TEST_CASE("process: a program that isn't there is an error that names it") {
  ProcessOrder order;
  order.argv = {"no-such-program-anywhere"};
  const auto end = run(order);
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().find("no-such-program-anywhere") != std::string::npos);
  CHECK_FALSE(run({}).ok());
}

TEST_CASE("process: the child and its children are killed at the deadline") {
  tests::Scratch scratch;
  // The pipe's writing end is held by the shell and its child: its end of file means that both are dead.
  const std::string fifo = scratch / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  ProcessOrder order = shell("exec 5>\"$FIFO\"; sleep 1000 & echo started >&5; wait");
  order.environment = {"FIFO=" + fifo};
  order.deadline = Milliseconds{300};
  const auto end = run(order);
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().find("300 ms") != std::string::npos);
  // Awaited, with a bound that only a living child reaches: the kernel may close a dead one's pipe a moment later.
  bool ended = false;
  for (pollfd pipe{reader, POLLIN, 0}; ::poll(&pipe, 1, 30000) == 1 && !ended;) {
    char bytes[64];
    ended = ::read(reader, bytes, sizeof bytes) == 0;
  }
  CHECK(ended);
  ::close(reader);
}

TEST_CASE("process: much output is cut at the limit, and the program is not held up by it") {
  ProcessOrder order = shell("head -c 3000000 /dev/zero; echo done >&2");
  order.output_limit = 1000;
  const auto end = run(order);
  REQUIRE(end.ok());
  CHECK(end.value().out.size() == 1000);
  CHECK(end.value().truncated);
  CHECK(end.value().err == "done\n");
}

TEST_CASE("process: a grandchild that keeps the pipe open does not hold up the answer") {
  ProcessOrder order = shell("sleep 1000 & echo $!");
  const auto end = run(order);
  REQUIRE(end.ok());
  CHECK(end.value().exit_status == 0);
  const pid_t left = std::stoi(end.value().out);
  CHECK(::kill(left, SIGKILL) == 0);
}

TEST_CASE("process: our descriptors are closed in the child") {
  const int leak = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  REQUIRE(leak > 2);
  const auto end = run(shell("for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && readlink $fd; done; true"));
  ::close(leak);
  REQUIRE(end.ok());
  CHECK(end.value().out.find("/dev/null") == std::string::npos);
}
