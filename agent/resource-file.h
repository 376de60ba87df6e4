// SPDX-License-Identifier: GPL-2.0-or-later
// The parameters of a resource that an init script or haresources starts: there is no cluster manager that
// would pass them, so they are in a file, /etc/migrationd/resources/NAME.conf.
//
//     # everything after a # at the start of a line is a comment
//     config = /etc/vm/x0.xml
//     handoff_timeout = 2min
//
// A line is NAME = VALUE, with the agent's parameters as names; blanks around both are dropped, quotes are
// not special. Without the file, or without config in it, config is /etc/libvirt/qemu/NAME.xml.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace migrationd::agent {

using Parameters = std::map<std::string, std::string>;

/// A stop goes by the parameters whatever the complaint; anything else is refused for it.
struct ResourceFile {
  Parameters parameters;  ///< of the good lines, without a name that is set twice
  std::string complaint;  ///< the first trouble; empty: there is none
};

/// Complaints: a line that is none of these, a repeated name; with the line's number.
ResourceFile parse_resource_file(std::string_view text);

/// Parameters of the resource `name` (checked by why_no_name) from `directory`/NAME.conf. Complaints: the file is
/// there but can't be read, is larger than 64 KiB, or has a bad line. With a complaint the default of config is left
/// out: the file could have named another domain, so the resource's own record is asked first.
ResourceFile read_resource_file(const std::string& directory, const std::string& name);

/// Takes out the values that the daemon can't be told, because they aren't UTF-8; the first of them is a complaint.
void drop_what_cannot_be_sent(ResourceFile& file);

}  // namespace migrationd::agent
