// SPDX-License-Identifier: GPL-2.0-or-later
// See program.h.
#include "agent/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

extern char** environ;

namespace migrationd::agent {

namespace {

/// The end of what a program says is kept; the reason of its failure stands there.
constexpr std::size_t kept = 512;

/// What is said on `fd`, until it is closed; false: not by `deadline`.
bool read_all(int fd, Deadline deadline, std::string& said) {
  char buffer[1024];
  while (true) {
    pollfd ready{fd, POLLIN, 0};
    const int polled = ::poll(&ready, 1, poll_time(deadline));
    if (polled < 0 && errno == EINTR) continue;
    if (polled <= 0) return false;
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    said.append(buffer, static_cast<std::size_t>(count));
    if (said.size() > 2 * kept) said.erase(0, said.size() - kept);
  }
}

}  // namespace

std::string run_program(const std::vector<std::string>& arguments, Deadline deadline) {
  const std::string& program = arguments.front();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return program + " can't be run: " + std::strerror(errno);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : arguments) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, program.c_str(), &actions, nullptr, argv.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string said;
  int status = 0;
  bool in_time = true;
  if (error == 0) {
    const bool closed = read_all(ends[0], deadline, said);
    in_time = ended_by(deadline, child, status) && closed;
  }
  ::close(ends[0]);
  while (!said.empty() && std::strchr(" \t\r\n", said.back()) != nullptr) said.pop_back();
  if (said.size() > kept) said.erase(0, said.size() - kept);
  const std::string words = said.empty() ? "" : ": " + said;
  if (error != 0) return program + " can't be run: " + std::strerror(error);
  if (!in_time) return program + " did not end in time and was killed" + words;
  if (WIFSIGNALED(status)) return program + " was ended by signal " + std::to_string(WTERMSIG(status)) + words;
  if (WEXITSTATUS(status) != 0) return program + " ended with " + std::to_string(WEXITSTATUS(status)) + words;
  return {};
}

}  // namespace migrationd::agent
