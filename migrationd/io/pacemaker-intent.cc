// SPDX-License-Identifier: GPL-2.0-or-later
// What a stop means under Pacemaker: the question goes to the scheduler (crm-simulate), its answer into the
// engine's words.
#include <boost/asio/post.hpp>

#include "migrationd/io/crm-simulate.h"
#include "migrationd/io/pacemaker.h"

namespace migrationd::io {

namespace {

engine::Intent in_engine_words(intent::Intent intent) {
  switch (intent) {
    case intent::Intent::stop: return engine::Intent::stop;
    case intent::Intent::push: return engine::Intent::push;
    case intent::Intent::offer: return engine::Intent::offer;
    case intent::Intent::keep: return engine::Intent::keep;
  }
  return engine::Intent::stop;
}

handoff::Judgement in_engine_words(intent::Judgement judgement) {
  switch (judgement) {
    case intent::Judgement::stands: return handoff::Judgement::stands;
    case intent::Judgement::real_stop: return handoff::Judgement::real_stop;
    case intent::Judgement::take_back: return handoff::Judgement::take_back;
  }
  return handoff::Judgement::stands;
}

SchedulerQuestion about(const engine::StopQuestion& question, const PacemakerSettings& settings) {
  SchedulerQuestion asked;
  asked.resource = question.resource;
  asked.node = settings.self;
  asked.directory = settings.runtime_dir;
  return asked;
}

}  // namespace

void PacemakerCluster::intent_of_stop(const engine::StopQuestion& question, engine::Callback<engine::StopIntent> done) {
  if (question.face != "ocf" || !active_here()) {
    boost::asio::post(loop_, [done, question] {
      done({engine::Intent::stop, "",
            question.face == "ocf" ? "Pacemaker does not run here" : "a stop by hand, outside Pacemaker", false});
    });
    return;
  }
  explain_stop(loop_.get_executor(), about(question, settings_),
               [weak = std::weak_ptr<int>(life_), done](const intent::Decision& decision) {
                 if (!weak.lock()) return;
                 done({in_engine_words(decision.intent), decision.to, decision.reason, decision.short_offer});
               });
}

void PacemakerCluster::judge_offer(const engine::StopQuestion& question,
                                   engine::Callback<engine::OfferJudgement> done) {
  if (!active_here()) {
    boost::asio::post(loop_, [done] {
      done({handoff::Judgement::real_stop, "the cluster manager left this node"});
    });
    return;
  }
  io::judge_offer(loop_.get_executor(), about(question, settings_),
                  [weak = std::weak_ptr<int>(life_), done](const Result<intent::Judged>& judged) {
                    if (!weak.lock()) return;
                    if (!judged.ok()) {
                      done({handoff::Judgement::stands, judged.error()});
                    } else {
                      done({in_engine_words(judged.value().judgement), judged.value().reason});
                    }
                  });
}

}  // namespace migrationd::io
