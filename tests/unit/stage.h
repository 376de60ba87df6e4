// SPDX-License-Identifier: GPL-2.0-or-later
// A node's world that does what the test says and remembers what was asked of it: no simulated time or hypervisor, for
// tests that drive the engine or one runner by hand.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "migrationd/engine/domain-runner.h"

namespace migrationd::tests {

using namespace migrationd::engine;
using handoff::Here;

inline const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");

struct Stage : Clock, Hypervisor, Peers, ClusterManager, Journal, DeadMan, Log, Definitions, RunnerHost {
  Here here = Here::absent;
  bool healthy = false;
  bool crashed = false, ends = false;
  recovery::Ending ended = recovery::Ending::unknown;
  std::vector<Callback<Outcome>> failure_reports, stays_off;  ///< as the cluster manager was told; to be answered by the test
  std::function<bool()> tell_wanted;  ///< of the last of them
  std::string name, detail;             ///< of the domain, as the hypervisor shows it
  int boots = 0, shutdowns = 0, announced = 0;
  Definition booted;                    ///< the last one
  Instant time{Milliseconds{1000}};
  std::map<TimerId, std::function<void()>> timers;
  std::vector<Callback<Outcome>> destroys;
  std::vector<NodeName> at_work, fenced;
  std::set<NodeName> unlinked, lost;    ///< whose daemon is silent; which are no members
  std::vector<std::pair<NodeName, Callback<bool>>> fencing_questions;
  std::vector<std::string> answers;
  std::vector<std::pair<NodeName, wire::PeerMessage>> sent;
  std::vector<Record> written;
  std::vector<std::string> alarms;
  Callback<MigrationEnd> migration;
  bool hold_departures = false;  ///< the hypervisor is asked what leaves, and does not answer yet
  std::vector<Callback<Result<Departure>>> departures;
  std::vector<std::pair<Departure, Callback<Fitness>>> checks;
  std::vector<std::pair<Definition, Callback<Outcome>>> resource_starts;
  std::map<std::string, Utilization> utilization;
  std::map<std::string, int> priorities;        ///< of resources, in the cluster's configuration
  std::uint64_t resident_kib = 0;               ///< of what leaves
  Speed speed;                                  ///< measured to whatever node
  int at_once = 0;                              ///< that may arrive here
  std::map<NodeName, std::optional<int>> places;  ///< what the nodes said of themselves
  MigrateOrder ordered;                         ///< the last migration
  std::vector<std::pair<std::string, Callback<Result<SavedDefinition>>>> saves;
  struct TakenDefinition { DomainUuid uuid; std::string file, xml; };
  std::vector<TakenDefinition> taken_definitions;
  std::map<std::string, std::map<std::string, std::string>> configured;  ///< the resources of the cluster's configuration
  std::uint64_t memory_kib = 0;
  unsigned vcpus = 0;
  HypervisorListener* hypervisor_listener = nullptr;
  PeerListener* peer_listener = nullptr;
  handoff::Cluster known{"n1", "installation-1", 4, {"n2"}};

  // Clock
  Instant now() const override { return time; }
  TimerId schedule(Milliseconds, std::function<void()> call) override {
    timers[++next_timer_] = std::move(call);
    return next_timer_;
  }
  void cancel(TimerId id) override { timers.erase(id); }
  // Hypervisor
  void listen(HypervisorListener* listener) override { hypervisor_listener = listener; }
  recovery::Ending ending(const DomainUuid&, const std::string&) const override { return ended; }
  DomainView look(const DomainUuid&) const override {
    DomainView view;
    view.crashed = crashed;
    view.ending = ends;
    view.name = name;
    view.here = here;
    view.healthy = healthy;
    view.detail = detail;
    view.memory_kib = memory_kib;
    view.vcpus = vcpus;
    return view;
  }
  std::map<DomainUuid, DomainView> all() const override {
    if (name.empty()) return {};
    return {{uuid, look(uuid)}};
  }
  void refresh(Callback<Outcome>) override {}
  void boot(const Definition& definition, Callback<Outcome>) override {
    ++boots;
    booted = definition;
  }
  void resume(const DomainUuid&, Callback<Outcome>) override {}
  void ask_shutdown(const DomainUuid&, const std::string&, Callback<Outcome>) override { ++shutdowns; }
  void destroy(const DomainUuid&, Callback<Outcome> done) override { destroys.push_back(std::move(done)); }
  void migrate(const DomainUuid&, const MigrateOrder& order, Callback<MigrationEnd> done) override {
    ordered = order;
    migration = std::move(done);
  }
  void places_at(const NodeName& to, std::optional<int> said) override { places[to] = said; }
  int arrivals_at_once() const override { return at_once; }
  Speed measured_speed(const NodeName&) const override { return speed; }
  void watch_job(const DomainUuid&, const MigrateOrder&, Callback<MigrationEnd>) override {}
  void abort_job(const DomainUuid&, Callback<Outcome>) override {}
  void announce(const DomainUuid&) override { ++announced; }
  void start_post_copy(const DomainUuid&, Attempt, Callback<Outcome>) override {}
  void given_in_post_copy(const DomainUuid&) override {}
  std::string without_post_copy;         ///< why
  std::string no_post_copy() const override { return without_post_copy; }
  void let_run(const DomainUuid&, const NodeName&, Attempt) override {}
  std::optional<std::uint64_t> free_memory_kib() const override { return std::nullopt; }
  std::uint64_t memory_need_kib(const std::string&) const override { return 0; }
  void departure(const DomainUuid&, const MigrateOrder&, Callback<Result<Departure>> done) override {
    hold_departures ? departures.push_back(std::move(done)) : done(Departure{"<domain/>", {}, resident_kib});
  }
  void check(const Departure& departure, Callback<Fitness> done) override { checks.emplace_back(departure, std::move(done)); }
  void start_resources(const Definition& definition, Callback<Outcome> done) override { resource_starts.emplace_back(definition, std::move(done)); }
  void save_definition(const DomainUuid&, const std::string& file, Callback<Result<SavedDefinition>> done) override {
    saves.emplace_back(file, std::move(done));
  }
  void take_definition(const DomainUuid& of, const std::string& file, const std::string& xml, Callback<Result<SavedDefinition>> done) override {
    taken_definitions.push_back({of, file, xml});
    done(SavedDefinition{true, xml});
  }
  // Peers
  void listen(PeerListener* listener) override { peer_listener = listener; }
  void send(const NodeName& to, const wire::PeerMessage& message) override { sent.emplace_back(to, message); }
  bool linked(const NodeName& node) const override { return !unlinked.contains(node); }
  std::string boot_id(const NodeName&) const override { return {}; }
  void drop(const NodeName&) override {}
  // ClusterManager
  void listen(ClusterListener*) override {}
  std::set<NodeName> others() const override { return known.others; }
  bool member(const NodeName& node) const override { return !lost.contains(node); }
  bool active = true;                   ///< the cluster manager of this node
  bool active_here() const override { return active; }
  void staying(Callback<Outcome> done) override { done(Done{}); }
  void fenced_since(const NodeName& node, Instant, Callback<bool> done) override { fencing_questions.emplace_back(node, std::move(done)); }
  void request_fencing(const NodeName&, const std::string&, Callback<Outcome>) override {}
  void fencing_configured(Callback<bool>) override {}
  void intent_of_stop(const StopQuestion&, Callback<StopIntent>) override {}
  void judge_offer(const OfferQuestion&, Callback<OfferJudgement>) override {}
  void clean_up(const std::string& resource, Callback<Outcome>) override { cleaned_up.insert(resource); }
  void report_failure(const std::string&, const std::string&, std::function<bool()> wanted, Callback<Outcome> done) override {
    failure_reports.push_back(std::move(done));
    tell_wanted = std::move(wanted);
  }
  void stay_off(const std::string&, std::function<bool()> wanted, Callback<Outcome> done) override {
    stays_off.push_back(std::move(done));
    tell_wanted = std::move(wanted);
  }
  void parameters_of(const std::string& resource, Callback<Result<std::map<std::string, std::string>>> done) override {
    const auto found = configured.find(resource);
    found == configured.end() ? done(Error{"no such resource"}) : done(found->second);
  }
  void priority_of(const std::string& resource, Callback<Result<int>> done) override {
    const auto found = priorities.find(resource);
    done(found == priorities.end() ? 0 : found->second);
  }
  std::set<std::string> cleaned_up, of_another_agent;
  void still_ours(const std::string& resource, Callback<bool> done) override { done(!of_another_agent.contains(resource)); }
  void resources(Callback<Result<std::set<std::string>>> done) override {
    std::set<std::string> all;
    for (const auto& [resource, parameters] : configured) all.insert(resource);
    done(all);
  }
  void keep_utilization(const std::map<std::string, Utilization>& resources) override { utilization = resources; }
  // Journal
  void write(const Record& record, Callback<Outcome> done) override {
    written.push_back(record);
    done(Done{});
  }
  void write_farewells(const std::set<NodeName>&) override {}
  // DeadMan, Log
  Outcome armed = Done{};
  void arm(const DomainUuid&, Milliseconds, Callback<Outcome> done) override { done(armed); }
  void disarm(const DomainUuid&) override {}
  void write(Level level, const std::string&, const std::string& text) override {
    if (level == Level::alarm) alarms.push_back(text);
  }
  // Definitions: a definition is good when its XML has the domain's name in it
  std::map<std::string, Result<std::optional<Definition>>> files;  ///< by their paths; all others are missing
  std::map<DomainUuid, KeptDefinition> kept_on_disk;
  void read_config(const std::string& file, Callback<Result<std::optional<Definition>>> done) override {
    const auto found = files.find(file);
    found == files.end() ? done(std::optional<Definition>()) : done(found->second);
  }
  Outcome examine(const KeptDefinition& one) const override {
    if (one.xml.find(one.name) != std::string::npos) return Done{};
    return Error{"it is another domain's"};
  }
  std::string digest(const std::string& xml) const override { return "digest of " + xml; }
  void keep_definition(const KeptDefinition& one, Callback<Outcome> done) override {
    kept_on_disk[one.uuid] = one;
    done(Done{});
  }
  void remove_definition(const DomainUuid& of, Callback<Outcome> done) override {
    kept_on_disk.erase(of);
    done(Done{});
  }
  // RunnerHost
  const handoff::Cluster& cluster() const override { return known; }
  void answered(handoff::Token, bool ok, const std::string& why) override { answers.push_back(ok ? "ok" : why); }
  void rejudge_stop(handoff::Token) override {}
  void retry_start(handoff::Token) override {}
  void request_fencing(const NodeName& node, const std::string&) override { fenced.push_back(node); }
  void saw_at_work(const NodeName& node) override { at_work.push_back(node); }

  World world{*this, *this, *this, *this, *this, *this, *this, *this};
  DomainRunner runner(handoff::State state) {
    return DomainRunner(world, *this, {uuid, "vm1", "vm1", {}, "<domain/>", std::move(state)}, {});
  }
  /// All timers that wait now have come.
  void all_timers() {
    for (auto& [id, call] : std::exchange(timers, {})) call();
  }

 private:
  TimerId next_timer_ = 0;
};

}  // namespace migrationd::tests
