// SPDX-License-Identifier: GPL-2.0-or-later
// What proves a node absent that does not answer a claim. Silence is never proof: it is a farewell, or a
// successful power fencing after its last word, or, where the administrator chose `unfenced=membership`, that
// the cluster manager no longer counts it as a member.
#include <algorithm>

#include "migrationd/engine/engine.h"
#include "migrationd/engine/pending.h"

namespace migrationd::engine {

using handoff::Phase;
using handoff::Proof;
namespace event = handoff::event;

namespace {
constexpr Milliseconds fencing_asked_again{15'000};
constexpr Milliseconds agents_come_back_within{15'000};
/// The cluster managers see each other so long after the daemons do, after a partition.
constexpr Milliseconds clusters_meet_within{30'000};
/// Longer than the tick, and no longer than a daemon that ends in order waits until its farewell is read.
constexpr Milliseconds stands_still_after{2'000};
}  // namespace

void Engine::look_for_proofs() {
  for (auto& [uuid, runner] : runners_) {
    const handoff::State& state = runner->state();
    const bool asks = state.phase == Phase::claim || state.phase == Phase::withdrawn;
    if (!asks && state.phase != Phase::given) continue;
    const std::set<NodeName> nodes = asks ? state.asked : std::set<NodeName>{state.peer};
    for (const NodeName& node : nodes) {
      if (!runner->state().answers.contains(node)) prove(*runner, node);
    }
  }
}

void Engine::prove(DomainRunner& runner, const NodeName& node) {
  const DomainUuid uuid = runner.record().uuid;
  if (world_.peers.linked(node)) return;  // it speaks for itself; if it is dead, the link will be found so
  if (farewell_counts(runner, node)) {
    proven(uuid, node, Proof::farewell);
    return;
  }
  if (world_.cluster.member(node)) return;  // its daemon may come back at any moment
  // Not heard since our own begin: what it did before that is forgotten, so an older fencing proves nothing.
  last_word_.try_emplace(node, begun_);
  const bool wanted = runner.state().start != 0;
  const bool membership = runner.policy().unfenced_membership && wanted && world_.cluster.active_here();
  const Instant since = last_word_[node];
  world_.cluster.fenced_since(node, since, alive<bool>([this, uuid, node, since, wanted, membership](bool fenced) {
    if (world_.peers.linked(node) || world_.cluster.member(node)) return;
    if (last_word_[node] != since) return;  // a word of it came meanwhile: asked again at the next tick
    if (fenced) {
      proven(uuid, node, Proof::fenced);
      return;
    }
    const DomainRunner* asking = find(uuid);
    if (asking == nullptr) return;
    // A member whose daemon is restarted may know whether that it left in order still holds; to fence it would switch it on.
    if (farewells_.contains(node) && another_is_silent(*asking, node, false)) return;
    if (wanted && fencing_asked_.insert(node).second) {
      world_.cluster.request_fencing(
          node, "its daemon does not answer, and a domain can't be started without proof that it does not run there",
          alive<Outcome>([this, uuid, node, membership](Outcome outcome) {
            if (!outcome.ok()) {
              world_.log.write(Log::Level::warning, "", node + " can't be fenced: " + outcome.error());
              if (membership) return assume_absent(uuid, node);
            }
            // May be asked again, should it not have come to a proof; not at once where it failed.
            ask_fencing_again(node, outcome.ok() ? Milliseconds{0} : fencing_asked_again);
          }));
    }
  }));
}

/// It may be older than a new life of its sender, which can't reach us: of a node that is a member all the same, or one that the
/// daemon before this one heard; or it may have been given the domain on the other side of a partition, where they have quorum.
bool Engine::farewell_is_doubtful(const NodeName& node) const {
  return old_farewells_.contains(node) || world_.cluster.member(node) || !world_.cluster.quorate();
}

/// Of whom this node heard, or knows that it held a domain; without those whose farewell came after that and is in no doubt.
std::set<NodeName> Engine::maybe_at_work() const {
  std::set<NodeName> nodes = old_farewells_;
  const auto seems = [&](const NodeName& node) {
    if (cluster_.others.contains(node) && !farewells_.contains(node)) nodes.insert(node);
  };
  for (const auto& [node, heard] : last_word_)
    if (heard > begun_) seems(node);
  for (const auto& [uuid, runner] : runners_) seems(runner->state().noted.node);
  return nodes;
}

/// Without a cluster manager nobody says that who left is back beside `from`, which leaves now; it may have given it a domain.
void Engine::overtaken_farewells(const NodeName& from, const std::set<NodeName>& at_work) {
  for (const NodeName& node : at_work) {
    if (!farewells_.contains(node)) continue;
    world_.log.write(Log::Level::notice, "", "the farewell of " + node + " is in doubt: " + from + " knows that it may be back");
    old_farewells_.insert(node);
    for (auto& [uuid, runner] : runners_) {
      const auto answer = runner->state().answers.find(node);
      if (answer != runner->state().answers.end() && answer->second.kind == handoff::Answer::Kind::left) runner->feed(event::Unproven{node});
    }
  }
}

/// In its new life only others can have given it the domain, and they must be there to say so: those that are members in any
/// case, as their daemons come back; and all, where it is doubtful.
bool Engine::farewell_counts(const DomainRunner& runner, const NodeName& node) const {
  return farewells_.contains(node) && !another_is_silent(runner, node, farewell_is_doubtful(node));
}

/// Those that were asked and left in order, where that does not count; for people, empty when there is none.
std::string Engine::uncounted_farewells(const DomainRunner& runner) const {
  if (runner.state().phase != Phase::claim) return "";
  std::string left;
  for (const NodeName& node : runner.state().asked) {
    if (!farewells_.contains(node) || world_.peers.linked(node) || farewell_counts(runner, node)) continue;
    left += (left.empty() ? "" : ", ") + node;
  }
  return left.empty() ? "" : left + " left in order, but may have been back since, and who would know does not answer";
}

/// Whether one that was asked, other than `node`, is not linked: a member, whose daemon may come back, or anybody at all.
bool Engine::another_is_silent(const DomainRunner& runner, const NodeName& node, bool anybody) const {
  const std::set<NodeName>& asked = runner.state().asked;
  return std::any_of(asked.begin(), asked.end(), [&](const NodeName& other) {
    return other != node && !world_.peers.linked(other) && (anybody || world_.cluster.member(other));
  });
}

/// Before something is stopped for a boot elsewhere, which then needs this proof of each node: that it answers, left in order, or
/// was fenced since. unfenced=membership does not count, as nobody is to be put at risk for a move.
void Engine::ask_whether_absent_beside_us(Callback<Outcome> done) {
  std::set<NodeName> silent;
  for (const NodeName& node : cluster_.others)
    if (!world_.peers.linked(node)) silent.insert(node);
  const bool alone = silent.size() == 1;  // the others would know whether it was back
  for (const NodeName& node : farewells_)
    if (alone || !farewell_is_doubtful(node)) silent.erase(node);
  ask_whether_fenced(std::move(silent), std::move(done));
}

void Engine::ask_whether_fenced(std::set<NodeName> nodes, Callback<Outcome> done) {
  if (nodes.empty()) return done(Done{});
  const NodeName node = nodes.extract(nodes.begin()).value();
  const auto silent = [node] { return Error{"the daemon of " + node + " does not answer, and nothing proves that node absent"}; };
  if (world_.cluster.member(node)) return done(silent());
  const auto heard = last_word_.find(node);
  world_.cluster.fenced_since(node, heard == last_word_.end() ? begun_ : heard->second,
                              alive<bool>([this, nodes = std::move(nodes), silent, done = std::move(done)](bool fenced) {
    fenced ? ask_whether_fenced(nodes, done) : done(silent());
  }));
}

void Engine::ask_fencing_again(const NodeName& node, Milliseconds after) {
  world_.clock.schedule(after, [this, node] { fencing_asked_.erase(node); });
}

/// The administrator's choice where no fencing is configured. One that is and fails proves nothing: so it does in a partition.
void Engine::assume_absent(const DomainUuid& uuid, const NodeName& node) {
  world_.cluster.fencing_configured(alive<bool>([this, uuid, node](bool configured) {
    ask_fencing_again(node, configured ? fencing_asked_again : Milliseconds{0});
    if (world_.peers.linked(node) || world_.cluster.member(node)) return;
    if (configured) {
      world_.log.write(Log::Level::warning, "", node + " does not count as absent: unfenced=membership is for clusters without "
                       "fencing, and here it is configured and failed");
      return;
    }
    world_.log.raise(AlarmKind::absent_without_proof, Subject::node(node), node + " counts as absent only because it is not a member "
                     "(unfenced=membership): a partition may run a domain twice");
    proven(uuid, node, Proof::not_member);
  }));
}

/// Somebody who was asked is silent and can't even be reached; all else that may hold a claim up is no proof.
bool Engine::wants_proof(const DomainRunner& runner) const {
  const handoff::State& state = runner.state();
  return state.phase == Phase::claim && std::any_of(state.asked.begin(), state.asked.end(), [&](const NodeName& node) {
    return !state.answers.contains(node) && !world_.peers.linked(node);
  });
}

/// Its holder's daemon answers already, but the cluster managers are still apart: ours would start it once more as if the
/// holder were dead, and find it active on both when they are one again. Not for ever: it may have stopped it meanwhile.
bool Engine::held_beyond_membership(const DomainUuid& uuid) const {
  const auto found = held_by_.find(uuid);
  return found != held_by_.end() && world_.clock.now() - found->second.said < clusters_meet_within &&
         world_.cluster.active_here() && !world_.cluster.member(found->second.node);
}

/// The cluster manager remembers a failed start and keeps the node out; when the proof came after all, one
/// clean-up lets it try again. Once: what fails for another reason stays failed.
void Engine::clean_up_proven_starts() {
  // The agent of a start that the daemon before this one began may still come back with it.
  if (world_.clock.now() - begun_ < agents_come_back_within) return;
  for (auto at = unproven_starts_.begin(); at != unproven_starts_.end();) {
    DomainRunner* runner = find(*at);
    const Phase phase = runner->state().phase;
    const bool busy = std::any_of(pending_.begin(), pending_.end(), [&](const auto& entry) { return entry.second->uuid == *at; });
    if (busy || phase == Phase::claim || phase == Phase::withdrawn || held_beyond_membership(*at)) {
      ++at;
      continue;
    }
    at = unproven_starts_.erase(at);
    if (phase != Phase::gone || runner->record().resource.empty()) continue;
    runner->remark("what was missing for the start is known now: the failed start is cleaned up");
    world_.cluster.clean_up(runner->record().resource, alive<Outcome>([this, name = runner->record().name](Outcome done) {
      if (!done.ok()) world_.log.write(Log::Level::warning, name, "the failed start can't be cleaned up: " + done.error());
    }));
  }
}

void Engine::proven(const DomainUuid& uuid, const NodeName& node, Proof proof) {
  world_.peers.drop(node);
  DomainRunner* runner = find(uuid);
  if (runner == nullptr) return;
  if (proof != Proof::farewell) {
    // Not needed any more. The others' are looked at anew: it can't say any more whom it gave the domain to.
    old_farewells_.erase(node);
    if (farewells_.erase(node) > 0) world_.journal.write_farewells(farewells_);
  }
  if (proof == Proof::not_member) {
    assumed_absent_.emplace(node, Assumption{uuid, world_.peers.boot_id(node)});
  }
  runner->feed(event::Proven{node, proof});
  if (proof == Proof::farewell) return;
  for (const NodeName& other : std::set<NodeName>(farewells_)) {  // forgotten with this, they may count still
    if (runner->state().phase == Phase::claim && runner->state().asked.contains(other)) prove(*runner, other);
  }
}

/// It is linked again. Nobody could prove it absent and it was taken for dead; it tells whether that was true.
void Engine::check_assumptions(const NodeName& node) {
  std::erase_if(was_alive_, [&](const auto& entry) { return entry.first == node; });
  const auto [begin, end] = assumed_absent_.equal_range(node);
  for (auto at = begin; at != end; ++at) {
    const Assumption& assumed = at->second;
    if (assumed.boot_id.empty() || assumed.boot_id != world_.peers.boot_id(node)) continue;  // it did go down
    was_alive_.emplace(node, assumed.domain);
    const DomainRunner* runner = find(assumed.domain);
    world_.log.raise(AlarmKind::two_instances, runner == nullptr ? Subject::domain(assumed.domain, "") : runner->subject(), "was started here as if " + node + " were dead (unfenced="
                     "membership), but it was alive all the while: it may have run on both, and both may have "
                     "written. Check the guest's disks; fencing prevents it");
  }
  assumed_absent_.erase(node);
}

/// `node` notes that it holds the domain, in an older epoch than ours: if it was alive when ours was booted, two ran. A note
/// that is only late comes over a link that was never lost.
void Engine::check_for_a_twin(const NodeName& node, const DomainRunner& runner, Epoch epoch) {
  const handoff::State& state = runner.state();
  if (was_alive_.erase({node, runner.record().uuid}) == 0 || epoch >= state.epoch) return;
  if (state.phase == Phase::held || state.phase == Phase::offered) ran_twice_[runner.record().uuid] = state.epoch;
}

void Engine::heard_from(const NodeName& node) {
  old_farewells_.erase(node);
  if (farewells_.erase(node) > 0) world_.journal.write_farewells(farewells_);
  for (auto& [uuid, runner] : runners_) {
    const auto& answers = runner->state().answers;
    const auto found = answers.find(node);
    if (found != answers.end() && found->second.by_proof()) {
      runner->feed(event::Unproven{node});
    }
  }
}

/// It was seen at work, or known to have held a domain, by another's word or by a job of ours: a farewell or fencing
/// that we know of may be from before that.
void Engine::saw_at_work(const NodeName& node) {
  if (!cluster_.others.contains(node)) return;
  last_word_[node] = world_.clock.now();
  heard_from(node);
}

/// A farewell that waited unread while this daemon stood still may be followed by a new life of its sender.
bool Engine::stood_still() const {
  const Instant now = world_.clock.now();
  return now - last_tick_ > stands_still_after || now < stood_still_until_;
}

void Engine::note_tick() {
  const Instant now = world_.clock.now();
  if (now - last_tick_ > stands_still_after) stood_still_until_ = now + stands_still_after;
  last_tick_ = now;
}

Outcome Engine::forget(const NodeName& node) {
  if (!cluster_.others.contains(node)) {
    return Error{node + " is not a configured node of this cluster: known are the other nodes shown by "
                 "migrationctl status"};
  }
  for (auto& [uuid, runner] : runners_) runner->feed(event::Forget{node});
  return Done{};
}

}  // namespace migrationd::engine
