// SPDX-License-Identifier: GPL-2.0-or-later
// engine::Log on libqb's log: syslog (the journal under systemd), a file or standard error, and libqb's flight
// recorder, which keeps the last lines of every level and is written to disk on a crash or on SIGUSR2.
#pragma once

#include <string>

#include "migrationd/engine/world.h"

namespace migrationd::io {

struct LogSettings {
  enum class Target { syslog, file, standard_error };
  Target target = Target::syslog;
  std::string file;                ///< for Target::file
  engine::Log::Level least = engine::Log::Level::notice;  ///< what is less is not written
  std::string blackbox;            ///< where the flight recorder is written; empty: it is off
};

class LogSink : public engine::Log {
 public:
  explicit LogSink(const LogSettings& settings);
  ~LogSink() override;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  void write(Level level, const std::string& domain, const std::string& text) override;
  /// Writes the flight recorder to its file.
  void dump() const;

 private:
  std::string blackbox_;
};

}  // namespace migrationd::io
