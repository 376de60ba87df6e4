// SPDX-License-Identifier: GPL-2.0-or-later
// A UUID is used as a file name, so nothing else may pass for one.
#include <doctest/doctest.h>

#include "migrationd/base/ids.h"

using migrationd::Attempt;
using migrationd::DomainUuid;

TEST_CASE("ids: a UUID is taken in either case and kept in lower case") {
  const auto uuid = DomainUuid::parse("0B7E4C1A-90AB-4cde-8f01-23456789abcd");
  REQUIRE(uuid);
  CHECK(uuid->str() == "0b7e4c1a-90ab-4cde-8f01-23456789abcd");
}

TEST_CASE("ids: what isn't a UUID is refused") {
  for (const char* text : {"", "0b7e4c1a90ab4cde8f0123456789abcd", "../7e4c1a-90ab-4cde-8f01-23456789abcd",
                           "0b7e4c1a-90ab-4cde-8f01-23456789abc", "0b7e4c1a-90ab-4cde-8f01-23456789abcd0",
                           "0b7e4c1a-90ab-4cde-8f01-23456789abcg", "0b7e4c1a-90ab-4cde-8f01+23456789abcd"}) {
    CAPTURE(text);
    CHECK_FALSE(DomainUuid::parse(text));
  }
}

TEST_CASE("ids: a restarted daemon's first attempt is later than all of its old ones") {
  CHECK(Attempt{2, 1} > Attempt{1, 99});
}
