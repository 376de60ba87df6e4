// SPDX-License-Identifier: GPL-2.0-or-later
// See heartbeat-process.h.
#include "migrationd/io/heartbeat-process.h"

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

namespace migrationd::io {

namespace {

/// A process's arguments; none when it has ended meanwhile.
std::vector<std::string> arguments_of(const std::filesystem::path& process) {
  std::ifstream file(process / "cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string one; std::getline(file, one, '\0');) arguments.push_back(one);
  return arguments;
}

bool stops_it(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return false;
  const std::string_view program = std::string_view(arguments[0]).substr(arguments[0].rfind('/') + 1);
  // Heartbeat's children say in their title what they do: "heartbeat: heartbeat: hb_signal_giveup_resources".
  if (program.starts_with("heartbeat:")) return arguments[0].find("hb_signal_giveup_resources") != std::string::npos;
  // Who orders it to stop waits for its end, under the bare title "heartbeat": of its arguments nothing is left.
  const auto is = [&](const char* word) { return std::find(arguments.begin() + 1, arguments.end(), word) != arguments.end(); };
  const bool titled = std::all_of(arguments.begin() + 1, arguments.end(), [](const std::string& one) { return one.empty(); });
  return program == "heartbeat" && (titled || is("-k"));
}

}  // namespace

bool heartbeat_runs(const std::string& pid_file) {
  long pid = 0;
  std::ifstream file(pid_file);
  return file >> pid && pid > 1 && kill(static_cast<pid_t>(pid), 0) == 0;
}

bool heartbeat_stops(const std::string& proc) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(proc, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos && stops_it(arguments_of(at->path()))) return true;
  }
  return false;
}

}  // namespace migrationd::io
