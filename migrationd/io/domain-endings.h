// SPDX-License-Identifier: GPL-2.0-or-later
// What libvirt shows of the ends of domains, in the words of the room `recovery`: by its events, and by its log of a domain
// whose end no event was seen of.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/recovery/ending.h"

namespace migrationd::io {

class DomainEndings {
 public:
  /// A lifecycle event of libvirt (virDomainEventType and its detail).
  void saw(const DomainUuid& uuid, int event, int detail);
  /// It executes again, or was told of: what was seen is over.
  void forget(const DomainUuid& uuid) { seen_.erase(uuid); }
  /// How the domain ended last. Without an event of it by the log of `name` in `directory`, which is read in this call.
  recovery::Ending how_it_ended(const DomainUuid& uuid, const std::string& directory, const std::string& name) const;

 private:
  std::map<DomainUuid, std::vector<recovery::Sign>> seen_;
};

/// What the end of a domain's log, which may begin in the middle of a line, says of its last life.
std::vector<recovery::Sign> signs_in_log(const std::string& text);

}  // namespace migrationd::io
