// SPDX-License-Identifier: GPL-2.0-or-later
// See configuration-check.h.
#include "migrationd/io/configuration-check.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "migrationd/io/domain-check.h"
#include "migrationd/io/kept-definitions.h"
#include "migrationd/io/migrate-options.h"
#include "migrationd/resource/migration-uri.h"

namespace migrationd::io {

using wire::OcfCode;

Refused refuse(Fault fault, std::string reason) {
  switch (fault) {
    case Fault::parameters: return {OcfCode::not_configured, std::move(reason)};
    case Fault::node: return {OcfCode::not_installed, std::move(reason)};
  }
  return {};
}

bool serves(const std::string& libvirt_uri, const std::map<std::string, std::string>& given) {
  const auto hypervisor = given.find("hypervisor");
  return hypervisor == given.end() || hypervisor->second.empty() || resource::same_hypervisor(hypervisor->second, libvirt_uri);
}

std::variant<resource::Parameters, Refused> check_parameters(const std::map<std::string, std::string>& given, const std::string& libvirt_uri) {
  auto parameters = resource::parse(given);
  if (!parameters) return refuse(Fault::parameters, parameters.error());
  if (serves(libvirt_uri, given)) return std::move(parameters.value());
  return refuse(Fault::node, "parameter hypervisor='" + given.at("hypervisor") + "' is refused: the migrationd of this node serves " +
                                 libvirt_uri + ", one hypervisor a node; correct the parameter, or libvirt_uri in migrationd.conf");
}

std::variant<resource::Parameters, Refused> check_all_parameters(const std::map<std::string, std::string>& given,
                                                                 const std::string& libvirt_uri) {
  auto checked = check_parameters(given, libvirt_uri);
  if (const auto* parameters = std::get_if<resource::Parameters>(&checked))
    if (const auto options = parse_migrate_options(parameters->migrate_options); !options) return refuse(Fault::parameters, options.error());
  return checked;
}

std::string misnaming(const resource::Parameters& parameters, const std::string& name) {
  if (parameters.name.empty() || parameters.name == name) return "";
  return "the parameter name says '" + parameters.name + "', but " + parameters.config + " defines the domain '" + name +
         "': correct one of them";
}

std::variant<DomainXml, NoDefinition> read_definition(const resource::Parameters& parameters, const KeptFor& kept_for) {
  auto xml = read_domain_xml(parameters.config);
  if (!xml) {
    const auto kept = kept_instead_of(kept_for.state_dir, kept_for.resource, parameters.config);
    if (kept && (parameters.name.empty() || parameters.name == kept->name)) xml = parse_domain_xml(kept->xml, "the definition that is kept of " + kept->name);
  }
  if (!xml) return NoDefinition{"the domain's definition can't be used: " + xml.error()};
  if (std::string why = misnaming(parameters, xml.value().name); !why.empty()) return NoDefinition{std::move(why), true};
  return std::move(xml.value());
}

namespace {
/// Of monitor_scripts those that are named by a path; what is in PATH is the cluster manager's to know.
std::string missing_script(const std::map<std::string, std::string>& given) {
  const auto scripts = given.find("monitor_scripts");
  if (scripts == given.end()) return {};
  std::istringstream words(scripts->second);
  for (std::string program; words >> program;) {
    if (program.find('/') != std::string::npos && ::access(program.c_str(), X_OK) != 0)
      return "monitor_scripts: " + program + " can't be run on this node: " + std::strerror(errno);
  }
  return {};
}
}  // namespace

Refused validate(const std::map<std::string, std::string>& given, const std::string& libvirt_uri, const KeptFor& kept) {
  const auto parameters = check_all_parameters(given, libvirt_uri);
  if (const auto* refused = std::get_if<Refused>(&parameters)) return *refused;
  const auto definition = read_definition(std::get<resource::Parameters>(parameters), kept);
  if (const auto* missing = std::get_if<NoDefinition>(&definition)) return refuse(Fault::node, missing->why);
  if (std::string missing = missing_script(given); !missing.empty()) return refuse(Fault::node, std::move(missing));
  if (const auto files = check_files(std::get<DomainXml>(definition)); !files) return refuse(Fault::node, files.error());
  return {OcfCode::success, ""};
}

}  // namespace migrationd::io
