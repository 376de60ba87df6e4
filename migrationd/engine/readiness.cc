// SPDX-License-Identifier: GPL-2.0-or-later
// May a domain come to this node? Asked before every offer and push, so that a domain is not parted with
// for a node that can't take it.
#include <algorithm>

#include "migrationd/engine/engine.h"

namespace migrationd::engine {

using namespace std::chrono_literals;
using handoff::Here;
using handoff::Phase;

namespace {
/// How long a destination is waited for: enough for its daemon to be restarted. The guest runs meanwhile, so
/// waiting costs no outage, and giving up does.
constexpr Milliseconds answer_time = 8s;
constexpr Milliseconds ask_again_after = 500ms;
}  // namespace

void Engine::ask_ready(const NodeName& node, const DomainRunner& runner, Instant order_ends, Callback<Outcome> done) {
  const std::uint64_t number = next_question_++;
  Question& question = questions_[number];
  question.node = node;
  question.done = std::move(done);
  const Instant now = world_.clock.now();
  question.ends = now + std::min(answer_time, std::max((order_ends - now) / 4, Milliseconds{0}));
  question.message = {number, runner.record().uuid, runner.record().name, runner.view().memory_kib,
                      runner.record().definition};
  ask_again(number);
}

void Engine::ask_again(std::uint64_t number) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  Question& question = found->second;
  if (world_.clock.now() >= question.ends) {
    Question over = std::move(question);
    questions_.erase(found);
    if (!world_.peers.linked(over.node)) over.why_not = "there is no link to the daemon of " + over.node;
    if (over.why_not.empty()) over.why_not = over.node + " did not say in time whether it can take it";
    over.done(Error{over.why_not});
    return;
  }
  world_.peers.send(question.node, question.message);
  question.timer = world_.clock.schedule(ask_again_after, [this, number] { ask_again(number); });
}

void Engine::ready_answered(const NodeName& from, const wire::Ready& answer) {
  const auto found = questions_.find(answer.question);
  if (found == questions_.end() || found->second.node != from) return;
  if (!answer.ready) {  // asked again as long as there's time: what is in the way may be over soon
    found->second.why_not = from + " can't take it: " + answer.why;
    return;
  }
  Question question = std::move(found->second);
  questions_.erase(found);
  world_.clock.cancel(question.timer);
  question.done(Done{});
}

std::uint64_t Engine::promised_memory_kib(const DomainUuid& except) const {
  std::uint64_t sum = 0;
  for (const auto& [uuid, runner] : runners_) {
    const Phase phase = runner->state().phase;
    if (uuid != except && (phase == Phase::claim || phase == Phase::withdrawn) &&
        runner->view().here == Here::absent) {
      sum += runner->view().memory_kib;
    }
  }
  return sum;
}

void Engine::answer_ready(const NodeName& from, const wire::AskReady& question) {
  const auto answer = [this, from, number = question.question](const std::string& why_not) {
    world_.peers.send(from, wire::Ready{number, why_not.empty(), why_not});
  };
  if (leaving_) return answer("its daemon is being stopped");
  if (!hypervisor_usable_) return answer("its hypervisor does not answer");
  const std::uint64_t free = world_.hypervisor.free_memory_kib();
  const std::uint64_t promised = promised_memory_kib(question.domain);
  if (question.memory_kib + promised > free) {
    return answer("the domain needs " + std::to_string(question.memory_kib / 1024) + " MiB and " +
                  std::to_string(free / 1024) + " MiB are free, of which " + std::to_string(promised / 1024) +
                  " MiB are promised to others");
  }
  if (const DomainRunner* runner = find(question.domain)) {
    const Phase phase = runner->state().phase;
    if (phase != Phase::gone && phase != Phase::claim && phase != Phase::withdrawn) {
      return answer(std::string("it has the domain as ") + handoff::to_string(phase));
    }
  }
  // An offer that the cluster manager here does not live to fetch would stand until its deadline.
  world_.cluster.staying(alive<Outcome>([this, answer, definition = question.definition](Outcome stays) {
    if (!stays.ok()) return answer(stays.error());
    if (definition.empty()) return answer("");
    world_.hypervisor.check(definition, alive<Outcome>([answer](Outcome outcome) {
      answer(outcome.ok() ? "" : outcome.error());
    }));
  }));
}

}  // namespace migrationd::engine
