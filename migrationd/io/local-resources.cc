// SPDX-License-Identifier: GPL-2.0-or-later
// See local-resources.h. Pools come before networks, in the order of the definition.
#include "migrationd/io/local-resources.h"

#include <memory>
#include <vector>

namespace migrationd::io {

namespace {

struct Release {
  void operator()(virStoragePoolPtr pool) const { virStoragePoolFree(pool); }
  void operator()(virNetworkPtr network) const { virNetworkFree(network); }
};
using Pool = std::unique_ptr<virStoragePool, Release>;
using Network = std::unique_ptr<virNetwork, Release>;

// One set of overloads for both kinds, so that they are treated alike.
bool active(virStoragePoolPtr pool) { return virStoragePoolIsActive(pool) == 1; }
bool active(virNetworkPtr network) { return virNetworkIsActive(network) == 1; }
bool start(virStoragePoolPtr pool) { return virStoragePoolCreate(pool, 0) == 0; }
bool start(virNetworkPtr network) { return virNetworkCreate(network) == 0; }
/// A volume that another node made shows in a pool only then.
bool look_again(virStoragePoolPtr pool) { return virStoragePoolRefresh(pool, 0) == 0; }
bool look_again(virNetworkPtr) { return true; }

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// Calls `each(what, handle, how to start it by hand)` for each pool and network. Error: its first one, or one that is not known.
template <class Each>
Outcome for_each(const Connection& connection, const DomainXml& domain, const Each& each) {
  for (const std::string& name : domain.pools) {
    const std::string what = "storage pool " + name;
    const Pool pool(virStoragePoolLookupByName(connection.get(), name.c_str()));
    if (!pool) return libvirt_error(what + " is not known to libvirt on this node");
    if (Outcome outcome = each(what, pool.get(), "virsh pool-start " + name); !outcome) return outcome;
  }
  for (const std::string& name : domain.networks) {
    const std::string what = "network " + name;
    const Network network(virNetworkLookupByName(connection.get(), name.c_str()));
    if (!network) return libvirt_error(what + " is not known to libvirt on this node");
    if (Outcome outcome = each(what, network.get(), "virsh net-start " + name); !outcome) return outcome;
  }
  return Done{};
}

}  // namespace

Result<std::string> check_resources(const Connection& connection, const DomainXml& domain, bool may_start) {
  std::vector<std::string> missing;
  const Outcome checked = for_each(connection, domain, [&](const std::string& what, auto* handle, const std::string& by_hand) -> Outcome {
    if (active(handle)) return Done{};
    if (!may_start) return Error{what + " is not active on this node; run " + by_hand + ", or set start_resources=true"};
    missing.push_back(what);
    return Done{};
  });
  if (!checked) return Error{checked.error()};
  return missing.empty() ? std::string() : listed(missing) + ", not active here, is started for it first";
}

Result<std::string> start_resources(const Connection& connection, const DomainXml& domain) {
  std::vector<std::string> started;
  std::string trouble;
  const Outcome all = for_each(connection, domain, [&](const std::string& what, auto* handle, const std::string& by_hand) -> Outcome {
    if (active(handle)) {
      if (!look_again(handle)) trouble += "; " + libvirt_error(what + " could not look for new volumes").text;
      return Done{};
    }
    if (!start(handle)) {
      const Error error = libvirt_error(what + " can't be started (" + by_hand + ")");
      if (!active(handle)) return error;  // else somebody started it beside us
    }
    started.push_back(what);
    return Done{};
  });
  if (!all) return Error{all.error()};
  const std::string done = started.empty() ? "" : "started for it: " + listed(started);
  return done.empty() && !trouble.empty() ? trouble.substr(2) : done + trouble;
}

}  // namespace migrationd::io
