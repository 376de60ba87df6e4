// SPDX-License-Identifier: GPL-2.0-or-later
// A runner's hands: no hypervisor call is made that could hit what an earlier one was not meant for, and what
// hangs is looked at again.
#include <doctest/doctest.h>

#include "migrationd/engine/domain-runner.h"

using namespace migrationd;
using namespace migrationd::engine;
using handoff::Here;
using handoff::Phase;
namespace event = handoff::event;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");

/// A node's world that does what the test says and remembers what was asked of it.
struct Stage : Clock, Hypervisor, Peers, ClusterManager, Journal, DeadMan, Log, RunnerHost {
  Here here = Here::absent;
  int boots = 0, timers = 0;
  std::vector<Callback<Outcome>> destroys;
  std::vector<NodeName> at_work;
  std::vector<std::string> answers;
  Callback<MigrationEnd> migration;
  handoff::Cluster known{"n1", "installation-1", 4, {"n2"}};

  // Clock
  Instant now() const override { return {Milliseconds{1000}}; }
  TimerId schedule(Milliseconds, std::function<void()>) override { return static_cast<TimerId>(++timers); }
  void cancel(TimerId) override { --timers; }
  // Hypervisor
  void listen(HypervisorListener*) override {}
  DomainView look(const DomainUuid&) const override {
    DomainView view;
    view.here = here;
    return view;
  }
  std::map<DomainUuid, DomainView> all() const override { return {}; }
  void refresh(Callback<Outcome>) override {}
  void boot(const Definition&, Callback<Outcome>) override { ++boots; }
  void resume(const DomainUuid&, Callback<Outcome>) override {}
  void ask_shutdown(const DomainUuid&, const std::string&, Callback<Outcome>) override {}
  void destroy(const DomainUuid&, Callback<Outcome> done) override { destroys.push_back(std::move(done)); }
  void migrate(const DomainUuid&, const MigrateOrder&, Callback<MigrationEnd> done) override { migration = std::move(done); }
  void watch_job(const DomainUuid&, Callback<MigrationEnd>) override {}
  void abort_job(const DomainUuid&, Callback<Outcome>) override {}
  std::uint64_t free_memory_kib() const override { return 0; }
  void definition(const DomainUuid&, Callback<Result<std::string>>) override {}
  void check(const std::string&, Callback<Outcome>) override {}
  // Peers
  void listen(PeerListener*) override {}
  void send(const NodeName&, const wire::PeerMessage&) override {}
  bool linked(const NodeName&) const override { return true; }
  std::string boot_id(const NodeName&) const override { return {}; }
  void drop(const NodeName&) override {}
  // ClusterManager
  void listen(ClusterListener*) override {}
  std::set<NodeName> others() const override { return known.others; }
  bool member(const NodeName&) const override { return true; }
  bool active_here() const override { return true; }
  void fenced_since(const NodeName&, Instant, Callback<bool>) override {}
  void request_fencing(const NodeName&, const std::string&, Callback<Outcome>) override {}
  void intent_of_stop(const StopQuestion&, Callback<StopIntent>) override {}
  void judge_offer(const StopQuestion&, Callback<OfferJudgement>) override {}
  void clean_up(const std::string&, Callback<Outcome>) override {}
  // Journal
  void write(const Record&, Callback<Outcome> done) override { done(Done{}); }
  void write_farewells(const std::set<NodeName>&) override {}
  // DeadMan, Log
  void arm(const DomainUuid&, Milliseconds) override {}
  void disarm(const DomainUuid&) override {}
  void write(Level, const std::string&, const std::string&) override {}
  // RunnerHost
  const handoff::Cluster& cluster() const override { return known; }
  void answered(handoff::Token, bool ok, const std::string& why) override { answers.push_back(ok ? "ok" : why); }
  void rejudge_stop(handoff::Token) override {}
  void retry_start(handoff::Token) override {}
  void request_fencing(const NodeName&, const std::string&) override {}
  void saw_at_work(const NodeName& node) override { at_work.push_back(node); }

  World world{*this, *this, *this, *this, *this, *this, *this};
  DomainRunner runner(handoff::State state) {
    return DomainRunner(world, *this, {uuid, "vm1", "vm1", {}, "<domain/>", std::move(state)}, {});
  }
};

handoff::State in(Phase phase) {
  handoff::State s;
  s.phase = phase;
  s.epoch = {7};
  return s;
}

/// n1 drops a copy; it is gone already while the call has not returned; then n1 claims and n2 says gone.
void boot_ordered_during_a_drop(Stage& stage, DomainRunner& runner) {
  stage.here = Here::paused;
  runner.feed(event::Recovered{});
  REQUIRE(stage.destroys.size() == 1);
  stage.here = Here::absent;
  runner.feed(event::Start{11});
  runner.feed(event::Gone{"n2", {4, 1}, {7}, "installation-2", {}});
  REQUIRE(runner.state().phase == Phase::held);
}

}  // namespace

TEST_CASE("engine runner: nothing is booted before the end of a destroy that could hit it") {
  Stage stage;
  DomainRunner runner = stage.runner(in(Phase::gone));
  boot_ordered_during_a_drop(stage, runner);
  CHECK(stage.boots == 0);
  stage.destroys[0](Done{});
  CHECK(stage.boots == 1);
}

TEST_CASE("engine runner: a stop while a boot waits for the end of a destroy ends without a boot") {
  Stage stage;
  DomainRunner runner = stage.runner(in(Phase::gone));
  boot_ordered_during_a_drop(stage, runner);
  runner.feed(event::Stop{12, handoff::StopMeaning::real, {}});
  CHECK(runner.state().phase == Phase::stopping);
  stage.destroys[0](Done{});
  CHECK(stage.boots == 0);
  CHECK(runner.state().phase == Phase::gone);
  CHECK(stage.answers.back() == "ok");
}

TEST_CASE("engine runner: what is held but absent, or offered but paused, is looked at again") {
  struct { Phase phase; Here here; bool again; } const cases[] = {
      {Phase::held, Here::running, false}, {Phase::held, Here::absent, true},     {Phase::offered, Here::paused, true},
      {Phase::offered, Here::absent, true}, {Phase::offered, Here::running, false}};
  for (const auto& one : cases) {
    Stage stage;
    stage.here = one.here;
    DomainRunner runner = stage.runner(in(one.phase));
    runner.feed(event::Note{{"n1", "installation-1", {1}}});  // says nothing; the view was lost
    if (one.phase == Phase::held && one.here == Here::absent) {
      CHECK(runner.state().phase == Phase::gone);  // at once
    } else {
      CHECK(stage.timers == (one.again ? 1 : 0));
    }
  }
}

TEST_CASE("engine runner: who took a domain of ours was seen at work then") {
  Stage stage;
  stage.here = Here::running;
  DomainRunner runner = stage.runner(in(Phase::held));
  runner.feed(event::Claim{"n2", {2, 1}, true, "", {7}});
  REQUIRE(stage.migration);
  CHECK(stage.at_work.empty());
  stage.here = Here::absent;
  stage.migration({handoff::JobEnd::migrated, ""});
  CHECK(stage.at_work == std::vector<NodeName>{"n2"});
  CHECK(runner.state().phase == Phase::given);
}
