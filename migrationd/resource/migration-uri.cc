// SPDX-License-Identifier: GPL-2.0-or-later
// Builds the two URIs of a migration.
#include "migrationd/resource/migration-uri.h"

#include <string_view>

namespace migrationd::resource {

namespace {

// The node's name in the migration network: the suffix goes before the first dot.
std::string with_suffix(const NodeName& node, const std::string& suffix) {
  const std::size_t dot = node.find('.');
  if (dot == 0) return node;
  std::string name = node;
  name.insert(dot == std::string::npos ? name.size() : dot, suffix);
  return name;
}

std::string with_node(std::string text, const NodeName& node) {
  for (std::size_t at = text.find("%n"); at != std::string::npos; at = text.find("%n", at + node.size()))
    text.replace(at, 2, node);
  return text;
}

std::string_view scheme_of(std::string_view uri) { return uri.substr(0, uri.find_first_of("+:")); }

// The driver's part of a URI after the host, such as /system; Xen has no other than that.
std::string_view instance_of(std::string_view uri) {
  if (scheme_of(uri) == "xen") return "/system";
  const std::size_t authority = uri.find("://");
  if (authority == std::string_view::npos) return {};
  uri.remove_prefix(authority + 3);
  const std::size_t path = uri.find('/');
  if (path == std::string_view::npos) return {};
  return uri.substr(path, uri.find('?', path) - path);
}

}  // namespace

bool same_hypervisor(std::string_view a, std::string_view b) {
  return scheme_of(a) == scheme_of(b) && instance_of(a) == instance_of(b);
}

Result<std::string> migration_uri(const Parameters& parameters, const NodeName& destination) {
  if (!parameters.remoteuri.empty()) return with_node(parameters.remoteuri, destination);

  const std::string_view uri = parameters.hypervisor;
  const std::size_t authority = uri.find("://");
  const std::size_t path = authority == std::string_view::npos ? authority : uri.find('/', authority + 3);
  if (path == std::string_view::npos)
    return Error{"no URI for the libvirt of " + destination + " can be made from hypervisor='" + parameters.hypervisor +
                 "': it isn't of the form qemu:///system; set remoteuri"};
  const std::string_view host = uri.substr(authority + 3, path - authority - 3);
  const std::size_t colon = host.rfind(':');
  const std::string_view port = colon == std::string_view::npos ? std::string_view() : host.substr(colon);

  // The local connection's own transport (such as +unix) says nothing about the way to another node.
  std::string scheme(uri.substr(0, authority));
  if (parameters.migration_transport != Transport::libvirt_default)
    scheme = std::string(scheme_of(scheme)) + "+" + to_string(parameters.migration_transport);
  else if (scheme.ends_with("+unix"))
    scheme = scheme_of(scheme);

  std::string result = scheme + "://";
  if (!parameters.migration_user.empty()) result += parameters.migration_user + "@";
  result += with_suffix(destination, parameters.migration_network_suffix);
  result += port;
  result += uri.substr(path);
  return result;
}

std::string migrate_uri(const Parameters& parameters, const NodeName& destination) {
  // With remoteuri, %n is the node's plain name here too, as with ocf:heartbeat:VirtualDomain.
  const NodeName target =
      parameters.remoteuri.empty() ? with_suffix(destination, parameters.migration_network_suffix) : destination;
  if (!parameters.migrateuri.empty()) return with_node(parameters.migrateuri, target);
  if (parameters.migration_network_suffix.empty()) return {};

  const std::string host = with_suffix(destination, parameters.migration_network_suffix);
  const std::string_view scheme = scheme_of(parameters.hypervisor);
  if (scheme == "xen") return host;
  if (scheme != "qemu") return {};
  return "tcp://" + host + (parameters.migrateport ? ":" + std::to_string(*parameters.migrateport) : "");
}

}  // namespace migrationd::resource
