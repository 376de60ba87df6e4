// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-check.h.
#include "migrationd/io/domain-check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

#include <pugixml.hpp>

#include "migrationd/io/carried-place.h"
#include "migrationd/io/local-resources.h"
#include "migrationd/io/migrate-options.h"
#include "migrationd/io/storage-identity.h"

namespace migrationd::io {

namespace {

/// Beside the disks, whose keys are paths.
constexpr const char* cpu_key = "cpu";

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

bool has(const std::string& cpu, const char* text) { return cpu.find(text) != std::string::npos; }

std::string own_cpu(const Connection& connection) {
  return host_cpu(read_host_capabilities(connection));
}

/// `compared`: libvirt's verdict. One that it can't give is no refusal.
engine::Fitness cpu_verdict(int compared, const std::string& why) {
  if (compared == VIR_CPU_COMPARE_IDENTICAL || compared == VIR_CPU_COMPARE_SUPERSET) return {};
  const int code = compared == VIR_CPU_COMPARE_ERROR ? libvirt_error_code() : static_cast<int>(VIR_ERR_CPU_INCOMPATIBLE);
  if (code == VIR_ERR_NO_SUPPORT) return {};
  // A model that this libvirt does not know is an internal error to it, but one of its CPU driver.
  const bool unknown_model = code == VIR_ERR_INTERNAL_ERROR && libvirt_error_domain() == VIR_FROM_CPU;
  return {libvirt_error(why).text, unknown_model || lasting_refusal(code, HostQuestion::cpu), ""};
}

/// host-passthrough: the guest has found all that the CPU of `there` can, and libvirt does not compare it.
engine::Fitness check_passed_through(const Connection& connection, const std::string& there) {
  engine::Fitness verdict = cpu_verdict(virConnectCompareCPU(connection.get(), there.c_str(), VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE),
                                "the domain has the whole CPU of the node that it leaves (host-passthrough), and this node's lacks some of it");
  if (!verdict.ok()) return verdict;
  const std::string differs = cpu_difference(there, own_cpu(connection));
  if (!differs.empty()) verdict.doubt = "its CPU is passed through (host-passthrough), and " + differs + ": the guest may not like it";
  return verdict;
}

engine::Fitness check_cpu(const Connection& connection, const DomainXml& domain, const std::map<std::string, std::string>& host) {
  auto text = [](const std::string& value) { return value.empty() ? nullptr : value.c_str(); };
  char* capabilities = virConnectGetDomainCapabilities(connection.get(), text(domain.emulator), text(domain.arch),
                                                       text(domain.machine), text(domain.virt_type), 0);
  if (capabilities == nullptr) {
    const int code = libvirt_error_code();
    if (code == VIR_ERR_NO_SUPPORT) return {};
    return {libvirt_error("machine type " + domain.machine + " (" + domain.virt_type + ") can't run on this node").text,
            lasting_refusal(code, HostQuestion::capabilities), ""};
  }
  std::free(capabilities);
  if (const auto there = host.find(cpu_key); there != host.end()) return check_passed_through(connection, there->second);
  // Only a named model with its features can be compared: what host-model came to is one in the live definition. With
  // check='none' nobody promised the guest the features of its model, and libvirt does not look for them either.
  if (!has(domain.cpu, "<model") || has(domain.cpu, "mode=\"host-") || has(domain.cpu, "check=\"none\"")) return {};
  return cpu_verdict(virConnectCompareHypervisorCPU(connection.get(), text(domain.emulator), text(domain.arch), text(domain.machine),
                                                    text(domain.virt_type), domain.cpu.c_str(), VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE),
                     "the domain's CPU can't be had on this node");
}

}  // namespace

bool lasting_refusal(int libvirt_error, HostQuestion question) {
  switch (question) {
    case HostQuestion::cpu: return libvirt_error == VIR_ERR_CPU_INCOMPATIBLE;
    case HostQuestion::capabilities: return libvirt_error == VIR_ERR_INVALID_ARG || libvirt_error == VIR_ERR_CONFIG_UNSUPPORTED;
  }
  return false;
}

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

std::string host_cpu(const std::string& capabilities) {
  pugi::xml_document document;
  if (!document.load_buffer(capabilities.data(), capabilities.size())) return "";
  std::ostringstream out;
  if (pugi::xml_node cpu = document.child("capabilities").child("host").child("cpu")) cpu.print(out, "", pugi::format_raw);
  return out.str();
}

std::string cpu_difference(const std::string& there, const std::string& here) {
  pugi::xml_document theirs, ours;
  if (!theirs.load_buffer(there.data(), there.size()) || !ours.load_buffer(here.data(), here.size())) return "the CPUs can't be compared";
  const std::string model = theirs.child("cpu").child("model").text().get(), own = ours.child("cpu").child("model").text().get();
  if (model != own) return "that of the node it leaves is a " + model + ", this node's a " + own;
  const std::string microcode = theirs.child("cpu").child("microcode").attribute("version").value();
  const std::string own_microcode = ours.child("cpu").child("microcode").attribute("version").value();
  return microcode == own_microcode ? "" : "the microcode differs (" + microcode + " there, " + own_microcode + " here)";
}

std::map<std::string, std::string> host_facts(const Connection& connection, const std::string& xml, const std::string& migrate_options) {
  std::map<std::string, std::string> facts;
  Result<DomainXml> domain = parse_domain_xml(xml, "the domain's definition");
  if (!domain) return facts;
  Result<MigrateOptions> options = parse_migrate_options(migrate_options);
  constexpr unsigned storage_settled = VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC | VIR_MIGRATE_UNSAFE;
  if (!options || (options.value().flags & storage_settled) == 0) facts = storage_of(domain.value());
  if (!has(domain.value().cpu, "mode=\"host-passthrough\"")) return facts;
  if (std::string cpu = own_cpu(connection); !cpu.empty()) facts[cpu_key] = cpu;
  return facts;
}

Outcome check_carried_way(const engine::Departure& departure, const std::string& streams, const std::string& capabilities) {
  const std::string& there = departure.host.at(streams_key);
  if (streams.empty()) return Error{"no migration is carried to this node"};
  if (there != streams)
    return Error{"the sockets of migrations lie in " + there + " on the node that it leaves and in " + streams + " here: set the same runtime_dir on both"};
  if (auto owner = emulator_owner(departure.definition, capabilities); !owner.ok()) return Error{owner.error()};
  return Done{};
}

std::string read_host_capabilities(const Connection& connection) {
  const std::unique_ptr<char, decltype(&std::free)> capabilities(virConnectGetCapabilities(connection.get()), &std::free);
  return capabilities ? capabilities.get() : "";
}

engine::Fitness check_domain(const Connection& connection, const std::string& xml, const std::map<std::string, std::string>& host,
                             bool may_start_resources) {
  const auto unfit = [](const std::string& why) { return engine::Fitness{why, false, ""}; };
  Result<DomainXml> domain = parse_domain_xml(xml, "the domain's definition");
  if (!domain) return unfit(domain.error());
  // Host devices and the like: libvirt refuses them by itself, but not before the domain has been parted with.
  if (!domain.value().obstacles.empty()) return unfit("it can't be migrated: " + domain.value().obstacles.front());
  for (const Outcome& outcome : {check_files(domain.value()), check_storage(domain.value(), host)})
    if (!outcome) return unfit(outcome.error());
  const Result<std::string> resources = check_resources(connection, domain.value(), may_start_resources);
  if (!resources) return unfit(resources.error());
  engine::Fitness cpu = check_cpu(connection, domain.value(), host);
  if (!cpu.ok()) return cpu;
  const std::string between = resources.value().empty() || cpu.doubt.empty() ? "" : "; ";
  return {"", false, resources.value() + between + cpu.doubt};
}

}  // namespace migrationd::io
