// SPDX-License-Identifier: GPL-2.0-or-later
// See copy-mark.h.
#include "migrationd/io/copy-mark.h"

#include <cstdlib>
#include <sstream>

#include <pugixml.hpp>

namespace migrationd::io {

Result<std::string> with_copy_mark(const std::string& xml, bool ran) {
  pugi::xml_document document;
  pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  pugi::xml_node domain = document.child("domain");
  if (!parsed || !domain) return Error{"libvirt's definition of the domain can't be read as XML: " + std::string(parsed.description())};
  pugi::xml_node metadata = domain.child("metadata");
  if (!metadata) metadata = domain.append_child("metadata");
  metadata.remove_child("migrationd:copy");
  pugi::xml_node mark = metadata.append_child("migrationd:copy");
  mark.append_attribute("xmlns:migrationd") = copy_mark_uri;
  mark.append_attribute("ran") = ran ? "yes" : "no";
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return out.str();
}

bool has_copy_mark(virDomainPtr domain) {
  char* element = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, copy_mark_uri, VIR_DOMAIN_AFFECT_LIVE);
  const bool found = element != nullptr;
  std::free(element);
  return found;
}

bool remove_copy_mark(virDomainPtr domain) {
  return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, nullptr, nullptr, copy_mark_uri, VIR_DOMAIN_AFFECT_LIVE) == 0;
}

bool copy_mark_ran(const std::string& element) {
  pugi::xml_document document;
  if (!document.load_buffer(element.data(), element.size())) return true;
  return std::string(document.document_element().attribute("ran").value()) != "no";
}

}  // namespace migrationd::io
