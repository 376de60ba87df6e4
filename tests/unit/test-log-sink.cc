// SPDX-License-Identifier: GPL-2.0-or-later
// What of the log reaches its target: the configured level and all above it, each line with its priority's name.
#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "migrationd/io/log-sink.h"
#include "tests/unit/scratch.h"

using migrationd::engine::Log;
using migrationd::io::LogSettings;
using migrationd::io::LogSink;

namespace {

/// The lines' priorities and texts, after one line of each level was written.
std::vector<std::string> written(const std::string& file, Log::Level least) {
  LogSettings settings;
  settings.target = LogSettings::Target::file;
  settings.file = file;
  settings.least = least;
  {
    LogSink log(settings);
    log.write(Log::Level::debug, "", "one");
    log.write(Log::Level::info, "", "two");
    log.write(Log::Level::notice, "vm1", "three");
    log.write(Log::Level::warning, "", "four\nnotice: forged");
    log.write(Log::Level::alarm, "", "five %s");
  }
  std::vector<std::string> lines;
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    // The time comes first: "Nov 21 05:12:07.015 notice: text".
    const auto priority = line.find_first_not_of("0123456789:. ", 6);
    if (priority != line.npos) lines.push_back(line.substr(priority));
  }
  return lines;
}

}  // namespace

TEST_CASE("log-sink: each level shows itself and what is above it") {
  const std::vector<std::string> all{"debug: one", "info: two", "notice: vm1: three", "warning: four notice: forged", "error: five %s"};
  migrationd::tests::Scratch scratch;
  int dropped = 0;
  for (const auto least : {Log::Level::debug, Log::Level::info, Log::Level::notice, Log::Level::warning, Log::Level::alarm}) {
    CAPTURE(dropped);
    CHECK(written(scratch / std::to_string(dropped), least) == std::vector<std::string>(all.begin() + dropped, all.end()));
    ++dropped;
  }
}
