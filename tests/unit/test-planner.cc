// SPDX-License-Identifier: GPL-2.0-or-later
// The convergence planner: by its advice alone, and against policies with fixed parameters in a model of QEMU's pre-copy.
#include <doctest/doctest.h>

#include <cstdio>
#include <vector>

#include "migrationd/converge/downtime.h"
#include "tests/unit/migration-model.h"

using namespace migrationd;
using namespace migrationd::tests;
using converge::Advice;
using converge::Budget;
using converge::Planner;
using converge::Sample;

namespace {

constexpr std::uint64_t M = 1024 * 1024;

Sample pass(int number, int at_seconds, std::uint64_t remaining_mib, std::uint64_t carries_mib, std::uint64_t writes_mib) {
  return {Milliseconds{at_seconds * 1000}, number, remaining_mib * M, carries_mib * M, writes_mib * M, 0};
}

auto always(double mib_per_second) {
  return [mib_per_second](double) { return mib_per_second * mib; };
}

struct Situation {
  const char* name;
  ModelGuest guest;
  ModelNetwork network;
  double time = 120;
};

std::vector<Situation> situations() {
  const auto burst = [](double now) { return (static_cast<int>(now) % 10 < 4 ? 90.0 : 2.0) * mib; };
  const auto jitter = [](double now) { return (static_cast<int>(now * 3) % 2 == 0 ? 20.0 : 60.0) * mib; };
  const auto dies = [](double now) { return now < 5 ? 40 * mib : 0; };
  return {
      {"idle, fast network", {1024 * mib, 50 * mib, always(0.5)}, always(1000)},
      {"idle, slow network", {1024 * mib, 50 * mib, always(0.5)}, always(38)},
      {"steady, half of the network", {1024 * mib, 200 * mib, always(19)}, always(38)},
      {"steady, nearly the network", {1024 * mib, 200 * mib, always(34)}, always(38)},
      {"steady, 1.5 times the network", {1024 * mib, 400 * mib, always(57)}, always(38)},
      {"steady, 2 times the network, small set", {512 * mib, 200 * mib, always(80)}, always(38)},
      {"writes to the same 20 MiB all the time", {1024 * mib, 20 * mib, always(400)}, always(110)},
      {"bursts", {1024 * mib, 300 * mib, burst}, always(38)},
      {"steady, jittery network", {1024 * mib, 200 * mib, always(15)}, jitter},
      {"the network dies", {1024 * mib, 200 * mib, always(15)}, dies, 60},
      {"hopeless: no time for one pass", {8192 * mib, 4096 * mib, always(300)}, always(38), 60},
  };
}

ModelEnd played(const Situation& one, const Steering& steering) { return MigrationModel(one.guest, one.network, one.time).run(steering); }

Budget budget_of(const Situation& one, bool post_copy) {
  return {Milliseconds{static_cast<long>(one.time * 1000)}, Milliseconds{0}, true, post_copy};
}

}  // namespace

TEST_CASE("planner: an idle guest is not stopped for longer than it needs, and isn't slowed") {
  Planner planner({Milliseconds{60'000}, Milliseconds{0}, true, false});
  CHECK(planner.opening().downtime == converge::downtime_target(0, Milliseconds{0}));
  const Advice first = planner.at(pass(1, 0, 1024, 100, 0));
  CHECK(first.downtime == Milliseconds{5});
  CHECK_FALSE(first.left);
  const Advice second = planner.at(pass(2, 10, 20, 100, 1));
  CHECK(second.step == Advice::Step::go_on);
  CHECK(second.downtime == Milliseconds{5});
  REQUIRE(second.left);
  CHECK(*second.left == Milliseconds{200});  // 20 MiB at 100 MiB/s; what is left then fits
  CHECK(second.reason == "it converges: the guest writes 1 MiB/s, the network carries 100 MiB/s");
}

TEST_CASE("planner: the downtime grows only when the time that is left asks for it, and never above what is allowed") {
  // A pass leaves 9/10 of the one before: 2 s, 1.8 s, ... : 5 ms of it come after 57 passes, 20 s.
  const auto at = [](int elapsed, int most) {
    Planner planner({Milliseconds{60'000}, Milliseconds{most}, true, false});
    return planner.at(pass(2, elapsed, 200, 100, 90));
  };
  CHECK(at(10, 0).downtime == Milliseconds{5});
  CHECK(at(36, 0).downtime > Milliseconds{5});  // 24 s are left, and not all of them are counted on
  CHECK(at(55, 0).downtime == Milliseconds{300});
  CHECK_FALSE(at(55, 0).left);
  CHECK(at(55, 50).downtime == Milliseconds{50});
}

TEST_CASE("planner: what the passes really leave counts, not what a long pass makes of the guest's writes") {
  Planner planner({Milliseconds{60'000}, Milliseconds{0}, true, false});
  planner.at(pass(1, 0, 512, 38, 0));
  planner.at(pass(2, 13, 178, 38, 32));
  const Advice advice = planner.at(pass(3, 18, 172, 38, 32));
  CHECK_FALSE(advice.left);
  CHECK(advice.downtime == Milliseconds{30});
  CHECK(advice.reason == "it does not converge: the guest writes 32 MiB/s, the network carries 38 MiB/s");
  // It stalls: a twentieth of the time that was left for each doubling.
  CHECK(planner.at(pass(4, 20, 172, 38, 32)).downtime == Milliseconds{30});
  CHECK(planner.at(pass(5, 21, 172, 38, 32)).downtime == Milliseconds{60});
  CHECK(planner.at(pass(6, 30, 172, 38, 32)).downtime == converge::usual_downtime);
  CHECK(planner.at(pass(7, 31, 50, 38, 10)).downtime == Milliseconds{5});  // the burst is over
}

TEST_CASE("planner: post-copy only with consent, and not for one burst") {
  for (bool consent : {false, true}) {
    CAPTURE(consent);
    Planner planner({Milliseconds{60'000}, Milliseconds{0}, true, consent});
    CHECK((planner.opening().throttle_first == 0) == consent);
    planner.at(pass(1, 0, 512, 38, 0));
    CHECK(planner.at(pass(2, 13, 300, 38, 37)).step == Advice::Step::go_on);
    CHECK(planner.at(pass(3, 15, 299, 38, 37)).step == Advice::Step::go_on);
    CHECK((planner.at(pass(4, 29, 299, 38, 37)).step == Advice::Step::post_copy) == consent);
  }
  Planner faster({Milliseconds{60'000}, Milliseconds{0}, true, true});
  faster.at(pass(1, 0, 512, 38, 0));
  CHECK(faster.at(pass(2, 13, 300, 38, 50)).step == Advice::Step::post_copy);
}

TEST_CASE("planner: with little time a guest that does not converge is slowed harder") {
  const auto opening = [](int seconds) { return Planner({Milliseconds{seconds * 1000}, Milliseconds{0}, true, false}).opening(); };
  CHECK(opening(60).throttle_first > opening(600).throttle_first);
  CHECK(opening(0).throttle_first == opening(600).throttle_first);
}

TEST_CASE("planner: nonsense in the figures is no reason for anything") {
  Planner planner({Milliseconds{60'000}, Milliseconds{0}, true, true});
  CHECK(planner.at({}).step == Advice::Step::go_on);
  CHECK(planner.at(pass(2, 90, 100, 0, 50)).step == Advice::Step::go_on);  // no speed known
  const Advice late = planner.at(pass(9, 90, ~std::uint64_t{0} / M, 1, 0));  // after its time, passes missed
  CHECK(late.downtime == converge::usual_downtime);
  CHECK(planner.at(pass(9, 90, 100, 0, 50)).downtime == converge::usual_downtime);  // without a speed the last word stands
}

TEST_CASE("planner: in the model it moves what fixed policies move, stops it no longer, and moves more") {
  std::printf("%-40s %-22s %-22s %8s %10s %7s\n", "guest and network", "policy", "end", "s", "downtime", "slowed");
  int moved = 0, moved_by_others = 0;
  for (const Situation& one : situations()) {
    const ModelEnd ours = played(one, planned(budget_of(one, false)));
    const ModelEnd consenting = played(one, planned(budget_of(one, true)));
    const std::vector<Steering> others = {virtual_domain(), kubevirt(one.guest), nova(one.guest)};
    const auto say = [&](const std::string& who, const ModelEnd& end) {
      const char* how = end.how == ModelEnd::How::moved ? "moved" : end.moved() ? "moved, post-copy" : "left running";
      std::printf("%-40s %-22s %-22s %8.1f %7.0f ms %5d %%\n", one.name, who.c_str(), how, end.seconds, end.downtime * 1000, end.most_throttle);
    };
    CAPTURE(one.name);
    say("migrationd", ours);
    say("migrationd, post-copy", consenting);
    bool by_others = false;
    for (const Steering& other : others) {
      const ModelEnd end = played(one, other);
      say(other.name, end);
      CAPTURE(other.name);
      by_others = by_others || end.moved();
      if (!end.moved()) continue;
      CHECK(ours.moved());
      CHECK(ours.downtime <= end.downtime + 0.011);
    }
    CHECK(ours.downtime <= 0.36);
    if (ours.moved()) CHECK(consenting.moved());
    moved += ours.moved();
    moved_by_others += by_others;
  }
  CHECK(moved > moved_by_others);
}

TEST_CASE("planner: a guest that writes 1.5 times what the network carries is moved within two minutes; VirtualDomain's never is") {
  const Situation one{"", {1024 * mib, 400 * mib, always(57)}, always(38), 120};
  CHECK_FALSE(played(one, virtual_domain()).moved());
  CHECK(played(one, planned(budget_of(one, false))).moved());
  const ModelEnd post_copy = played(one, planned(budget_of(one, true)));
  CHECK(post_copy.how == ModelEnd::How::moved_post_copy);
  CHECK(post_copy.most_throttle == 0);
}

TEST_CASE("planner: what the guest rewrites all the time, and is little, ends the wait soon, also when the figures are noisy") {
  // Each pass leaves 20 MiB, 180 ms on this network: more than 30 ms, less than the 300 that are allowed.
  for (const std::vector<std::uint64_t>& remaining : {std::vector<std::uint64_t>{20, 20, 20, 20, 20}, {20, 18, 21, 19, 20}}) {
    Planner planner({Milliseconds{300'000}, Milliseconds{0}, true, false});
    planner.at(pass(1, 0, 1024, 110, 0));
    Milliseconds target{0};
    for (int i = 0; i < 5; ++i) {
      Sample sample = pass(2 + i, 9, remaining[static_cast<std::size_t>(i)], 110, 110);
      sample.elapsed += Milliseconds{200 * i};
      target = planner.at(sample).downtime;
    }
    CHECK(target >= Milliseconds{180});
    CHECK(target <= Milliseconds{240});
  }
  const Situation hot{"", {1024 * mib, 20 * mib, always(400)}, always(110), 300};
  const ModelEnd end = played(hot, planned(budget_of(hot, false)));
  CHECK(end.moved());
  CHECK(end.seconds <= played(hot, virtual_domain()).seconds + 3);
  CHECK(end.most_throttle <= 40);
  CHECK(end.downtime <= 0.3);
}

TEST_CASE("planner: what a slowed guest was allowed to stand still for is not taken back after one good pass") {
  Planner planner({Milliseconds{120'000}, Milliseconds{0}, true, false});
  const auto slowed = [](Sample sample) {
    sample.throttle = 99;
    return sample;
  };
  planner.at(pass(1, 0, 160, 18, 0));
  for (int number = 2; number < 12; ++number) planner.at(slowed(pass(number, 5 * number, 70, 18, 18)));
  const Advice good = planner.at(slowed(pass(12, 60, 40, 18, 9)));
  CHECK(good.reason.starts_with("it converges"));
  CHECK(good.downtime == converge::usual_downtime);
  // One that is not slowed has a good end in sight.
  Planner other({Milliseconds{120'000}, Milliseconds{0}, true, false});
  other.at(pass(1, 0, 160, 18, 0));
  for (int number = 2; number < 12; ++number) other.at(pass(number, 5 * number, 70, 18, 18));
  CHECK(other.at(pass(12, 60, 40, 18, 9)).downtime < Milliseconds{30});
}

TEST_CASE("planner: where nothing helps the guest is left running, never stopped for long") {
  const Situation one{"", {1024 * mib, 400 * mib, always(57)}, always(38), 120};
  Budget budget = budget_of(one, false);
  budget.throttle = false;
  const ModelEnd end = played(one, planned(budget));
  CHECK(end.how == ModelEnd::How::left_running);
  CHECK(end.most_throttle == 0);
  Planner planner(budget);
  planner.at(pass(1, 0, 1024, 38, 0));
  for (int number = 2; number < 12; ++number) {
    const Advice advice = planner.at(pass(number, 20 + 9 * number, 350, 38, 57));
    CHECK(advice.step == Advice::Step::go_on);
    CHECK(advice.downtime <= converge::usual_downtime);
    CHECK(advice.reason == "it does not converge: the guest writes 57 MiB/s, the network carries 38 MiB/s");
  }
}
