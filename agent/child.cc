// SPDX-License-Identifier: GPL-2.0-or-later
// See child.h. The end is seen through a pidfd, so nothing is asked again and again.
#include "agent/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace migrationd::agent {

Milliseconds time_until(Deadline deadline) {
  return std::max(Milliseconds(0), std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now()));
}

int poll_time(Deadline deadline) { return static_cast<int>(std::min<long long>(time_until(deadline).count(), 3'600'000)); }

bool ended_by(Deadline deadline, pid_t child, int& status) {
  pollfd ended{static_cast<int>(::syscall(SYS_pidfd_open, child, 0)), POLLIN, 0};
  bool in_time = true;
  while (ended.fd >= 0 && in_time) {
    const int ready = ::poll(&ended, 1, poll_time(deadline));
    if (ready > 0) break;
    in_time = time_until(deadline) > Milliseconds(0);
  }
  if (ended.fd >= 0) ::close(ended.fd);
  if (!in_time) ::kill(child, SIGKILL);
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return in_time;
}

}  // namespace migrationd::agent
