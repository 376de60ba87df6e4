// SPDX-License-Identifier: GPL-2.0-or-later
// Fuzzes the reading of the alarms' file, as it is and with the right first line: no crash, and what was understood is written
// and understood again the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "migrationd/io/alarm-json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace migrationd::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)decode_alarms(text);
  const auto book = decode_alarms("migrationd-alarms 1\n" + std::string(text));
  if (!book.ok()) return 0;
  const std::string written = encode_alarms(book.value());
  const auto again = decode_alarms(written);
  if (!again.ok() || encode_alarms(again.value()) != written) std::abort();
  (void)alarms_json("alpha", book.value().all(), true);
  return 0;
}
