// SPDX-License-Identifier: GPL-2.0-or-later
// Whether a resource's configuration can be used on this node, and which OCF code says that it can't: one rule for the
// daemon and for `migrationd --direct`.
//
// OCF_ERR_CONFIGURED (6) is for what the parameters alone make wrong, and so alike on every node: Pacemaker then closes all
// nodes to the resource, and stops it where it runs well, also when it was a probe of another node that answered so.
// OCF_ERR_INSTALLED (5) is for all that depends on this node: the definition's file is missing and none is kept in its place
// (kept-definitions.h), it can't be read, is broken or defines another domain than the parameter `name` says; its daemon serves another hypervisor; an emulator, disk or
// network device is missing. It closes this node only, for another may have it. ocf:heartbeat:VirtualDomain answers 5, too,
// for a file that can't be read and for one in which it finds no name.
#pragma once

#include <map>
#include <string>
#include <variant>

#include "migrationd/io/domain-xml.h"
#include "migrationd/resource/parameters.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::io {

/// A refusal, with the code for the agent's exit.
struct Refused {
  wire::OcfCode code = wire::OcfCode::error;
  std::string reason;
};

/// What is wrong with a resource's configuration; the kinds differ by what else can still be known of it.
enum class Fault {
  parameters,  ///< what they say is understood by no node
  node,        ///< what they name is not here, or not as they say
};

/// The rule above.
Refused refuse(Fault fault, std::string reason);

/// Why there is no definition.
struct NoDefinition {
  std::string why;
  bool misnamed = false;  ///< there is one, but the parameter `name` says another domain: nobody knows which is meant
};

/// Whether the hypervisor that these parameters name, if any, is `libvirt_uri`.
bool serves(const std::string& libvirt_uri, const std::map<std::string, std::string>& given);

/// The parameters, typed, and for the hypervisor that this node's daemon serves: of another one nothing would be known, and
/// "not running" said.
std::variant<resource::Parameters, Refused> check_parameters(const std::map<std::string, std::string>& given, const std::string& libvirt_uri);

/// check_parameters, and that the words of migrate_options can be used.
std::variant<resource::Parameters, Refused> check_all_parameters(const std::map<std::string, std::string>& given,
                                                                 const std::string& libvirt_uri);

/// Why the parameter `name` contradicts the definition of a domain called `name`; empty: it does not.
std::string misnaming(const resource::Parameters& parameters, const std::string& name);

/// Where a definition may be that this node keeps for a resource without the file.
struct KeptFor {
  std::string state_dir;  ///< empty: it is not looked for
  std::string resource;
};

/// The definition in the file that the parameter `config` names; without such a file the one that is kept.
std::variant<DomainXml, NoDefinition> read_definition(const resource::Parameters& parameters, const KeptFor& kept = {});

/// What validate-all says: all of the above, and the files that the domain needs. Looks at its disks, and so may hang with
/// their storage: not for the daemon's loop.
Refused validate(const std::map<std::string, std::string>& given, const std::string& libvirt_uri, const KeptFor& kept = {});

}  // namespace migrationd::io
