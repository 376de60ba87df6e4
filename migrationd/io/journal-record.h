// SPDX-License-Identifier: GPL-2.0-or-later
// One journal record as bytes and back. No files here, so that it can be tested and fuzzed.
//
//   migrationd-journal 1 SHA256-OF-THE-BODY\n
//   { JSON body }
//
// The version is in the first line, outside the JSON: a newer record is recognised without being understood.
// Only the journalled half of handoff::State is written. Instants are CLOCK_BOOTTIME of the boot whose id is in
// the record; read in another boot they mean nothing and come back as zero, with `other_boot` set.
#pragma once

#include <string>
#include <string_view>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"

namespace migrationd::io {

inline constexpr int journal_version = 1;
/// Larger records are refused, in bytes: a definition is at most 4 MiB.
inline constexpr std::size_t journal_record_limit = 16 * 1024 * 1024;

struct StoredRecord {
  engine::Record record;
  bool other_boot = false;  ///< written in another boot: the offer's deadline is unknown, its domain is gone
};

/// Error: a text in the record is not UTF-8 (its field is named).
Result<std::string> encode_record(const engine::Record& record, const std::string& boot_id);
/// The first line for `body`, and `body`. For encode_record, and for the fuzzer to get past the checksum.
std::string seal_record(std::string_view body);
/// Errors: damaged, of a newer version, or with a field missing or of a wrong type.
Result<StoredRecord> decode_record(std::string_view bytes, const std::string& boot_id);

}  // namespace migrationd::io
