// SPDX-License-Identifier: GPL-2.0-or-later
// An order of the cluster manager that waits for its answer.
#pragma once

#include <string>

#include "migrationd/engine/engine.h"

namespace migrationd::engine {

struct Engine::Pending {
  handoff::Token token = 0;
  Order order;
  DomainUuid uuid;
  Callback<OrderReply> reply;
  Instant ends;                  ///< the time of the order, less a margin for the answer's way
  bool without_limit = false;    ///< the caller gave it no time
  Instant decide_by;             ///< a stop: its meaning is known by then, or it is a real one
  TimerId end_timer = 0;
  TimerId short_timer = 0;       ///< a stop: two thirds of its time are over
  bool pushing = false;          ///< a stop that pushes first
  std::string parted;            ///< a stop that is to leave an offer: said when the offer is on disk
  bool time_is_up = false;
  std::string doubt;             ///< why a retried start has not come to an end
};

}  // namespace migrationd::engine
