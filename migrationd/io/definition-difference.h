// SPDX-License-Identifier: GPL-2.0-or-later
// In what a domain's definition of another node may differ from the one here, so that it can be taken in its place: a list of
// what is the guest's alone, such as its memory, its CPUs, the models of its devices. All else, and all that is not known here,
// could have this node run, read or open to others what its own definition does not, and must be as it is.
#pragma once

#include <string>

namespace migrationd::io {

/// The first thing in `next` that is neither the guest's alone nor as in `old`, in words; empty: there is none. Both are definitions
/// that parse_domain_xml has read.
std::string beyond_the_guest(const std::string& old, const std::string& next);

}  // namespace migrationd::io
