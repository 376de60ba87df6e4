// SPDX-License-Identifier: GPL-2.0-or-later
// See ending.h.
#include "migrationd/recovery/ending.h"

#include <algorithm>

namespace migrationd::recovery {

namespace {

bool is_end(Sign sign) {
  switch (sign) {
    case Sign::guest_shut_down:
    case Sign::signalled:
    case Sign::panicked: return false;
    case Sign::off:
    case Sign::destroyed:
    case Sign::crashed:
    case Sign::migrated:
    case Sign::saved:
    case Sign::failed: return true;
  }
  return false;
}

}  // namespace

bool has_end(const std::vector<Sign>& signs) { return std::any_of(signs.begin(), signs.end(), is_end); }

Ending how_it_ended(const std::vector<Sign>& signs) {
  bool guest = false, killed = false, panicked = false;
  Ending ending = Ending::unknown;
  for (const Sign sign : signs) {
    switch (sign) {
      case Sign::guest_shut_down: guest = !killed; break;
      case Sign::signalled: killed = !guest; break;
      case Sign::panicked: panicked = true; break;
      case Sign::off: ending = killed ? Ending::crashed : Ending::powered_off; break;
      case Sign::destroyed: ending = Ending::powered_off; break;
      case Sign::crashed:
      case Sign::failed: ending = Ending::crashed; break;
      case Sign::migrated: ending = Ending::migrated; break;
      case Sign::saved: ending = Ending::saved; break;
    }
  }
  // Whatever ended it then: it had failed before.
  return panicked && ending == Ending::powered_off ? Ending::crashed : ending;
}

const char* in_words(Ending ending) {
  switch (ending) {
    case Ending::powered_off: return "was powered off";
    case Ending::crashed: return "crashed";
    case Ending::migrated: return "was migrated away by somebody else";
    case Ending::saved: return "was saved to a file";
    case Ending::unknown: return "ended, nobody knows how";
  }
  return "ended";
}

}  // namespace migrationd::recovery
