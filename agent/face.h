// SPDX-License-Identifier: GPL-2.0-or-later
// Which of its faces the agent was called by, and for what. Pure, so that every way of being called is a test.
//
//   /usr/lib/ocf/resource.d/migrationd/VirtualDomain ACTION    OCF: Pacemaker; the resource is in the environment
//   /etc/ha.d/resource.d/migrationd NAME ACTION                haresources: "migrationd::NAME"
//   /etc/init.d/NAME ACTION                                    init script: a symbolic link to the agent
//   /usr/lib/migrationd/amf ACTION [NAME]                      AMF: CLC-CLI command of a component; its name is in the environment
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "migrationd/base/result.h"

namespace migrationd::agent {

enum class Face { ocf, lsb, amf };

struct Call {
  Face face = Face::ocf;
  /// As it was asked for, in the words of the face.
  std::string action;
  /// The resource's name.
  std::string resource;
  /// AMF: the component's distinguished name.
  std::string component;
};

using Environment = std::map<std::string, std::string>;

/// The face alone; it is known even when the rest of the call is wrong.
Face face_of(std::string_view program, const Environment& environment);

/// `arguments`: the program's path as it was called, then its arguments. Errors: no action, a name that isn't
/// one; both are the caller's mistake (code 2).
Result<Call> understand(const std::vector<std::string>& arguments, const Environment& environment);

/// The name of the component that `component` is the distinguished name of, without what escapes it: "safComp=vm1,safSu=1,..."
/// gives vm1. Errors: it begins with something else, or with a broken escape.
Result<std::string> component_name(std::string_view component);

/// Why `name` can't be the name of a resource that has a file; empty: it can. It becomes a file's name.
std::string why_no_name(std::string_view name);

/// One line for people: how to call this face.
std::string usage(Face face, std::string_view program);

}  // namespace migrationd::agent
