// SPDX-License-Identifier: GPL-2.0-or-later
// Reads and judges the processes above us.
#include "agent/ancestry.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace migrationd::agent {

namespace {

constexpr int deepest = 64;

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Whether it is the program or the script of that name (an interpreter may stand before it), and the argument
// after the name, if any, is `word`; an empty word stands for any.
bool runs(const Arguments& arguments, std::string_view name, std::string_view word) {
  for (std::size_t i = 0; i < arguments.size() && i < 4; ++i) {
    if (file_name(arguments[i]) != name) continue;
    return word.empty() || (i + 1 < arguments.size() && arguments[i + 1] == word);
  }
  return false;
}

// Heartbeat's own children show what they do in their title: "heartbeat: hb_signal_giveup_resources".
bool titled(const Arguments& arguments, std::string_view word) {
  for (const std::string& argument : arguments)
    if (argument.find(word) != std::string::npos) return true;
  return false;
}

// The first `limit` bytes of a file of /proc; empty if it can't be read.
std::string read_file(const std::string& path, std::size_t limit) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  text.resize(limit);
  std::size_t size = 0;
  for (ssize_t got = 0; size < limit && (got = ::read(fd, text.data() + size, limit - size)) > 0;) size += static_cast<std::size_t>(got);
  ::close(fd);
  text.resize(size);
  return text;
}

// From /proc/PID/stat; the command's name, in brackets, may itself hold brackets and spaces.
pid_t parent_of(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat", 1024);
  const std::size_t bracket = stat.rfind(')');
  return bracket == std::string::npos || bracket + 4 > stat.size() ? 0 : std::atoi(stat.c_str() + bracket + 4);
}

}  // namespace

wire::HeartbeatCause cause_of_call(const std::vector<Arguments>& ancestors) {
  using wire::HeartbeatCause;
  bool asked = false, gives = false, takes = false;
  for (const Arguments& arguments : ancestors) {
    if (titled(arguments, "hb_signal_giveup_resources")) return HeartbeatCause::shutdown;
    asked = asked || runs(arguments, "ip-request", "");
    gives = gives || runs(arguments, "ResourceManager", "givegroup");
    takes = takes || runs(arguments, "ResourceManager", "takegroup");
  }
  if (takes) return HeartbeatCause::roll_back;
  if (asked) return HeartbeatCause::peer_request;
  if (gives) return HeartbeatCause::standby;
  return HeartbeatCause::by_hand;
}

std::string dead_node(const std::vector<Arguments>& ancestors) {
  for (const Arguments& arguments : ancestors) {
    for (std::size_t i = 0; i + 1 < arguments.size() && i < 4; ++i)
      if (file_name(arguments[i]) == "mach_down") return arguments[i + 1];
  }
  return {};
}

std::vector<Arguments> ancestors() {
  std::vector<Arguments> result;
  pid_t pid = ::getppid();
  for (int depth = 0; depth < deepest && pid > 0; ++depth, pid = parent_of(pid)) {
    const std::string line = read_file("/proc/" + std::to_string(pid) + "/cmdline", 4096);
    Arguments arguments;
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t end = std::min(line.find('\0', at), line.size());
      arguments.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    result.push_back(std::move(arguments));
  }
  return result;
}

}  // namespace migrationd::agent
