// SPDX-License-Identifier: GPL-2.0-or-later
// Messages of libvirt's RPC, as a libvirt would write them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace migrationd::tests {

inline std::string word(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8), static_cast<char>(value)};
}

inline std::string opaque(const std::string& text) { return word(static_cast<std::uint32_t>(text.size())) + text + std::string((4 - text.size() % 4) % 4, '\0'); }

inline std::string rpc(std::uint32_t procedure, const std::string& body = "", std::uint32_t serial = 1, std::uint32_t type = 0,
                       std::uint32_t program = 0x20008086, std::uint32_t status = 0) {
  return word(static_cast<std::uint32_t>(28 + body.size())) + word(program) + word(1) + word(procedure) + word(type) + word(serial) + word(status) + body;
}

/// The arguments of Prepare3Params and Finish3Params: texts, one parameter of each other type, a cookie, flags.
inline std::string migration_arguments(const std::map<std::string, std::string>& texts, std::uint32_t flags) {
  std::string body = word(static_cast<std::uint32_t>(texts.size() + 2));
  for (const auto& [field, value] : texts) body += opaque(field) + word(7) + opaque(value);
  body += opaque("bandwidth") + word(4) + word(0) + word(100);
  body += opaque("disks_port") + word(1) + word(0);
  return body + opaque("<cookie/>") + word(flags);
}

inline constexpr std::uint32_t prepare3_params = 303, finish3_params = 306;

}  // namespace migrationd::tests
