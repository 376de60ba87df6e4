// SPDX-License-Identifier: GPL-2.0-or-later
// The room intent knows no engine: its decisions in the engine's words, whichever cluster manager they are about.
#pragma once

#include "migrationd/engine/world.h"
#include "migrationd/intent/intent.h"

namespace migrationd::io {

engine::StopIntent in_engine_words(const intent::Decision& decision);
engine::OfferJudgement in_engine_words(const intent::Judged& judged);

}  // namespace migrationd::io
