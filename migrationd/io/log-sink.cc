// SPDX-License-Identifier: GPL-2.0-or-later
// Levels, targets and the flight recorder.
#include "migrationd/io/log-sink.h"

#include <syslog.h>

#include <cerrno>
#include <cstring>

#include <qb/qblog.h>

namespace migrationd::io {

namespace {

/// Bytes of the flight recorder.
constexpr int blackbox_bytes = 512 * 1024;

std::uint8_t priority(engine::Log::Level level) {
  switch (level) {
    case engine::Log::Level::debug: return LOG_DEBUG;
    case engine::Log::Level::info: return LOG_INFO;
    case engine::Log::Level::notice: return LOG_NOTICE;
    case engine::Log::Level::warning: return LOG_WARNING;
    case engine::Log::Level::alarm: return LOG_ERR;
  }
  return LOG_ERR;
}

}  // namespace

LogSink::LogSink(const LogSettings& settings) : blackbox_(settings.blackbox) {
  const std::uint8_t least = priority(settings.least);
  qb_log_init("migrationd", LOG_DAEMON, least);
  std::int32_t target = QB_LOG_SYSLOG;
  switch (settings.target) {
    case LogSettings::Target::syslog:
      break;
    case LogSettings::Target::file:
      target = qb_log_file_open(settings.file.c_str());
      if (target < 0) target = QB_LOG_STDERR;
      break;
    case LogSettings::Target::standard_error:
      target = QB_LOG_STDERR;
      break;
  }
  if (target != QB_LOG_SYSLOG) qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
  qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", least);
  if (target != QB_LOG_SYSLOG) qb_log_format_set(target, "%T %p: %b");
  qb_log_ctl(target, QB_LOG_CONF_MAX_LINE_LEN, 1024);
  qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
  if (!blackbox_.empty()) {
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, blackbox_bytes);
    qb_log_filter_ctl(QB_LOG_BLACKBOX, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_DEBUG);
    qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_ENABLED, QB_TRUE);
  }
  if (settings.target == LogSettings::Target::file && target == QB_LOG_STDERR) {
    write(Level::warning, "", "the log file " + settings.file + " can't be opened (" + std::strerror(errno) +
                                  "): the log goes to standard error");
  }
}

LogSink::~LogSink() { qb_log_fini(); }

void LogSink::write(Level level, const std::string& domain, const std::string& text) {
  const std::string line = domain.empty() ? text : domain + ": " + text;
  // Data is never a format; nobody's newline starts a line of its own.
  std::string safe;
  safe.reserve(line.size());
  for (const char c : line) safe.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  qb_log_from_external_source(__func__, "log-sink.cc", "%s", priority(level), 0, 0, safe.c_str());
}

void LogSink::dump() const {
  if (!blackbox_.empty()) qb_log_blackbox_write_to_file(blackbox_.c_str());
}

}  // namespace migrationd::io
