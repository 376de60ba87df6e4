// SPDX-License-Identifier: GPL-2.0-or-later
// Fuzzes both decoders of the local IPC: they never crash or throw, and what they take they can write and
// read again to the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "migrationd/wire/local-codec.h"

namespace {

template <class M>
void round_trip(const migrationd::Result<M>& message, migrationd::Result<M> (*decode)(std::string_view)) {
  if (!message.ok()) return;
  const auto written = migrationd::wire::encode(message.value());
  if (!written.ok()) std::abort();
  const auto again = decode(written.value());
  if (!again.ok()) std::abort();
  const auto rewritten = migrationd::wire::encode(again.value());
  if (!rewritten.ok() || rewritten.value() != written.value()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace migrationd::wire;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  round_trip(decode_request(bytes), decode_request);
  round_trip(decode_reply(bytes), decode_reply);
  return 0;
}
