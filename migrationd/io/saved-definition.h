// SPDX-License-Identifier: GPL-2.0-or-later
// A domain's definition, written back to the file that `config` names. The file is somebody's only copy of it: it is
// replaced as a whole or not at all, only by a definition of the same domain, and never when it can't be read.
#pragma once

#include <string>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// Replaces what `file` says by `xml`, unless both say the same (comments and blanks apart). Errors: either can't be read,
/// is no domain's definition or of another domain than `uuid`, their names differ, the file can't be written. Blocks.
Result<engine::SavedDefinition> write_definition(const std::string& file, const DomainUuid& uuid, const std::string& xml);

/// The same with a definition that another node sent. Error also: it differs from the file in more than what is the guest's alone
/// (definition-difference.h). Who can speak as a node of the cluster is not root on the others by that. Blocks.
Result<engine::SavedDefinition> take_definition(const std::string& file, const DomainUuid& uuid, const std::string& xml);

/// The same with what libvirt would start the domain from next: of a domain that it has no definition of, the running one.
/// With its secrets. Error also: it is not running here, or is a copy that has just arrived. Blocks.
Result<engine::SavedDefinition> save_definition(const Connection& connection, const DomainUuid& uuid, const std::string& file);

}  // namespace migrationd::io
