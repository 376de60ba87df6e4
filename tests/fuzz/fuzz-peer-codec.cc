// SPDX-License-Identifier: GPL-2.0-or-later
// Fuzzes the decoder of what other daemons send: it never crashes or throws, and what it takes it can write
// and read again to the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "migrationd/wire/peer-codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace migrationd::wire;
  const auto message = decode_peer({reinterpret_cast<const char*>(data), size});
  if (!message.ok()) return 0;
  const std::string written = encode(message.value());
  const auto again = decode_peer(written);
  if (!again.ok() || encode(again.value()) != written) std::abort();
  return 0;
}
