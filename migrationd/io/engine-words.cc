// SPDX-License-Identifier: GPL-2.0-or-later
// See engine-words.h.
#include "migrationd/io/engine-words.h"

namespace migrationd::io {

namespace {

engine::Intent word(intent::Intent intent) {
  switch (intent) {
    case intent::Intent::stop: return engine::Intent::stop;
    case intent::Intent::push: return engine::Intent::push;
    case intent::Intent::offer: return engine::Intent::offer;
    case intent::Intent::keep: return engine::Intent::keep;
  }
  return engine::Intent::stop;
}

handoff::Judgement word(intent::Judgement judgement) {
  switch (judgement) {
    case intent::Judgement::stands: return handoff::Judgement::stands;
    case intent::Judgement::real_stop: return handoff::Judgement::real_stop;
    case intent::Judgement::take_back: return handoff::Judgement::take_back;
  }
  return handoff::Judgement::stands;
}

}  // namespace

engine::StopIntent in_engine_words(const intent::Decision& decision) {
  return {word(decision.intent), decision.to, decision.reason, decision.short_offer, decision.after_failed_migration, decision.also_on};
}

engine::OfferJudgement in_engine_words(const intent::Judged& judged) { return {word(judged.judgement), judged.reason}; }

}  // namespace migrationd::io
