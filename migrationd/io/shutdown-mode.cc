// SPDX-License-Identifier: GPL-2.0-or-later
// See shutdown-mode.h.
#include "migrationd/io/shutdown-mode.h"

#include <sstream>

#include <libvirt/libvirt.h>

namespace migrationd::io {

Result<unsigned> shutdown_flags(const std::string& mode) {
  unsigned flags = 0;
  std::istringstream in(mode);
  for (std::string word; std::getline(in, word, ',');) {
    if (word == "acpi") {
      flags |= VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN;
    } else if (word == "agent") {
      flags |= VIR_DOMAIN_SHUTDOWN_GUEST_AGENT;
    } else if (word == "initctl") {
      flags |= VIR_DOMAIN_SHUTDOWN_INITCTL;
    } else if (word == "signal") {
      flags |= VIR_DOMAIN_SHUTDOWN_SIGNAL;
    } else if (word == "paravirt") {
      flags |= VIR_DOMAIN_SHUTDOWN_PARAVIRT;
    } else {
      return Error{"shutdown_mode \"" + word + "\" is unknown; use acpi, agent, initctl, signal or paravirt"};
    }
  }
  return flags;
}

}  // namespace migrationd::io
