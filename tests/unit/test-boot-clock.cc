// SPDX-License-Identifier: GPL-2.0-or-later
// Timers come once, in their order, not early, and never after they were cancelled.
#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <optional>
#include <string>

#include "migrationd/io/boot-clock.h"

using namespace migrationd;

TEST_CASE("boot-clock: calls come in the order of their times, never from within schedule") {
  boost::asio::io_context loop;
  io::BootClock clock(loop);
  std::string order;
  const Instant before = clock.now();
  clock.schedule(Milliseconds(20), [&] {
    order += "c";
    CHECK(clock.now() - before >= Milliseconds(20));
  });
  clock.schedule(Milliseconds(0), [&] { order += "a"; });
  clock.schedule(Milliseconds(5), [&] { order += "b"; });
  clock.schedule(Milliseconds(-100), [&] { order += "A"; });
  CHECK(order.empty());
  loop.run();
  CHECK(order.size() == 4);
  CHECK(order.substr(2) == "bc");
}

TEST_CASE("boot-clock: a cancelled call doesn't come, not even when it was due already") {
  boost::asio::io_context loop;
  io::BootClock clock(loop);
  bool wrong = false, right = false;
  std::optional<engine::TimerId> victim;
  clock.schedule(Milliseconds(0), [&] {
    right = true;
    clock.cancel(*victim);
  });
  victim = clock.schedule(Milliseconds(0), [&] { wrong = true; });
  CHECK(*victim != 0);
  loop.run();
  CHECK(right);
  CHECK_FALSE(wrong);
  clock.cancel(*victim);
  clock.cancel(12345);
}

TEST_CASE("boot-clock: a call may schedule the next; a clock that is gone calls nobody") {
  boost::asio::io_context loop;
  int calls = 0;
  {
    io::BootClock clock(loop);
    clock.schedule(Milliseconds(0), [&] {
      ++calls;
      clock.schedule(Milliseconds(0), [&] { ++calls; });
    });
    loop.run();
    CHECK(calls == 2);
    clock.schedule(Milliseconds(0), [&] { ++calls; });
  }
  loop.restart();
  loop.run();
  CHECK(calls == 2);
}

TEST_CASE("boot-clock: the boot id is a UUID and stays") {
  const auto id = io::boot_id();
  REQUIRE(id.ok());
  CHECK(DomainUuid::parse(id.value()));
  CHECK(io::boot_id().value() == id.value());
}
