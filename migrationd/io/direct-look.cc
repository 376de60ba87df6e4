// SPDX-License-Identifier: GPL-2.0-or-later
// See direct-look.h.
#include "migrationd/io/direct-look.h"

#include <cerrno>
#include <chrono>

#include "migrationd/io/domain-facts.h"

namespace migrationd::io {

using handoff::Here;

namespace {

struct Answer {
  Connection connection;
  std::optional<DomainFacts> facts;
  std::string stranger;  ///< another domain of this name is active: its UUID
  bool down = false;     ///< nobody listens at libvirt's socket
};

Result<Answer> ask_libvirt(const DirectDomain& domain) {
  start_libvirt_events();
  Answer answer;
  Result<Connection> connection = open_connection(domain.uri, false, 2, 3);
  if (!connection) {
    // A system error carries errno in int1: only "nobody listens there" means down.
    virErrorPtr error = virGetLastError();
    answer.down = error != nullptr && error->code == VIR_ERR_SYSTEM_ERROR && (error->int1 == ENOENT || error->int1 == ECONNREFUSED);
    if (answer.down) return answer;
    return Error{connection.error()};
  }
  answer.connection = connection.value();
  Result<std::optional<DomainFacts>> facts = read_domain_facts(answer.connection, domain.uuid, std::nullopt);
  if (!facts) return Error{facts.error()};
  answer.facts = facts.value();
  if (answer.facts || domain.name.empty()) return answer;
  DomainHandle same_name(virDomainLookupByName(answer.connection.get(), domain.name.c_str()));
  char uuid[VIR_UUID_STRING_BUFLEN];
  if (same_name && virDomainIsActive(same_name.get()) == 1 && virDomainGetUUIDString(same_name.get(), uuid) == 0) answer.stranger = uuid;
  return answer;
}

/// The living emulator with the UUID among those that libvirt's pid files name.
Result<std::shared_ptr<Emulator>> find_emulator(const DirectDomain& domain, const std::string& pid_directory) {
  Result<std::shared_ptr<Emulator>> by_name = Emulator::find(pid_directory, domain.name, domain.uuid);
  if (!by_name || by_name.value()) return by_name;
  return Emulator::find_by_uuid(pid_directory, domain.uuid);
}

DirectLook look_once(const DirectDomain& domain, const std::string& pid_directory, Milliseconds limit, bool xen) {
  DirectLook look;
  Result<Answer> answer = within<Answer>(limit, "ask libvirt (" + domain.uri + ")", [domain] { return ask_libvirt(domain); });
  Result<std::shared_ptr<Emulator>> emulator = find_emulator(domain, pid_directory);
  if (emulator) look.emulator = emulator.value();
  if (answer) look.connection = answer.value().connection;
  if (answer && answer.value().facts) {
    DomainFacts facts = *answer.value().facts;
    engine::DomainView view = view_of(facts);
    look.here = view.here;
    look.healthy = view.healthy;
    look.job = view.job;
    look.detail = view.detail;
    return look;
  }
  std::string libvirt = !answer ? answer.error() : answer.value().down ? "libvirt is down" : "libvirt doesn't list it";
  if (!emulator) {
    look.detail = libvirt + ", and whether its emulator lives can't be seen: " + emulator.error();
    return look;
  }
  if (look.emulator) {
    look.here = answer && !answer.value().down ? Here::unknown : Here::running;
    look.healthy = look.here == Here::running;
    look.detail = libvirt + ", but its emulator, process " + std::to_string(look.emulator->pid()) + ", is alive";
    return look;
  }
  if (!answer || (xen && answer.value().down)) {
    look.detail = libvirt;
    return look;
  }
  if (!answer.value().stranger.empty()) {
    look.detail = "another domain of this name is active, with the UUID " + answer.value().stranger;
    return look;
  }
  look.here = Here::absent;
  look.detail = libvirt + ", and no emulator of it lives";
  return look;
}

}  // namespace

DirectLook look_directly(const DirectDomain& domain, const std::string& pid_directory, Milliseconds limit) {
  bool xen = domain.uri.rfind("xen", 0) == 0;
  DirectLook look = look_once(domain, pid_directory, limit, xen);
  for (int again = 0; xen && again < 5 && look.here == Here::absent; ++again) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    look = look_once(domain, pid_directory, limit, xen);
  }
  return look;
}

}  // namespace migrationd::io
