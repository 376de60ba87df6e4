// SPDX-License-Identifier: GPL-2.0-or-later
// Where everything is said that people may want to know: lines, alarms with their ends, events. Who only writes lines
// (the simulator, the tests) overrides write() alone; io/alarm-desk keeps the alarms and the events, too.
#pragma once

#include <string>

#include "migrationd/base/alarm.h"

namespace migrationd::engine {

class Log {
 public:
  enum class Level { debug, info, notice, warning, alarm };
  virtual ~Log() = default;
  /// `domain`: its name, or empty.
  virtual void write(Level level, const std::string& domain, const std::string& text) = 0;

  /// People must look. It stands until clear() of the same kind and subject; raised meanwhile, it is only counted.
  /// `said_lately`: no line for the log.
  virtual void raise(AlarmKind kind, const Subject& subject, const std::string& text, bool said_lately = false) {
    (void)kind;
    if (!said_lately) write(Level::alarm, subject.before_text(), text);
  }
  /// Over, if it stands: cheap, and silent if it does not, so that it is said whenever all is seen to be well.
  virtual void clear(AlarmKind kind, const Subject& subject, const std::string& why) { (void)kind, (void)subject, (void)why; }
  /// A line that is also an event of a kind of its own.
  virtual void happened(EventKind kind, const Subject& subject, Level level, const std::string& text) {
    (void)kind;
    write(level, subject.before_text(), text);
  }
};

}  // namespace migrationd::engine
