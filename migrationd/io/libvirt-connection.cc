// SPDX-License-Identifier: GPL-2.0-or-later
// See libvirt-connection.h.
#include "migrationd/io/libvirt-connection.h"

#include <csignal>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace migrationd::io {

namespace {

struct Sinks {
  std::function<void(DomainEvent)> event;
  std::function<void(std::string)> closed;
};
using SinksHandle = std::shared_ptr<Sinks>;

void free_sinks(void* opaque) { delete static_cast<SinksHandle*>(opaque); }

/// libvirt frees it through free_sinks once the callback is deregistered.
void* lend(const SinksHandle& sinks) { return std::make_unique<SinksHandle>(sinks).release(); }

void emit(void* opaque, virDomainPtr domain, DomainEvent event) {
  char text[VIR_UUID_STRING_BUFLEN];
  if (virDomainGetUUIDString(domain, text) < 0) return;
  std::optional<DomainUuid> uuid = DomainUuid::parse(text);
  if (!uuid) return;
  event.uuid = *uuid;
  if (const char* name = virDomainGetName(domain)) event.name = name;
  (*static_cast<SinksHandle*>(opaque))->event(std::move(event));
}

int on_lifecycle(virConnectPtr, virDomainPtr domain, int event, int detail, void* opaque) {
  emit(opaque, domain, {.kind = DomainEvent::Kind::lifecycle, .event = event, .detail = detail});
  return 0;
}
void on_reboot(virConnectPtr, virDomainPtr domain, void* opaque) { emit(opaque, domain, {.kind = DomainEvent::Kind::reboot}); }
void on_io_error(virConnectPtr, virDomainPtr domain, const char*, const char*, int, void* opaque) {
  emit(opaque, domain, {.kind = DomainEvent::Kind::io_error});
}
void on_job_completed(virConnectPtr, virDomainPtr domain, virTypedParameterPtr, int, void* opaque) {
  emit(opaque, domain, {.kind = DomainEvent::Kind::job_completed});
}
void on_iteration(virConnectPtr, virDomainPtr domain, int iteration, void* opaque) {
  emit(opaque, domain, {.kind = DomainEvent::Kind::iteration, .event = iteration});
}
void on_close(virConnectPtr, int reason, void* opaque) {
  const char* why = "closed";
  switch (static_cast<virConnectCloseReason>(reason)) {
    case VIR_CONNECT_CLOSE_REASON_ERROR: why = "broken by an error"; break;
    case VIR_CONNECT_CLOSE_REASON_EOF: why = "closed by libvirtd (it ended or was killed)"; break;
    case VIR_CONNECT_CLOSE_REASON_KEEPALIVE: why = "given up: libvirtd doesn't answer (it hangs)"; break;
    case VIR_CONNECT_CLOSE_REASON_CLIENT: why = "closed by ourselves"; break;
  }
  (*static_cast<SinksHandle*>(opaque))->closed(why);
}

template <class F>
virConnectDomainEventGenericCallback generic(F function) {
  return reinterpret_cast<virConnectDomainEventGenericCallback>(reinterpret_cast<void (*)()>(function));  // as libvirt's VIR_DOMAIN_EVENT_CALLBACK
}

}  // namespace

Error libvirt_error(const std::string& what) {
  virErrorPtr error = virGetLastError();
  return {what + ": " + (error != nullptr && error->message != nullptr ? error->message : "libvirt gives no reason")};
}

int libvirt_error_code() {
  virErrorPtr error = virGetLastError();
  return error != nullptr ? error->code : 0;
}

int libvirt_error_domain() {
  virErrorPtr error = virGetLastError();
  return error != nullptr ? error->domain : 0;
}

void start_libvirt_events() {
  static std::once_flag once;
  std::call_once(once, [] {
    // libvirt writes into a socket whose libvirtd was just killed, with SIGPIPE as the process has it.
    std::signal(SIGPIPE, SIG_IGN);
    virInitialize();
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});  // errors are returned, not printed by libvirt
    virEventRegisterDefaultImpl();
    std::thread([] {
      for (;;) virEventRunDefaultImpl();
    }).detach();
  });
}

Result<Connection> open_connection(const std::string& uri, bool read_only, int keepalive_seconds, unsigned keepalive_count) {
  virConnectPtr raw = read_only ? virConnectOpenReadOnly(uri.c_str()) : virConnectOpen(uri.c_str());
  if (raw == nullptr) return libvirt_error("connect to libvirt (" + uri + ")");
  Connection connection(raw, [](virConnectPtr open) { std::thread([open] { virConnectClose(open); }).detach(); });
  // Drivers without a connection to watch (the test driver) answer 1 or an error; they need no keepalive.
  if (keepalive_seconds > 0) virConnectSetKeepAlive(raw, keepalive_seconds, keepalive_count);
  return connection;
}

Result<DomainHandle> find_domain(const Connection& connection, const DomainUuid& uuid, bool* missing) {
  DomainHandle domain(virDomainLookupByUUIDString(connection.get(), uuid.str().c_str()));
  if (missing != nullptr) *missing = !domain && libvirt_error_code() == VIR_ERR_NO_DOMAIN;
  if (!domain) return libvirt_error("find domain " + uuid.str());
  return Result<DomainHandle>(std::move(domain));
}

Outcome register_events(const Connection& connection, std::function<void(DomainEvent)> sink,
                        std::function<void(std::string)> closed) {
  auto sinks = std::make_shared<Sinks>(Sinks{std::move(sink), std::move(closed)});
  virConnectPtr raw = connection.get();
  void* opaque = lend(sinks);
  if (virConnectRegisterCloseCallback(raw, on_close, opaque, free_sinks) < 0) {
    free_sinks(opaque);
    if (libvirt_error_code() != VIR_ERR_NO_SUPPORT) return libvirt_error("watch the connection to libvirt");
  }
  struct Wanted {
    int id;
    virConnectDomainEventGenericCallback call;
    bool needed;
  };
  const Wanted wanted[] = {
      {VIR_DOMAIN_EVENT_ID_LIFECYCLE, generic(on_lifecycle), true},
      {VIR_DOMAIN_EVENT_ID_REBOOT, generic(on_reboot), false},
      {VIR_DOMAIN_EVENT_ID_IO_ERROR, generic(on_io_error), false},
      {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, generic(on_job_completed), false},
      {VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, generic(on_iteration), false},
  };
  for (const Wanted& one : wanted) {
    void* lent = lend(sinks);
    if (virConnectDomainEventRegisterAny(raw, nullptr, one.id, one.call, lent, free_sinks) < 0) {
      free_sinks(lent);
      if (one.needed) return libvirt_error("register for domain events");
    }
  }
  return Done{};
}

std::string lifecycle_text(int event, int detail) {
  static const char* const names[] = {"Defined", "Undefined", "Started", "Suspended", "Resumed",
                                      "Stopped", "Shutdown",  "PMSuspended", "Crashed"};
  std::string text = event >= 0 && event < 9 ? names[event] : "event " + std::to_string(event);
  return text + "/" + std::to_string(detail);
}

}  // namespace migrationd::io
