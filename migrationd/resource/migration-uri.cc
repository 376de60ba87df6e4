// SPDX-License-Identifier: GPL-2.0-or-later
// Builds the two URIs of a migration.
#include "migrationd/resource/migration-uri.h"

#include <algorithm>
#include <array>
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

/// The options of virsh migrate that say how the bytes travel.
constexpr auto way_options = std::to_array<std::string_view>(
    {"--tls", "--tls-destination", "--tunnelled", "--listen-address", "--disks-port", "--disks-uri", "--rdma-pin-all"});

/// The first parameter that names a way of libvirt's own, as a user wrote it; empty: none does. The network suffix is one only
/// where nothing else was asked for.
std::string way_of_libvirt(const Parameters& parameters, bool suffix_counts) {
  if (!parameters.remoteuri.empty()) return "remoteuri";
  if (!parameters.migrateuri.empty()) return "migrateuri";
  if (parameters.migrateport) return "migrateport";
  if (!parameters.migration_user.empty()) return "migration_user";
  if (suffix_counts && !parameters.migration_network_suffix.empty()) return "migration_network_suffix";
  constexpr std::string_view blanks = " \t\n";
  std::string_view left = parameters.migrate_options;
  for (std::size_t begin = left.find_first_not_of(blanks); begin != std::string_view::npos; begin = left.find_first_not_of(blanks)) {
    left.remove_prefix(begin);
    const std::string_view word = left.substr(0, left.find_first_of(blanks));
    left.remove_prefix(word.size());
    const std::string_view option = word.substr(0, word.find('='));
    if (std::find(way_options.begin(), way_options.end(), option) != way_options.end()) return std::string(option) + " in migrate_options";
  }
  return {};
}

bool can_be_carried(const Parameters& parameters) { return same_hypervisor(parameters.hypervisor, "qemu:///system"); }

}  // namespace

bool carried(const Parameters& parameters) {
  if (parameters.migration_transport != Transport::automatic) return parameters.migration_transport == Transport::migrationd;
  return can_be_carried(parameters) && way_of_libvirt(parameters, true).empty();
}

Outcome check_carried(const Parameters& parameters) {
  if (parameters.post_copy && !carried(parameters))
    return Error{"postcopy=yes needs migration_transport=migrationd: only a migration that the daemons carry themselves can hold the destination "
                 "back until it has the domain; use that transport, or set postcopy=no"};
  if (parameters.post_copy && parameters.migrate_options.find("--parallel") != std::string::npos)
    return Error{"postcopy=yes and --parallel in migrate_options exclude each other in QEMU; remove one of them"};
  if (parameters.migration_transport != Transport::migrationd) return Done{};
  if (!can_be_carried(parameters))
    return Error{"migration_transport=migrationd carries migrations of qemu:///system only, not of hypervisor='" + parameters.hypervisor +
                 "': use ssh, tls or tcp"};
  const std::string other = way_of_libvirt(parameters, false);
  if (other.empty()) return Done{};
  return Error{"migration_transport=migrationd and " + other + " contradict each other: the daemons carry all of the migration themselves; remove one of them"};
}

std::string carried_via(const Parameters& parameters, const NodeName& destination) {
  return parameters.migration_network_suffix.empty() ? "" : with_suffix(destination, parameters.migration_network_suffix);
}

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
  if (parameters.migration_transport != Transport::automatic)
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
