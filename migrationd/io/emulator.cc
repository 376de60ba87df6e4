// SPDX-License-Identifier: GPL-2.0-or-later
// See emulator.h. The order in inspect() matters: the pidfd is opened first and everything read from /proc is
// believed only when the pidfd says afterwards that the process still lives, so a number that was given to
// another process in between is never mistaken.
#include "migrationd/io/emulator.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <vector>

namespace migrationd::io {

namespace {

// glibc 2.36 declares its wrappers without extern "C".
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

std::string errno_text(const std::string& what) { return what + ": " + std::strerror(errno); }

/// Reads at most `limit` bytes.
Result<std::string> read_at(int directory, const std::string& path, std::size_t limit) {
  Fd fd(::openat(directory, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Error{errno_text("open " + path)};
  std::string text;
  std::vector<char> buffer(4096);
  while (text.size() < limit) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{errno_text("read " + path)};
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;
}

std::optional<pid_t> parse_pid(const std::string& text) {
  pid_t pid = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc{} || pid <= 1) return {};
  for (; end != text.data() + text.size(); ++end)
    if (*end != '\n' && *end != ' ') return {};
  return pid;
}

/// The argument after `-uuid`.
std::optional<DomainUuid> uuid_argument(const std::string& command_line) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < command_line.size();) {
    std::size_t end = command_line.find('\0', at);
    if (end == std::string::npos) end = command_line.size();
    words.push_back(std::string_view(command_line).substr(at, end - at));
    at = end + 1;
  }
  for (std::size_t i = 0; i + 1 < words.size(); ++i)
    if (words[i] == "-uuid") return DomainUuid::parse(words[i + 1]);
  return {};
}

bool looks_like_qemu(const std::string& program) {
  std::string base = program.substr(program.rfind('/') + 1);
  return base.rfind("qemu", 0) == 0;
}

Milliseconds monotonic() {
  return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

std::optional<std::uint64_t> process_start_time(pid_t pid) {
  Result<std::string> stat = read_at(AT_FDCWD, "/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return {};
  std::size_t at = stat.value().rfind(')');  // the program's name may itself contain parentheses
  if (at == std::string::npos) return {};
  const std::string& text = stat.value();
  for (int field = 2; field < 22; ++field) {
    at = text.find(' ', at + 1);
    if (at == std::string::npos) return {};
  }
  std::uint64_t ticks = 0;
  auto [end, error] = std::from_chars(text.data() + at + 1, text.data() + text.size(), ticks);
  if (error != std::errc{}) return {};
  return ticks;
}

bool is_exiting(pid_t pid) {
  const std::string threads = "/proc/" + std::to_string(pid) + "/task/";
  // Not by a thread's `stat` or `status`: who reads those holds the memory while it reads, and may be the one that has to give it back.
  const auto has_program = [&](const std::string& thread) {
    char path[1];
    return ::readlink((threads + thread + "/exe").c_str(), path, sizeof path) >= 0 || errno != ENOENT;
  };
  if (::access(threads.c_str(), F_OK) != 0 || has_program(std::to_string(pid))) return false;
  std::unique_ptr<DIR, int (*)(DIR*)> list(::opendir(threads.c_str()), ::closedir);
  if (!list) return false;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(list.get());
    if (entry == nullptr) return errno == 0;
    if (entry->d_name[0] != '.' && has_program(entry->d_name)) return false;
  }
}

Result<std::shared_ptr<Emulator>> Emulator::inspect(pid_t pid, const std::optional<DomainUuid>& wanted) {
  Fd pidfd(open_pidfd(pid));
  if (!pidfd) {
    if (errno == ESRCH || errno == EINVAL) return std::shared_ptr<Emulator>();
    return Error{errno_text("pidfd_open of process " + std::to_string(pid))};
  }
  auto emulator = std::make_shared<Emulator>();
  emulator->pid_ = pid;
  emulator->pidfd_ = std::move(pidfd);
  std::string proc = "/proc/" + std::to_string(pid);
  std::string program(4096, '\0');
  ssize_t length = ::readlink((proc + "/exe").c_str(), program.data(), program.size());
  std::string exe_error = length < 0 ? errno_text("read " + proc + "/exe") : "";
  program.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  Result<std::string> command_line = read_at(AT_FDCWD, proc + "/cmdline", 1024 * 1024);
  std::optional<std::uint64_t> start = process_start_time(pid);
  if (emulator->dead()) return std::shared_ptr<Emulator>();
  if (!exe_error.empty()) return Error{exe_error};
  if (!command_line) return Error{command_line.error()};
  if (!start) return Error{"read " + proc + "/stat: no start time in it"};
  if (!looks_like_qemu(program)) return std::shared_ptr<Emulator>();
  std::optional<DomainUuid> uuid = uuid_argument(command_line.value());
  if (!uuid || (wanted && *wanted != *uuid)) return std::shared_ptr<Emulator>();
  emulator->uuid_ = *uuid;
  emulator->start_time_ = *start;
  return emulator;
}

Result<std::shared_ptr<Emulator>> Emulator::find_by_uuid(const std::string& directory, const DomainUuid& uuid) {
  auto all = find_all(directory);
  if (!all) return Error{all.error()};
  auto at = all.value().find(uuid);
  return at == all.value().end() ? std::shared_ptr<Emulator>() : at->second;
}

Result<std::shared_ptr<Emulator>> Emulator::find(const std::string& directory, const std::string& name, const DomainUuid& uuid) {
  if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
    return std::shared_ptr<Emulator>();  // libvirt starts no QEMU under such a name
  Fd where(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!where) {
    if (errno == ENOENT) return std::shared_ptr<Emulator>();
    return Error{errno_text("open " + directory)};
  }
  struct stat status;
  if (::fstatat(where.get(), (name + ".pid").c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
    // A name too long for a file name has no pid file either; libvirt then refuses to start the domain.
    if (errno == ENAMETOOLONG) return std::shared_ptr<Emulator>();
    if (errno == ENOENT) return find_by_uuid(directory, uuid);
    return Error{errno_text("look at " + directory + "/" + name + ".pid")};
  }
  Result<std::string> text = read_at(where.get(), name + ".pid", 64);
  if (!text) return Error{"libvirt's pid file in " + directory + " can't be read: " + text.error()};
  std::optional<pid_t> pid = parse_pid(text.value());
  if (!pid) return Error{"libvirt's pid file " + directory + "/" + name + ".pid holds no process number"};
  return inspect(*pid, uuid);
}

Result<std::map<DomainUuid, std::shared_ptr<Emulator>>> Emulator::find_all(const std::string& directory) {
  std::map<DomainUuid, std::shared_ptr<Emulator>> found;
  std::unique_ptr<DIR, int (*)(DIR*)> where(::opendir(directory.c_str()), ::closedir);
  if (!where) {
    if (errno == ENOENT) return found;
    return Error{errno_text("open " + directory)};
  }
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(where.get());
    if (entry == nullptr) {
      if (errno != 0) return Error{errno_text("list " + directory)};
      return found;
    }
    std::string file = entry->d_name;
    if (file.size() < 5 || file.substr(file.size() - 4) != ".pid" || file == "driver.pid") continue;
    Result<std::string> text = read_at(::dirfd(where.get()), file, 64);
    if (!text) continue;  // removed between listing and reading: libvirt has just ended it
    std::optional<pid_t> pid = parse_pid(text.value());
    if (!pid) continue;
    Result<std::shared_ptr<Emulator>> emulator = inspect(*pid, {});
    if (!emulator) return Error{emulator.error()};
    if (emulator.value()) found[emulator.value()->uuid()] = emulator.value();
  }
}

bool Emulator::wait_dead(Milliseconds limit) const {
  Milliseconds ends = monotonic() + limit;
  for (;;) {
    pollfd waiting{pidfd_.get(), POLLIN, 0};
    Milliseconds left = std::max(Milliseconds{0}, ends - monotonic());
    int ready = ::poll(&waiting, 1, static_cast<int>(std::min<Milliseconds::rep>(left.count(), 60000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (left.count() == 0) return false;
  }
}

Outcome Emulator::signal(int number) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) == 0 || errno == ESRCH) return Done{};
  return Error{errno_text("signal " + std::to_string(number) + " to the emulator, process " + std::to_string(pid_))};
}

Outcome Emulator::end(Milliseconds gentle, Milliseconds hard) const {
  if (dead()) return Done{};
  if (gentle.count() > 0) {
    Outcome sent = signal(SIGTERM);
    if (!sent) return sent;
    if (wait_dead(gentle)) return Done{};
  }
  Outcome sent = signal(SIGKILL);
  if (!sent) return sent;
  if (wait_dead(hard)) return Done{};
  return Error{"the emulator, process " + std::to_string(pid_) + ", is still there " + std::to_string(hard.count()) +
               " ms after SIGKILL: it is stuck in the kernel (a dead disk?); only a power cycle of the node ends it"};
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace migrationd::io
