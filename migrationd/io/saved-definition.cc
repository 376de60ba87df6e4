// SPDX-License-Identifier: GPL-2.0-or-later
// See saved-definition.h.
#include "migrationd/io/saved-definition.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <sstream>

#include <pugixml.hpp>

#include "migrationd/io/copy-mark.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

/// What of a definition is not the guest's alone: extensions such as qemu:commandline, confinement, what is passed through.
std::string of_the_host(const std::string& xml) {
  pugi::xml_document document;
  document.load_string(xml.c_str());
  std::ostringstream text;
  for (pugi::xml_node node : document.child("domain").children()) {
    const std::string name = node.name();
    // A dynamic label is the confinement that libvirt gives by itself, and spells out; of what it says only the base counts.
    const auto is = [&node](const char* attribute, const char* value) { return std::string(node.attribute(attribute).value()) == value; };
    const bool usual = is("model", "none") || (is("type", "dynamic") && !node.child("baselabel"));
    const bool label = name == "seclabel" && !usual;
    if (label || name.find(':') != std::string::npos) node.print(text, "", pugi::format_raw);
  }
  for (const pugi::xpath_node& found : document.select_nodes("/domain/devices/*[self::hostdev or self::filesystem or self::shmem or @type='hostdev']"))
    found.node().print(text, "", pugi::format_raw);
  return text.str();
}

/// One of libvirt's own choice, where the file leaves it to libvirt.
bool usual_emulator(const std::string& path) {
  const bool known = path.starts_with("/usr/bin/qemu-system-") || path == "/usr/libexec/qemu-kvm" || path == "/usr/bin/kvm";
  return known && path.find("..") == std::string::npos;
}

/// The first thing in `next` by which this node would run or read what `old` does not have it; empty: none.
std::string beyond_the_guest(const DomainXml& old, const DomainXml& next) {
  if (next.emulator != old.emulator && !(old.emulator.empty() && usual_emulator(next.emulator))) return "the emulator " + next.emulator;
  for (const std::string& file : next.files)
    if (std::find(old.files.begin(), old.files.end(), file) == old.files.end()) return "the file " + file;
  if (const std::string theirs = of_the_host(next.xml), ours = of_the_host(old.xml); theirs != ours)
    return "arguments, devices, file systems or security labels of the host (" + theirs.substr(0, 200) + " where the file has " + ours.substr(0, 200) + ")";
  return "";
}

}  // namespace

Result<engine::SavedDefinition> take_definition(const std::string& file, const DomainUuid& uuid, const std::string& xml) {
  const Result<DomainXml> old = read_domain_xml(file);
  if (!old) return Error{"nothing is written, because the file can't be used: " + old.error()};
  const Result<DomainXml> next = parse_domain_xml(xml, "the new definition for " + file);
  if (!next) return Error{next.error()};
  if (const std::string what = beyond_the_guest(old.value(), next.value()); !what.empty())
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
