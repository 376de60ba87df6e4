// SPDX-License-Identifier: GPL-2.0-or-later
// Heartbeat's own files, as far as migrationd needs them: who the nodes are and whether they can be fenced
// (ha.cf), and what stands beside a resource on its line (haresources).
#pragma once

#include <string>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

/// What Heartbeat fences with. Its program `stonith` takes the same.
struct StonithDevice {
  NodeName from;                        ///< on which node it is used, in lower case; "*": on all
  std::string type;                     ///< such as external/ipmi
  std::string parameters;               ///< of a stonith_host line
  std::string file;                     ///< of a stonith line: where the parameters are
};

struct HaCf {
  std::vector<NodeName> nodes;          ///< of all `node` lines, in lower case as Heartbeat compares them
  std::vector<std::string> peers;       ///< addresses of `ucast` lines (our own may be among them)
  std::vector<StonithDevice> stonith;   ///< of all `stonith_host` and `stonith` lines
};

/// A node's name as Heartbeat has it: in lower case, whatever uname -n says.
NodeName heartbeat_name(NodeName name);

/// Errors: no `node` line.
Result<HaCf> parse_ha_cf(const std::string& text);

struct HaresourcesLine {
  NodeName preferred;                   ///< whose group it is
  std::vector<std::string> resources;   ///< in the order of their start; stopped from the right to the left
};

/// Comments are skipped, and lines that end in a backslash are joined. A line without a resource is passed over.
std::vector<HaresourcesLine> parse_haresources(const std::string& text);

/// What stands left of `migrationd::resource` (or of the init script `resource`) on its line: it is stopped
/// after it. `line`: set to the group's line, when there is one.
std::vector<std::string> left_of(const std::vector<HaresourcesLine>& lines, const std::string& resource,
                                 HaresourcesLine* line = nullptr);

}  // namespace migrationd::io
