// SPDX-License-Identifier: GPL-2.0-or-later
// The part of `adopt` that reads and edits the CIB. Pure: text in, text out.
//
// While an adoption is under way each of its resources carries a set of meta attributes of our own,
//     <meta_attributes id="migrationctl-adopt-RESOURCE" score="INFINITY">  is-managed=false  </meta_attributes>
// which counts before all others that it has. So what was there before is never touched, is in force again when our set is
// taken away, and whoever comes after an interruption sees that there was one.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationctl {

inline constexpr const char* old_provider = "heartbeat";
inline constexpr const char* new_provider = "migrationd";

/// A primitive of ocf:heartbeat:VirtualDomain or ocf:migrationd:VirtualDomain.
struct DomainResource {
  std::string id;
  std::string provider;      ///< its own or its template's
  std::string from;          ///< the template that it is made from; empty: none
  std::string group;         ///< empty: it is in none
  std::string clone;         ///< the clone or bundle it is an instance of; empty: it is not
  std::map<std::string, std::string> parameters;  ///< its own before its template's; rules are not looked at
  std::set<migrationd::NodeName> banned;          ///< by a constraint of -INFINITY that names the node
  bool under_way = false;    ///< it carries our set
};

/// All of them, in the order of the CIB. Errors: the CIB can't be read.
migrationd::Result<std::vector<DomainResource>> read_domain_resources(const std::string& cib);

/// Whether a refreshed resource is looked for: not with the cluster property enable-startup-probes=false.
bool probes(const std::string& cib);

/// The CIB with our set on these resources, or without it.
migrationd::Result<std::string> with_mark(const std::string& cib, const std::set<std::string>& resources);
migrationd::Result<std::string> without_mark(const std::string& cib, const std::set<std::string>& resources);

/// The CIB with this provider for these resources, in their templates where it stands there, and without the parameters of
/// these names; one as "name=value" goes only where it has that value.
migrationd::Result<std::string> with_provider(const std::string& cib, const std::set<std::string>& resources, const std::string& provider,
                                              const std::set<std::string>& parameters_to_drop);

/// The first operation of the resource that failed, in words: what, where, its code and reason. Empty: none is recorded.
/// A probe that finds it running, or not, has not failed.
std::string failed_operation(const std::string& cib, const std::string& resource);

/// Where an operation of it is under way; empty: none is.
std::string pending_operation(const std::string& cib, const std::string& resource);

/// Whether this operation of it is under way on the node.
bool is_pending(const std::string& cib, const std::string& resource, const std::string& operation, const migrationd::NodeName& node);

/// The names of the parameters that an agent's meta-data has.
migrationd::Result<std::set<std::string>> parameter_names(const std::string& meta_data);

}  // namespace migrationctl
