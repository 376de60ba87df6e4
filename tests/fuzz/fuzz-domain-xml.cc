// SPDX-License-Identifier: GPL-2.0-or-later
// Fuzzes the reading of a domain's definition: no crash, and what was read is read again the same from the XML
// that is handed to libvirt.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "migrationd/io/copy-mark.h"
#include "migrationd/io/domain-xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace migrationd::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto domain = parse_domain_xml(text, "input");
  if (!domain.ok()) return 0;
  if (domain.value().name.empty() || domain.value().uuid.empty()) std::abort();
  const auto again = parse_domain_xml(domain.value().xml, "output");
  if (!again.ok() || again.value().uuid != domain.value().uuid || again.value().uuid_made) std::abort();
  const auto marked = with_copy_mark(domain.value().xml, true);
  if (!marked.ok() || !parse_domain_xml(marked.value(), "marked").ok()) std::abort();
  return 0;
}
