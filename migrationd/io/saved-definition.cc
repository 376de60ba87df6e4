// SPDX-License-Identifier: GPL-2.0-or-later
// See saved-definition.h.
#include "migrationd/io/saved-definition.h"

#include <cstdlib>
#include <memory>

#include "migrationd/io/copy-mark.h"
#include "migrationd/io/definition-difference.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

Result<engine::SavedDefinition> take_definition(const std::string& file, const DomainUuid& uuid, const std::string& xml) {
  const Result<DomainXml> old = read_domain_xml(file);
  if (!old) return Error{"nothing is written, because the file can't be used: " + old.error()};
  const Result<DomainXml> next = parse_domain_xml(xml, "the new definition for " + file);
  if (!next) return Error{next.error()};
  if (const std::string what = beyond_the_guest(old.value().xml, next.value().xml); !what.empty())
    return Error{file + " is not written: the new definition has " + what + ", which the file does not; copy it by hand if that is meant"};
  return write_definition(file, uuid, xml);
}

Result<engine::SavedDefinition> write_definition(const std::string& file, const DomainUuid& uuid, const std::string& xml) {
  const Result<DomainXml> old = read_domain_xml(file);
  if (!old) return Error{"nothing is written, because the file can't be used: " + old.error()};
  const Result<DomainXml> next = parse_domain_xml(xml, "the new definition for " + file);
  if (!next) return Error{next.error()};
  for (const DomainXml* one : {&old.value(), &next.value()})
    if (one->uuid != uuid) return Error{file + " is not written: its definition, or the new one, is that of the domain " + one->uuid.str()};
  if (old.value().name != next.value().name)
    return Error{file + " is not written: the domain is called " + old.value().name + " in it, and " + next.value().name + " in the new definition"};
  if (old.value().xml == next.value().xml) return engine::SavedDefinition{false, xml};
  if (const Outcome written = replace_file(file, xml); !written) return Error{written.error()};
  return engine::SavedDefinition{true, xml};
}

Result<engine::SavedDefinition> save_definition(const Connection& connection, const DomainUuid& uuid, const std::string& file) {
  const std::string what = "save the definition of domain " + uuid.str();
  const Result<DomainHandle> domain = find_domain(connection, uuid);
  if (!domain) return Error{what + ": " + domain.error()};
  if (virDomainIsActive(domain.value().get()) != 1) return Error{what + ": it does not run here"};
  const std::unique_ptr<char, decltype(&std::free)> xml(
      virDomainGetXMLDesc(domain.value().get(), VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE), &std::free);
  if (!xml) return libvirt_error(what);
  const std::string text = xml.get();
  if (text.find(copy_mark_uri) != std::string::npos) return Error{what + ": it has just arrived here, and was not resumed yet"};
  return write_definition(file, uuid, text);
}

}  // namespace migrationd::io
