// SPDX-License-Identifier: GPL-2.0-or-later
// Fuzzes the reading of a journal record, as it is and with a right checksum put before it: no crash, and what
// was understood is written and understood again the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "migrationd/io/journal-record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace migrationd::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)decode_record(text, "boot");
  const auto record = decode_record(seal_record(text), "boot");
  if (!record.ok()) return 0;
  const auto bytes = encode_record(record.value().record, "boot");
  if (!bytes.ok()) std::abort();
  const auto again = decode_record(bytes.value(), "boot");
  if (!again.ok() || !(again.value().record.state == record.value().record.state)) std::abort();
  return 0;
}
