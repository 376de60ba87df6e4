// SPDX-License-Identifier: GPL-2.0-or-later
// The mark that a migrated copy carries in its definition until it is resumed. libvirt shows a copy that arrived
// paused exactly as a domain that an administrator paused; the mark tells them apart, also after a restart of
// libvirtd and of the daemon. It is an element of the domain's <metadata>, added by the source to the definition
// that the destination gets (never to its own), and removed by the destination when it resumes the copy.
#pragma once

#include <string>

#include <libvirt/libvirt.h>

#include "migrationd/base/result.h"

namespace migrationd::io {

/// The namespace of the element, for virDomainGetMetadata and virDomainSetMetadata.
inline constexpr const char* copy_mark_uri = "urn:migrationd:copy:1";

/// `xml` with the mark in it. `ran`: whether the domain executed when its migration began; a copy of one that
/// an administrator had paused stays paused when it is given.
Result<std::string> with_copy_mark(const std::string& xml, bool ran);

bool has_copy_mark(virDomainPtr domain);
/// Of the running domain. False: libvirt refuses.
bool remove_copy_mark(virDomainPtr domain);

/// Whether a mark as libvirt returns it says that the domain ran; true when unsure.
bool copy_mark_ran(const std::string& element);

}  // namespace migrationd::io
