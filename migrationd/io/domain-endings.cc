// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-endings.h.
#include "migrationd/io/domain-endings.h"

#include <algorithm>
#include <string_view>

#include <libvirt/libvirt.h>

#include "migrationd/io/domain-log.h"

namespace migrationd::io {

using recovery::Sign;

namespace {

/// Of a log; an emulator that says much while it dies says less than that.
constexpr std::size_t log_end = 64 * 1024;

Sign stopped(int detail) {
  switch (static_cast<virDomainEventStoppedDetailType>(detail)) {
    case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: return Sign::off;
    case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
    case VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: return Sign::destroyed;  // by virsh, too: to a snapshot that is off
    case VIR_DOMAIN_EVENT_STOPPED_CRASHED: return Sign::crashed;
    case VIR_DOMAIN_EVENT_STOPPED_MIGRATED: return Sign::migrated;
    case VIR_DOMAIN_EVENT_STOPPED_SAVED: return Sign::saved;
    case VIR_DOMAIN_EVENT_STOPPED_FAILED: return Sign::failed;
  }
  return Sign::failed;
}

Sign reason(std::string_view word) {
  if (word == "shutdown") return Sign::off;
  if (word == "destroyed" || word == "from-snapshot") return Sign::destroyed;
  if (word == "crashed") return Sign::crashed;
  if (word == "migrated") return Sign::migrated;
  if (word == "saved") return Sign::saved;
  return Sign::failed;  // failed, unknown, daemon
}

}  // namespace

void DomainEndings::saw(const DomainUuid& uuid, int event, int detail) {
  switch (static_cast<virDomainEventType>(event)) {
    case VIR_DOMAIN_EVENT_STARTED:
    case VIR_DOMAIN_EVENT_RESUMED: return forget(uuid);
    case VIR_DOMAIN_EVENT_SHUTDOWN:
      seen_[uuid].push_back(detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST ? Sign::signalled : Sign::guest_shut_down);
      return;
    case VIR_DOMAIN_EVENT_CRASHED: seen_[uuid].push_back(Sign::panicked); return;
    case VIR_DOMAIN_EVENT_STOPPED:
      seen_[uuid].push_back(stopped(detail));
      return;
    case VIR_DOMAIN_EVENT_DEFINED:
    case VIR_DOMAIN_EVENT_UNDEFINED:
    case VIR_DOMAIN_EVENT_SUSPENDED:
    case VIR_DOMAIN_EVENT_PMSUSPENDED: return;
  }
}

recovery::Ending DomainEndings::how_it_ended(const DomainUuid& uuid, const std::string& directory, const std::string& name) const {
  if (const auto seen = seen_.find(uuid); seen != seen_.end() && recovery::has_end(seen->second))
    return recovery::how_it_ended(seen->second);
  return recovery::how_it_ended(signs_in_log(end_of_domain_log(directory, name, log_end)));
}

std::vector<Sign> signs_in_log(const std::string& text) {
  constexpr std::string_view ended = ": shutting down, reason=";
  std::vector<Sign> signs;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    const auto says = [&](std::string_view what) { return line.find(what) != line.npos; };
    if (says(": starting up libvirt version")) signs.clear();
    // By libvirt itself, it is how a guest that powered off is ended.
    const bool by_libvirt = says("libvirtd)") || says("virtqemud)");
    if (says("terminating on signal") && !by_libvirt) signs.push_back(Sign::signalled);
    if (const std::size_t at = line.find(ended); at != line.npos)
      signs.push_back(reason(line.substr(at + ended.size())));
  }
  return signs;
}

}  // namespace migrationd::io
