// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-check.h.
#include "migrationd/io/domain-check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace migrationd::io {

namespace {

std::string missing(const std::string& what, const std::string& path) {
  return what + " " + path + " can't be used on this node: " + std::strerror(errno);
}

Outcome check_disk(const Disk& disk) {
  if (disk.optional || disk.source.empty()) return Done{};
  struct stat status;
  std::string what = "disk " + disk.target + ":";
  if (::stat(disk.source.c_str(), &status) < 0) return Error{missing(what, disk.source)};
  if (disk.type == "block" && !S_ISBLK(status.st_mode)) return Error{what + " " + disk.source + " is no block device on this node"};
  if (disk.type == "dir" && !S_ISDIR(status.st_mode)) return Error{what + " " + disk.source + " is no directory on this node"};
  return Done{};
}

Outcome check_network(const Connection& connection, const std::string& name) {
  virNetworkPtr network = virNetworkLookupByName(connection.get(), name.c_str());
  if (network == nullptr) return libvirt_error("network " + name + " is not known to libvirt on this node");
  int active = virNetworkIsActive(network);
  virNetworkFree(network);
  if (active == 1) return Done{};
  return Error{"network " + name + " is not active on this node; run virsh net-start " + name};
}

Outcome check_cpu(const Connection& connection, const DomainXml& domain) {
  auto text = [](const std::string& value) { return value.empty() ? nullptr : value.c_str(); };
  char* capabilities = virConnectGetDomainCapabilities(connection.get(), text(domain.emulator), text(domain.arch),
                                                       text(domain.machine), text(domain.virt_type), 0);
  if (capabilities == nullptr) {
    if (libvirt_error_code() == VIR_ERR_NO_SUPPORT) return Done{};
    return libvirt_error("machine type " + domain.machine + " (" + domain.virt_type + ") can't run on this node");
  }
  std::free(capabilities);
  // Only a named model with its features can be compared; host-model and host-passthrough mean "as it is here".
  if (domain.cpu.find("<model") == std::string::npos || domain.cpu.find("mode=\"host-") != std::string::npos) return Done{};
  int compared = virConnectCompareHypervisorCPU(connection.get(), text(domain.emulator), text(domain.arch), text(domain.machine),
                                                text(domain.virt_type), domain.cpu.c_str(), VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE);
  if (compared == VIR_CPU_COMPARE_IDENTICAL || compared == VIR_CPU_COMPARE_SUPERSET) return Done{};
  if (compared == VIR_CPU_COMPARE_ERROR && libvirt_error_code() == VIR_ERR_NO_SUPPORT) return Done{};
  return libvirt_error("the domain's CPU can't be had on this node");
}

}  // namespace

Outcome check_files(const DomainXml& domain) {
  if (!domain.emulator.empty() && ::access(domain.emulator.c_str(), X_OK) < 0) return Error{missing("emulator", domain.emulator)};
  for (const std::string& file : domain.files)
    if (::access(file.c_str(), R_OK) < 0) return Error{missing("file", file)};
  for (const Disk& disk : domain.disks) {
    Outcome outcome = check_disk(disk);
    if (!outcome) return outcome;
  }
  for (const Interface& one : domain.interfaces) {
    if ((one.type != "bridge" && one.type != "direct") || one.source.empty()) continue;
    if (one.source.find('/') != std::string::npos || ::access(("/sys/class/net/" + one.source).c_str(), F_OK) < 0)
      return Error{"network device " + one.source + " (an interface's " + (one.type == "bridge" ? "bridge" : "device") +
                   ") does not exist on this node"};
  }
  return Done{};
}

Outcome check_domain(const Connection& connection, const std::string& xml) {
  Result<DomainXml> domain = parse_domain_xml(xml, "the domain's definition");
  if (!domain) return Error{domain.error()};
  Outcome files = check_files(domain.value());
  if (!files) return files;
  for (const Interface& one : domain.value().interfaces) {
    if (one.type != "network") continue;
    Outcome outcome = check_network(connection, one.source);
    if (!outcome) return outcome;
  }
  return check_cpu(connection, domain.value());
}

}  // namespace migrationd::io
