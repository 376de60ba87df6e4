// SPDX-License-Identifier: GPL-2.0-or-later
// Which domain an action of `migrationd --direct` is about. A monitor wants a configuration in order; a stop takes what
// is good of it, and goes on without the rest, for what runs must be able to end.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>

#include "migrationd/io/configuration-check.h"
#include "migrationd/io/direct.h"

namespace migrationd::io {

/// Which domain is meant, and what the journal says of it.
struct Subject {
  resource::Parameters parameters;
  DirectDomain domain;
  std::optional<StoredRecord> record;  ///< nothing: none of this boot, or (a stop's) it can't be read
};

/// The resource's own hypervisor, or else the node's.
std::string uri_of(const std::map<std::string, std::string>& given, const DirectPlaces& places);

/// What a monitor is about: the domain that the file defines, or else that of the resource's record, or else the one that
/// runs under the name that is given; nothing: none does. Asks libvirt, if need be, no longer than `limit`.
std::variant<std::optional<Subject>, Refused> find_to_monitor(const std::string& resource, const std::map<std::string, std::string>& given,
                                                              const DirectPlaces& places, Milliseconds limit);

/// What a stop is about; nothing: nothing that it could be about runs here. `named_by_resource`: without a parameter `name`
/// the resource's name is the domain's, as in an init script; else it says nothing, and a stranger may be called so.
/// `complaint`: what is wrong in the configuration or the journal, which it goes on without. Asks libvirt, if need be, no
/// longer than `limit`.
std::variant<std::optional<Subject>, Refused> find_to_stop(const std::string& resource, bool named_by_resource,
                                                           const std::map<std::string, std::string>& given, const DirectPlaces& places,
                                                           Milliseconds limit, std::string& complaint);

}  // namespace migrationd::io
