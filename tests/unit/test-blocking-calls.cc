// SPDX-License-Identifier: GPL-2.0-or-later
// A call that hangs is answered at its deadline and keeps nobody else waiting.
#include <doctest/doctest.h>

#include <future>

#include <boost/asio/executor_work_guard.hpp>

#include "migrationd/io/blocking-calls.h"

using namespace migrationd;
using namespace migrationd::io;

TEST_CASE("blocking-calls: answers come on the loop, hung calls are given up, others go on") {
  boost::asio::io_context loop;
  auto work = boost::asio::make_work_guard(loop);
  auto release = std::make_shared<std::promise<void>>();
  std::shared_future<void> gate = release->get_future().share();
  {
    BlockingCalls calls(loop, 1, 2);
    int hung = 0, served = 0, refused = 0;
    auto hang = [&] {
      calls.run<int>("vm1", "ask vm1", Milliseconds{30}, [gate] { gate.wait(); return Result<int>(1); },
                     [&](Result<int> answer) {
                       REQUIRE(!answer.ok());
                       CHECK(answer.error().find("ask vm1") == 0);
                       if (answer.error().find("not tried") != std::string::npos) ++refused;
                       ++hung;
                     });
    };
    hang();
    while (hung < 1) loop.run_one();
    // the only worker hangs; another domain's call is served all the same
    calls.run<int>("vm2", "ask vm2", Milliseconds{10000}, [] { return Result<int>(42); }, [&](Result<int> answer) {
      REQUIRE(answer.ok());
      served = answer.value();
    });
    while (served == 0) loop.run_one();
    CHECK(served == 42);
    hang();
    while (hung < 2) loop.run_one();
    CHECK(refused == 0);
    hang();  // two of vm1's hang: the third isn't tried
    while (hung < 3) loop.run_one();
    CHECK(refused == 1);
    CHECK(calls.busy() == 2);
  }
  release->set_value();
}
