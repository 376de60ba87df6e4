// SPDX-License-Identifier: GPL-2.0-or-later
// What the daemon's io code asks of the kernel and of libvirt, seen by a test, and refused where it says so. The test
// program defines these functions itself, and its own come before those of the libraries; each goes on to the real
// one. So the code is the real code, and so are the disk and libvirt (its test driver).
#pragma once

#include <libvirt/libvirt.h>

#include <functional>
#include <string>
#include <vector>

namespace migrationd::tests {

/// The fsyncs and renames below a directory, in their order, while this object lives; only one at a time.
class WatchedDisk {
 public:
  /// `below`: an existing directory, whose path stands for itself as "." in what is noted.
  explicit WatchedDisk(const std::string& below);
  WatchedDisk(const WatchedDisk&) = delete;
  WatchedDisk& operator=(const WatchedDisk&) = delete;
  ~WatchedDisk();

  /// Each fsync of this file (relative to the directory) fails with EIO from now on.
  void break_fsync(const std::string& file);
  void note(const std::string& what);
  /// "fsync FILE", "rename OLD NEW", and what was noted.
  std::vector<std::string> seen() const;
};

/// libvirt's answers while this object lives; only one at a time. Without a change they are the library's own. Its end
/// waits for the functions that are being called: what they use must live longer, and they must return.
struct WatchedLibvirt {
  WatchedLibvirt();
  WatchedLibvirt(const WatchedLibvirt&) = delete;
  WatchedLibvirt& operator=(const WatchedLibvirt&) = delete;
  ~WatchedLibvirt();

  /// Called in a worker's thread.
  using List = std::function<int(virConnectPtr, virDomainPtr**, unsigned flags)>;
  using State = std::function<int(virDomainPtr, int* state, int* reason)>;
  using Migrate = std::function<int(virDomainPtr, virTypedParameterPtr, unsigned count, unsigned flags)>;
  void on_list(List list);
  void on_state(State state);
  void on_migrate(Migrate migrate);
  /// A lifecycle event, as libvirt would tell it to who registered last. False: nobody has.
  bool emit(virDomainPtr domain, int event, int detail);
};

/// The library's own.
int real_list(virConnectPtr connection, virDomainPtr** domains, unsigned flags);
int real_state(virDomainPtr domain, int* state, int* reason);

}  // namespace migrationd::tests
