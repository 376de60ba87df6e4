// SPDX-License-Identifier: GPL-2.0-or-later
// The emulator process (QEMU) of a domain, known for certain: found through libvirt's own pid file, verified by
// its program and by the domain's UUID on its command line, and held by a pidfd, so that neither a signal nor
// a "it is dead" can ever concern another process that got the same number. Command lines of processes that no
// pid file names are never searched. Domains of Xen have no such process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/fd.h"

namespace migrationd::io {

/// Whether all threads of the process have begun to exit and let go of its memory: their /proc/PID/task/TID/exe leads nowhere then (proc(5)).
/// None of them returns to its program any more, and only one that does could make another. False also when there is no such process.
bool is_exiting(pid_t pid);

/// Where libvirt's QEMU driver keeps NAME.pid.
inline constexpr const char* libvirt_pid_directory = "/run/libvirt/qemu";

class Emulator {
 public:
  /// The emulator that DIRECTORY/NAME.pid names, if it is alive and carries `uuid`; without such a file the one that
  /// any other names, because libvirt writes <, >, &, ' and " of a name as XML does. Null: proven that no pid file
  /// names a living emulator of the domain (no file, dead process, or a process that is something else).
  /// Error: it can't be told (unreadable directory, file or /proc entry).
  static Result<std::shared_ptr<Emulator>> find(const std::string& directory, const std::string& name, const DomainUuid& uuid);
  /// As find(), by the UUID on its command line alone.
  static Result<std::shared_ptr<Emulator>> find_by_uuid(const std::string& directory, const DomainUuid& uuid);
  /// All living emulators that pid files of DIRECTORY name, by the UUID on their command line. A missing
  /// directory is an empty answer: libvirt makes it before it starts anything.
  static Result<std::map<DomainUuid, std::shared_ptr<Emulator>>> find_all(const std::string& directory);

  pid_t pid() const { return pid_; }
  /// Readable (poll) once the process is dead.
  int pidfd() const { return pidfd_.get(); }
  const DomainUuid& uuid() const { return uuid_; }
  /// Start time in clock ticks since boot (field 22 of /proc/PID/stat).
  std::uint64_t start_time() const { return start_time_; }

  bool dead() const { return wait_dead(Milliseconds{0}); }
  /// Waits until it is dead, at most `limit`. Blocks: not for the event loop unless `limit` is 0.
  bool wait_dead(Milliseconds limit) const;
  /// It will never execute anything again: it is dead, or its threads are exiting, each of them. That is so long before its death where it
  /// has much memory to give back to the kernel (some 80 ms per GiB of small pages).
  bool executes_no_more() const { return dead() || is_exiting(pid_) || dead(); }
  Outcome signal(int number) const;
  /// SIGTERM, after `gentle` SIGKILL, and at most `hard` more until the death is seen. Blocks.
  Outcome end(Milliseconds gentle, Milliseconds hard) const;

 private:
  static Result<std::shared_ptr<Emulator>> inspect(pid_t pid, const std::optional<DomainUuid>& wanted);
  pid_t pid_ = 0;
  Fd pidfd_;
  DomainUuid uuid_;
  std::uint64_t start_time_ = 0;
};

/// Start time of a process in clock ticks since boot; nothing when there is no such process.
std::optional<std::uint64_t> process_start_time(pid_t pid);

/// Memory that the process has in RAM, in KiB; 0: it has ended, or it can't be told.
std::uint64_t resident_kib(const Emulator& emulator);

/// Raises the soft limit of open files to the hard one: a pidfd per domain needs more than the usual 1024.
void raise_descriptor_limit();

}  // namespace migrationd::io
