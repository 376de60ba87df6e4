// SPDX-License-Identifier: GPL-2.0-or-later
// Fuzzes the frame parser: whatever comes, in whatever pieces, it never keeps more than it was fed, and what
// it gives out frames back to the bytes that it took.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "migrationd/wire/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 64;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  migrationd::wire::FrameParser parser(migrationd::wire::frame_limit_unauthenticated);
  std::string taken;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    parser.feed(stream.substr(at, piece));
    if (parser.pending() > stream.size()) std::abort();
    for (;;) {
      const auto next = parser.next();
      if (!next.ok()) return 0;
      if (!next.value()) break;
      if (next.value()->size() > migrationd::wire::frame_limit_unauthenticated) std::abort();
      taken += migrationd::wire::frame(*next.value());
    }
  }
  if (stream.substr(0, taken.size()) != taken) std::abort();
  return 0;
}
