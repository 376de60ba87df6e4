// SPDX-License-Identifier: GPL-2.0-or-later
// See dead-man.h.
#include "migrationd/io/dead-man.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>
#include <vector>

#include "migrationd/io/emulator.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds call_limit{15000};
/// The daemon's own deadline comes first.
constexpr Milliseconds behind{2000};

/// Runs a program with nothing inherited but /dev/null and waits for its end. Blocks.
Outcome run_program(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, 0, 1);
  posix_spawn_file_actions_adddup2(&actions, 0, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  int failed = ::posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return Error{"can't run " + words[0] + ": " + errno_text(failed)};
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Done{};
  return Error{words[0] + " failed, " + (WIFEXITED(status) ? "exit code " + std::to_string(WEXITSTATUS(status)) : "killed")};
}

std::string unit(const DomainUuid& uuid) { return "migrationd-dead-man-" + uuid.str(); }

std::string record_name(const std::string& runtime_dir, const DomainUuid& uuid) { return runtime_dir + "/dead-man/" + uuid.str(); }

/// The call of `migrationd --direct WORDS...` as this daemon would understand it.
std::vector<std::string> direct_call(const DeadManConfig& config, std::vector<std::string> words) {
  std::vector<std::string> call{config.program};
  if (!config.config.empty()) call.insert(call.end(), {"--config", config.config});
  call.push_back("--direct");
  call.insert(call.end(), words.begin(), words.end());
  call.insert(call.end(), {"--state-dir=" + config.state_dir, "--runtime-dir=" + config.runtime_dir});
  return call;
}

Outcome arm_timer(const DeadManConfig& config, const DomainUuid& uuid, Milliseconds after) {
  std::vector<std::string> words{"systemd-run", "--quiet", "--collect", "--unit=" + unit(uuid), "--on-active=" + std::to_string(after.count()) + "ms",
                                 "--timer-property=AccuracySec=100ms", "--"};
  const std::vector<std::string> call = direct_call(config, {"dead-man", uuid.str()});
  words.insert(words.end(), call.begin(), call.end());
  return run_program(words);
}

}  // namespace

bool systemd_is_init() {
  struct stat status;
  return ::lstat("/run/systemd/system", &status) == 0 && S_ISDIR(status.st_mode);
}

DeadManProcess::DeadManProcess(boost::asio::io_context& loop, DeadManConfig config, engine::Log& log)
    : config_(std::move(config)), log_(log), calls_(loop, 1) {}  // one worker: orders of a domain stay in order

void DeadManProcess::run(const DomainUuid& uuid, const std::string& what, std::function<Outcome()> work, engine::Callback<Outcome> done) {
  calls_.run<Done>(uuid.str(), what, call_limit, std::move(work), [&log = log_, uuid, what, done = std::move(done)](Outcome outcome) {
    if (outcome) log.clear(AlarmKind::dead_man_failed, Subject::domain(uuid, ""), "to " + what + " succeeded");
    else log.raise(AlarmKind::dead_man_failed, Subject::domain(uuid, ""), what + ": " + outcome.error());
    if (done) done(outcome ? outcome : Outcome{Error{what + ": " + outcome.error()}});
  });
}

void DeadManProcess::arm(const DomainUuid& uuid, Milliseconds after, engine::Callback<Outcome> done) {
  run(uuid, "arm the dead-man", [config = config_, uuid, after = after + behind]() -> Outcome {
    Outcome ended = end_dead_man(uuid, config.runtime_dir);
    if (!ended) return ended;
    if (config.systemd) {
      (void)run_program({"systemctl", "stop", unit(uuid) + ".timer", unit(uuid) + ".service"});  // there may be none
      Outcome armed = arm_timer(config, uuid, after);
      if (armed) return armed;
    }
    return run_program(direct_call(config, {"dead-man-timer", uuid.str(), std::to_string(after.count())}));
  }, std::move(done));
}

void DeadManProcess::disarm(const DomainUuid& uuid) {
  run(uuid, "disarm the dead-man", [config = config_, uuid]() -> Outcome {
    if (config.systemd) (void)run_program({"systemctl", "stop", unit(uuid) + ".timer", unit(uuid) + ".service"});
    return end_dead_man(uuid, config.runtime_dir);
  }, {});
}

Outcome end_dead_man(const DomainUuid& uuid, const std::string& runtime_dir) {
  std::string name = record_name(runtime_dir, uuid);
  Fd fd(::open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == ENOENT) return Done{};
  if (!fd) return Error{"can't open " + name + ": " + errno_text(errno)};
  Result<std::string> text = read_all(fd, 100, name);
  if (!text) return Error{text.error()};
  pid_t pid = 0;
  std::uint64_t start = 0;
  std::istringstream in(text.value());
  if (in >> pid >> start && pid > 1) {
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    // The start time is read after the pidfd was opened: the number can't be another's without it showing.
    if (process && process_start_time(pid) == start) {
      if (::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH)
        return Error{"can't end the dead-man, process " + std::to_string(pid) + ": " + errno_text(errno)};
    }
  }
  ::unlink(name.c_str());
  return Done{};
}

Outcome wait_as_dead_man(const DomainUuid& uuid, Milliseconds after, const std::string& runtime_dir) {
  Fd timer(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
  if (!timer) return Error{"no timer: " + errno_text(errno)};
  itimerspec when{};
  long long milliseconds = std::max<long long>(1, after.count());
  when.it_value = {milliseconds / 1000, (milliseconds % 1000) * 1000000};
  if (::timerfd_settime(timer.get(), 0, &when, nullptr) != 0) return Error{"the timer can't be set: " + errno_text(errno)};
  Result<Fd> runtime = open_private_directory(runtime_dir);
  if (!runtime) return Error{runtime.error()};
  Result<Fd> directory = open_private_directory(runtime_dir + "/dead-man");
  if (!directory) return Error{directory.error()};

  int ready[2];
  if (::pipe2(ready, O_CLOEXEC) != 0) return Error{"no pipe: " + errno_text(errno)};
  Fd hear(ready[0]), tell(ready[1]);
  pid_t child = ::fork();  // no thread has been started yet
  if (child < 0) return Error{"can't fork: " + errno_text(errno)};
  if (child > 0) {
    // The parent answers the daemon: 0 once the record is there.
    tell.reset();
    char byte = 0;
    ssize_t got = 0;
    while ((got = ::read(hear.get(), &byte, 1)) < 0 && errno == EINTR) {
    }
    ::_exit(got == 1 ? 0 : 1);
  }
  hear.reset();
  ::setsid();
  if (::chdir("/") != 0) return Error{"can't leave the working directory: " + errno_text(errno)};
  std::string text = std::to_string(::getpid()) + " " + std::to_string(process_start_time(::getpid()).value_or(0)) + "\n";
  Outcome recorded = write_whole(directory.value(), uuid.str(), 0600, text, Replace::yes, "the dead-man's record");
  if (!recorded) return recorded;
  if (::write(tell.get(), "r", 1) != 1) return Error{"the daemon is gone"};
  tell.reset();
  std::uint64_t times = 0;
  while (::read(timer.get(), &times, sizeof times) < 0 && errno == EINTR) {
  }
  return Done{};  // the record stays: it also ends the dead-man that waits for a daemon's word
}

}  // namespace migrationd::io
