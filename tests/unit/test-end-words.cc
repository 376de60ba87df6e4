// SPDX-License-Identifier: GPL-2.0-or-later
// An end in order that takes minutes says of which domains, and not of those that it does not wait for.
#include <doctest/doctest.h>

#include <initializer_list>

#include "migrationd/io/end-words.h"

using namespace migrationd;
using handoff::Phase;

TEST_CASE("end-words: what is waited for is named with its state") {
  std::vector<engine::DomainStatus> domains;
  const auto add = [&](const char* name, Phase phase) -> engine::DomainStatus& {
    engine::DomainStatus& domain = domains.emplace_back();
    domain.name = name;
    domain.state.phase = phase;
    domain.state.peer = "n2";
    return domain;
  };
  for (const Phase phase : {Phase::gone, Phase::claim, Phase::withdrawn, Phase::held}) add("idle", phase);
  CHECK(io::unfinished(domains) == "");
  add("vm1", Phase::offered).offer_left = Milliseconds{87'400};
  add("vm2", Phase::moving);
  add("vm3", Phase::given);
  add("vm4", Phase::stopping);
  CHECK(io::unfinished(domains) ==
        "vm1 (offered, to be fetched within 87 s, else really stopped); vm2 (moving to n2); "
        "vm3 (given to n2, which has not acknowledged it yet); vm4 (being shut down)");
}
