// SPDX-License-Identifier: GPL-2.0-or-later
// See amf-monitor.h.
#include "agent/amf-monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "agent/program.h"

namespace migrationd::agent {

namespace {

constexpr Milliseconds look_time{20'000};
constexpr Milliseconds begin_time{10'000};   // until a monitor that was forked says that it is there
constexpr Milliseconds amfpm_time{10'000};
constexpr Milliseconds end_time{5'000};      // for one that was asked to end, and again for one that was killed
constexpr Milliseconds report_time{30'000};

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

Deadline in(Milliseconds time) { return std::chrono::steady_clock::now() + time; }

std::string of_errno() { return std::strerror(errno); }

/// The directory of the locks, which is root's alone: who could write there could keep monitors away. Not there and not to be
/// made: -1 without an error.
Result<File> open_directory(const std::string& runtime, bool make) {
  const std::string path = runtime + "/amf";
  if (make) {
    ::mkdir(runtime.c_str(), 0700);
    ::mkdir(path.c_str(), 0700);
  }
  File directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory && errno == ENOENT && !make) return directory;
  if (!directory) return Error{"the monitor's directory " + path + " can't be opened: " + of_errno()};
  struct stat about {};
  if (::fstat(directory.fd(), &about) != 0) return Error{path + " can't be looked at: " + of_errno()};
  if (about.st_uid != ::geteuid() || (about.st_mode & 077) != 0)
    return Error{"the monitor's directory " + path + " is open to others; it must be of mode 0700 and this user's own"};
  return directory;
}

/// Names one lock for a resource; the file stays when its monitor has ended, because who had it open already would else
/// lock one that nobody finds.
Result<File> open_lock(const std::string& runtime, const std::string& name, bool make) {
  Result<File> directory = open_directory(runtime, make);
  if (!directory || !directory.value()) return directory;
  const std::string file = name + ".monitor";
  File lock(::openat(directory.value().fd(), file.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | (make ? O_CREAT : 0), 0600));
  if (!lock && errno == ENOENT && !make) return lock;
  if (!lock) return Error{"the monitor's lock " + runtime + "/amf/" + file + " can't be opened: " + of_errno()};
  return lock;
}

/// Who holds the lock; 0: nobody.
pid_t holder(const File& lock) {
  struct flock asked {};
  asked.l_type = F_WRLCK;
  asked.l_whence = SEEK_SET;
  if (::fcntl(lock.fd(), F_GETLK, &asked) != 0 || asked.l_type == F_UNLCK) return 0;
  return asked.l_pid;
}

bool take(const File& lock) {
  struct flock asked {};
  asked.l_type = F_WRLCK;
  asked.l_whence = SEEK_SET;
  return ::fcntl(lock.fd(), F_SETLK, &asked) == 0;
}

/// Whether the process ends by then.
bool ends(const File& process, Milliseconds time) {
  const Deadline deadline = in(time);
  pollfd ended{process.fd(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&ended, 1, poll_time(deadline));
  } while (ready <= 0 && time_until(deadline) > Milliseconds(0));
  return ready > 0;
}

void send(const File& process, int number) { ::syscall(SYS_pidfd_send_signal, process.fd(), number, nullptr, 0); }

/// "--start": AMF is to take the end of the process for the component's error; "--stop": no more.
std::string tell_amf(const char* what, pid_t monitor, const Watch& watch) {
  std::vector<std::string> words{"amfpm", what, "--pid=" + std::to_string(monitor)};
  if (std::strcmp(what, "--start") == 0) words.push_back("--recrec=" + watch.recovery);
  words.push_back(watch.component);
  return run_program(words, in(amfpm_time));
}

Outcome end(const File& lock, const Watch& watch) {
  while (const pid_t monitor = holder(lock)) {
    const File process(static_cast<int>(::syscall(SYS_pidfd_open, monitor, 0)));
    if (!process && errno == ESRCH) continue;  // its lock goes with it
    if (!process) return Error{"the monitor (process " + std::to_string(monitor) + ") can't be ended: " + of_errno()};
    if (holder(lock) != monitor) continue;  // it ended before the handle was had, which may be another process's
    // It must end whatever AMF says: left alone it would report a component that is stopped on purpose.
    const std::string untold = watch.report.empty() ? tell_amf("--stop", monitor, watch) : "";
    send(process, SIGTERM);
    if (!ends(process, end_time)) {
      send(process, SIGKILL);
      if (!ends(process, end_time)) return Error{"the monitor (process " + std::to_string(monitor) + ") doesn't end"};
    }
    if (!untold.empty()) return Error{"the monitor was ended, but AMF may take that for an error: " + untold};
  }
  return Done{};
}

// The group is the monitor's own, so nothing that it runs stays behind.
void end_group(int) { ::kill(0, SIGKILL); }

/// Nothing of amfnd's is kept: terminal, descriptors, signals that it holds back.
void detach() {
  ::setsid();
  struct sigaction ending {};
  ending.sa_handler = end_group;
  ::sigaction(SIGTERM, &ending, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; ++fd) ::dup2(null, fd);
}

/// Looks until the domain isn't well and AMF knows it. That it doesn't run here is known at the first answer; anything else may
/// be the trouble of who is asked, as a libvirt that is just restarted, and so must last: what AMF does about it ends a guest that runs.
int look_after(const Installation& installation, const wire::LocalRequest& request, const Watch& watch) {
  ::openlog("migrationd-amf", LOG_PID, LOG_DAEMON);
  bool doubted = false;
  std::chrono::steady_clock::time_point since{};
  for (;; std::this_thread::sleep_for(watch.interval)) {
    const Answer answer = get_answer(installation, request, in(look_time), false);
    const bool well = answer.code == wire::OcfCode::success;
    const auto now = std::chrono::steady_clock::now();
    if (!std::exchange(doubted, !well)) since = now;
    if (well) continue;
    const bool lasts = now - since >= watch.patience;
    if (!lasts && answer.code != wire::OcfCode::not_running) continue;
    const std::string why = answer.reason.empty() ? "it does not run here" : answer.reason;
    ::syslog(LOG_ERR, "%s is reported to AMF: %s", request.resource.c_str(), why.c_str());
    if (watch.report.empty()) return 1;
    const std::string failed = run_program({watch.report, watch.component, watch.recovery}, in(report_time));
    if (failed.empty()) return 0;
    ::syslog(LOG_ERR, "%s could not be reported, which is tried again: %s", request.resource.c_str(), failed.c_str());
  }
}

}  // namespace

Outcome start_monitor(const Installation& installation, const wire::LocalRequest& request, const Watch& watch) {
  Result<File> lock = open_lock(installation.runtime, request.resource, true);
  if (!lock) return Error{lock.error()};
  // The one of an am_start that ran out of time may not be known to AMF, and may watch by what was configured before.
  if (Outcome ended = end(lock.value(), watch); !ended) return ended;
  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) return Error{"no monitor can be started: " + of_errno()};
  const File hears(ready[0]);
  pid_t monitor = 0;
  {
    const File says(ready[1]);
    monitor = ::fork();
    if (monitor < 0) return Error{"no monitor can be started: " + of_errno()};
    if (monitor == 0) {
      detach();
      if (!take(lock.value()) || ::write(says.fd(), "", 1) != 1) ::_exit(1);
      ::close(says.fd());
      ::_exit(look_after(installation, request, watch));
    }
  }
  pollfd said{hears.fd(), POLLIN, 0};
  char byte = 0;
  if (::poll(&said, 1, static_cast<int>(begin_time.count())) <= 0 || ::read(hears.fd(), &byte, 1) != 1) {
    int status = 0;
    ended_by(in(Milliseconds(0)), monitor, status);
    return Error{"the monitor did not come up: another one took its place, or it was too slow"};
  }
  if (!watch.report.empty()) return Done{};
  if (const std::string failed = tell_amf("--start", monitor, watch); !failed.empty()) {
    int status = 0;
    ::kill(monitor, SIGTERM);  // our child, which is not waited for yet: the number is its own
    ended_by(in(end_time), monitor, status);
    return Error{"AMF can't be told of the monitor: " + failed + "; MIGRATIOND_AMF_REPORT names another way"};
  }
  return Done{};
}

Outcome end_monitor(const Installation& installation, const std::string& name, const Watch& watch) {
  const Result<File> lock = open_lock(installation.runtime, name, false);
  if (!lock) return Error{lock.error()};
  return lock.value() ? end(lock.value(), watch) : Outcome(Done{});
}

}  // namespace migrationd::agent
