// SPDX-License-Identifier: GPL-2.0-or-later
// See watched-calls.h.
#include "watched-calls.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>

namespace migrationd::tests {

namespace {

struct Disk {
  std::mutex lock;
  std::string below;  ///< empty: nobody watches
  std::set<std::string> broken;
  std::vector<std::string> seen;
};

struct Libvirt {
  std::mutex lock;
  std::condition_variable idle;
  int in_hook = 0;
  WatchedLibvirt::List list;
  WatchedLibvirt::State state;
  WatchedLibvirt::Migrate migrate;
  virConnectDomainEventCallback event = nullptr;
  void* opaque = nullptr;
};

// Never destroyed: libraries call these functions until the program's last moment.
Disk& disk() {
  static Disk& one = *std::make_unique<Disk>().release();
  return one;
}
Libvirt& libvirt() {
  static Libvirt& one = *std::make_unique<Libvirt>().release();
  return one;
}

template <class F>
F next(F, const char* name) {
  void* found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) throw std::logic_error(std::string("no library has ") + name);
  return reinterpret_cast<F>(found);
}

/// Where an open file or directory is, relative to the watched one; empty: elsewhere.
std::string place(int fd, const std::string& below) {
  char path[4096];
  const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  if (length <= 0 || below.empty()) return "";
  const std::string found(path, static_cast<std::size_t>(length));
  if (found == below) return ".";
  return found.starts_with(below + "/") ? found.substr(below.size() + 1) : "";
}

/// A test's function while it is called.
template <class F>
class Hook {
 public:
  explicit Hook(F Libvirt::* one) {
    std::lock_guard held(libvirt().lock);
    function_ = libvirt().*one;
    if (function_) ++libvirt().in_hook;
  }
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;
  ~Hook() {
    if (!function_) return;
    std::lock_guard held(libvirt().lock);
    if (--libvirt().in_hook == 0) libvirt().idle.notify_all();
  }
  const F& operator*() const { return function_; }

 private:
  F function_;
};

}  // namespace

WatchedDisk::WatchedDisk(const std::string& below) {
  std::lock_guard held(disk().lock);
  disk().below = below;
}

WatchedDisk::~WatchedDisk() {
  std::lock_guard held(disk().lock);
  disk().below.clear();
  disk().broken.clear();
  disk().seen.clear();
}

void WatchedDisk::break_fsync(const std::string& file) {
  std::lock_guard held(disk().lock);
  disk().broken.insert(file);
}

void WatchedDisk::note(const std::string& what) {
  std::lock_guard held(disk().lock);
  disk().seen.push_back(what);
}

std::vector<std::string> WatchedDisk::seen() const {
  std::lock_guard held(disk().lock);
  return disk().seen;
}

WatchedLibvirt::WatchedLibvirt() = default;

WatchedLibvirt::~WatchedLibvirt() {
  std::unique_lock held(libvirt().lock);
  libvirt().idle.wait(held, [] { return libvirt().in_hook == 0; });
  libvirt().list = nullptr;
  libvirt().state = nullptr;
  libvirt().migrate = nullptr;
  libvirt().event = nullptr;
}

void WatchedLibvirt::on_list(List list) {
  std::lock_guard held(libvirt().lock);
  libvirt().list = std::move(list);
}

void WatchedLibvirt::on_state(State state) {
  std::lock_guard held(libvirt().lock);
  libvirt().state = std::move(state);
}

void WatchedLibvirt::on_migrate(Migrate migrate) {
  std::lock_guard held(libvirt().lock);
  libvirt().migrate = std::move(migrate);
}

bool WatchedLibvirt::emit(virDomainPtr domain, int event, int detail) {
  const Hook call(&Libvirt::event);
  const Hook opaque(&Libvirt::opaque);
  if (*call == nullptr) return false;
  (*call)(::virDomainGetConnect(domain), domain, event, detail, *opaque);
  return true;
}

int real_list(virConnectPtr connection, virDomainPtr** domains, unsigned flags) {
  static const auto real = next(&::virConnectListAllDomains, "virConnectListAllDomains");
  return real(connection, domains, flags);
}

int real_state(virDomainPtr domain, int* state, int* reason) {
  static const auto real = next(&::virDomainGetState, "virDomainGetState");
  return real(domain, state, reason, 0);
}

}  // namespace migrationd::tests

// ---------------------------------------------------------------- in the place of the libraries' own

using namespace migrationd::tests;

extern "C" {

int fsync(int fd) {
  static const auto real = next(&::fsync, "fsync");
  {
    std::lock_guard held(disk().lock);
    if (const std::string file = place(fd, disk().below); !file.empty()) {
      disk().seen.push_back("fsync " + file);
      if (disk().broken.contains(file)) {
        errno = EIO;
        return -1;
      }
    }
  }
  return real(fd);
}

int renameat(int from_directory, const char* from, int to_directory, const char* to) noexcept {
  static const auto real = next(&::renameat, "renameat");
  {
    std::lock_guard held(disk().lock);
    if (const std::string directory = place(to_directory, disk().below); !directory.empty())
      disk().seen.push_back(std::string("rename ") + from + " " + to);
  }
  return real(from_directory, from, to_directory, to);
}

int virConnectListAllDomains(virConnectPtr connection, virDomainPtr** domains, unsigned flags) {
  const Hook list(&Libvirt::list);
  return *list ? (*list)(connection, domains, flags) : real_list(connection, domains, flags);
}

int virDomainGetState(virDomainPtr domain, int* state, int* reason, unsigned) {
  const Hook answer(&Libvirt::state);
  return *answer ? (*answer)(domain, state, reason) : real_state(domain, state, reason);
}

int virDomainMigrateToURI3(virDomainPtr domain, const char* uri, virTypedParameterPtr parameters, unsigned count, unsigned flags) {
  static const auto real = next(&::virDomainMigrateToURI3, "virDomainMigrateToURI3");
  const Hook migrate(&Libvirt::migrate);
  return *migrate ? (*migrate)(domain, parameters, count, flags) : real(domain, uri, parameters, count, flags);
}

int virConnectDomainEventRegisterAny(virConnectPtr connection, virDomainPtr domain, int id,
                                     virConnectDomainEventGenericCallback call, void* opaque, virFreeCallback release) {
  static const auto real = next(&::virConnectDomainEventRegisterAny, "virConnectDomainEventRegisterAny");
  if (id == VIR_DOMAIN_EVENT_ID_LIFECYCLE) {
    std::lock_guard held(libvirt().lock);
    libvirt().event = reinterpret_cast<virConnectDomainEventCallback>(reinterpret_cast<void (*)()>(call));
    libvirt().opaque = opaque;
  }
  return real(connection, domain, id, call, opaque, release);
}

}  // extern "C"
