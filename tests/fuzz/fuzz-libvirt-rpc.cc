// SPDX-License-Identifier: GPL-2.0-or-later
// The guard of a carried libvirt connection, fed with anything in pieces of any size: what passes is a beginning of what came, made of
// whole messages, and no byte of a refused one is among it.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "migrationd/wire/libvirt-rpc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 64;
  const bool willing = (data[0] & 64) != 0, from_server = (data[0] & 128) != 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  migrationd::wire::LibvirtRpcGuard guard(
      [willing](const migrationd::wire::MigrationCall&) -> migrationd::Outcome {
        return willing ? migrationd::Outcome(migrationd::Done{}) : migrationd::Error{"no"};
      },
      [] {});
  std::string passed;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    const std::string_view part = stream.substr(at, piece);
    if (!(from_server ? guard.from_server(part, passed) : guard.from_client(part, passed))) break;
  }
  if (stream.substr(0, passed.size()) != passed) std::abort();
  for (std::size_t at = 0; at < passed.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(passed[at + i]);
    if (length < 28 || at + length > passed.size()) std::abort();
    at += length;
  }
  return 0;
}
