// SPDX-License-Identifier: GPL-2.0-or-later
// See end-words.h.
#include "migrationd/io/end-words.h"

namespace migrationd::io {

namespace {

/// What engine::Engine::drain() waits for; empty: it does not wait for this one.
std::string state_in_words(const engine::DomainStatus& domain) {
  switch (domain.state.phase) {
    case handoff::Phase::offered:
      return "offered, to be fetched within " + std::to_string(domain.offer_left.count() / 1000) + " s, else really stopped";
    case handoff::Phase::moving: return "moving to " + domain.state.peer;
    case handoff::Phase::given: return "given to " + domain.state.peer + ", which has not acknowledged it yet";
    case handoff::Phase::stopping: return "being shut down";
    case handoff::Phase::gone: return "";
    case handoff::Phase::claim: return "";
    case handoff::Phase::withdrawn: return "";
    case handoff::Phase::held: return "";
  }
  return "";
}

}  // namespace

std::string unfinished(const std::vector<engine::DomainStatus>& domains) {
  std::string text;
  for (const engine::DomainStatus& domain : domains) {
    const std::string state = state_in_words(domain);
    if (!state.empty()) text += (text.empty() ? "" : "; ") + domain.name + " (" + state + ")";
  }
  return text;
}

}  // namespace migrationd::io
