// SPDX-License-Identifier: GPL-2.0-or-later
// Owners for libvirt's handles, its event loop in a thread of its own, and its errors as text.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

/// A connection; calls on it may be made from any thread. The last owner closes it in a thread of its own,
/// because closing talks to a libvirtd that may hang.
using Connection = std::shared_ptr<virConnect>;

struct DomainRelease {
  void operator()(virDomainPtr domain) const { virDomainFree(domain); }
};
using DomainHandle = std::unique_ptr<virDomain, DomainRelease>;

/// "WHAT: libvirt's last error of this thread".
Error libvirt_error(const std::string& what);
/// The code of this thread's last error (virErrorNumber).
int libvirt_error_code();
/// Which part of libvirt reported it (virErrorDomain).
int libvirt_error_domain();

/// Starts libvirt's default event loop in a thread, once per process; must come before the first connection.
/// Also ignores SIGPIPE in the process: libvirt does not guard its own writes.
void start_libvirt_events();

/// Opens a connection. Blocks; hangs with a hung libvirtd. `keepalive_seconds` × `keepalive_count`: after this
/// long without a sign of life libvirt closes the connection, and calls in it fail. 0: no keepalive.
Result<Connection> open_connection(const std::string& uri, bool read_only, int keepalive_seconds, unsigned keepalive_count);

/// The domain; an error says which and why. `*missing` is set when libvirt knows no such domain.
Result<DomainHandle> find_domain(const Connection& connection, const DomainUuid& uuid, bool* missing = nullptr);

/// A domain event, as far as we use them. Called in libvirt's event thread.
struct DomainEvent {
  enum class Kind { lifecycle, reboot, io_error, job_completed, iteration };
  Kind kind = Kind::lifecycle;
  DomainUuid uuid;
  std::string name;
  int event = 0;   ///< lifecycle: virDomainEventType; iteration: its number
  int detail = 0;  ///< lifecycle: the event's detail
};
/// Registers `sink` for the events above and `closed` for the connection's loss. Blocks.
Outcome register_events(const Connection& connection, std::function<void(DomainEvent)> sink,
                        std::function<void(std::string why)> closed);

/// "Stopped/Migrated" and so on, for logs.
std::string lifecycle_text(int event, int detail);

}  // namespace migrationd::io
