// SPDX-License-Identifier: GPL-2.0-or-later
// The downtime target of a migration: small first, all that is allowed in the end, never more.
#include <doctest/doctest.h>

#include "migrationd/converge/downtime.h"

using namespace migrationd;
using converge::downtime_target;

TEST_CASE("an idle guest is not stopped for longer than it needs") {
  CHECK(downtime_target(0, Milliseconds{0}) == Milliseconds{5});
  CHECK(downtime_target(1, Milliseconds{0}) == Milliseconds{5});
  CHECK(downtime_target(2, Milliseconds{5000}) == Milliseconds{5});
}

TEST_CASE("a guest that does not converge gets all it may have") {
  for (Milliseconds most : {Milliseconds{0}, Milliseconds{100}, Milliseconds{300}, Milliseconds{20000}}) {
    Milliseconds before{0};
    for (int pass = 0; pass < 12; ++pass) {
      Milliseconds now = downtime_target(pass, most);
      CHECK(now >= before);
      CHECK(now <= (most.count() == 0 ? converge::usual_downtime : most));
      before = now;
    }
    CHECK(before == (most.count() == 0 ? converge::usual_downtime : most));
  }
}

TEST_CASE("an administrator's smaller target is kept from the beginning") {
  for (int pass = 0; pass < 12; ++pass) CHECK(downtime_target(pass, Milliseconds{3}) == Milliseconds{3});
}
