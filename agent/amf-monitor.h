// SPDX-License-Identifier: GPL-2.0-or-later
// The external active monitor of a component of AMF: a process that am_start leaves behind. It asks how the domain is, every so
// often, and reports the component to AMF when that is not well.
//
//   am_start --fork--> monitor, holds the lock on RUNTIME/amf/NAME.monitor as long as it lives
//   am_stop  --------> asks the kernel who holds that lock, and ends him
//
// So there is no number of a process in a file that could be somebody else's by now.
#pragma once

#include <string>

#include "agent/answer.h"
#include "migrationd/base/result.h"

namespace migrationd::agent {

struct Watch {
  std::string component;           ///< its distinguished name
  Milliseconds interval{10'000};   ///< between two looks
  Milliseconds patience{60'000};   ///< in which trouble that may pass, such as a libvirt that does not answer, is borne
  /// The program that reports an error, called with the component and the recovery. Empty: AMF watches the monitor itself
  /// (amfpm, passive monitoring), whose end is the report.
  std::string report;
  std::string recovery = "norec";  ///< what AMF is recommended to do, in amfpm's words
};

/// Ends a monitor that there may be, then leaves one behind that asks with `request` (operation monitor). An error: none is there.
Outcome start_monitor(const Installation& installation, const wire::LocalRequest& request, const Watch& watch);

/// Ends the monitor of the resource `name` (checked by why_no_name) and what it runs; none there: done. An error can also
/// mean that it has ended, and AMF was not told before.
Outcome end_monitor(const Installation& installation, const std::string& name, const Watch& watch);

}  // namespace migrationd::agent
