// SPDX-License-Identifier: GPL-2.0-or-later
// Of two hosts' CPUs what matters to a guest that has the whole of one; and what of a live definition is checked.
#include <doctest/doctest.h>

#include <libvirt/virterror.h>

#include "migrationd/io/domain-check.h"

using namespace migrationd::io;

namespace {

std::string cpu(const std::string& model, const std::string& microcode) {
  return "<cpu><arch>x86_64</arch><model>" + model + "</model><microcode version=\"" + microcode + "\"/><feature name=\"vmx\"/></cpu>";
}

}  // namespace

TEST_CASE("domain-check: the host's CPU is found in libvirt's capabilities") {
  const std::string one = cpu("EPYC-Rome", "137367628");
  CHECK(host_cpu("<capabilities><host><uuid>x</uuid>" + one + "</host><guest><cpu/></guest></capabilities>") == one);
  CHECK(host_cpu("<capabilities><host/></capabilities>") == "");
  CHECK(host_cpu("no XML") == "");
}

TEST_CASE("domain-check: only what libvirt says of the host lasts; a libvirtd that is away has said nothing") {
  CHECK(lasting_refusal(VIR_ERR_CPU_INCOMPATIBLE, HostQuestion::cpu));
  CHECK(lasting_refusal(VIR_ERR_INVALID_ARG, HostQuestion::capabilities));
  CHECK(lasting_refusal(VIR_ERR_CONFIG_UNSUPPORTED, HostQuestion::capabilities));
  for (const HostQuestion question : {HostQuestion::cpu, HostQuestion::capabilities})
    for (const int error : {VIR_ERR_OK, VIR_ERR_RPC, VIR_ERR_INTERNAL_ERROR, VIR_ERR_SYSTEM_ERROR, VIR_ERR_NO_CONNECT, VIR_ERR_OPERATION_FAILED})
      CHECK_FALSE(lasting_refusal(error, question));
}

TEST_CASE("domain-check: another model or microcode is a doubt that is said") {
  CHECK(cpu_difference(cpu("EPYC", "1"), cpu("EPYC", "1")) == "");
  CHECK(cpu_difference(cpu("EPYC", "1"), cpu("EPYC-Rome", "1")).find("EPYC-Rome") != std::string::npos);
  CHECK(cpu_difference(cpu("EPYC", "1"), cpu("EPYC", "2")).find("microcode") != std::string::npos);
  CHECK(cpu_difference("", cpu("EPYC", "2")).find("can't be compared") != std::string::npos);
}

TEST_CASE("domain-check: of a network's interface in a live definition the network counts, not its bridge") {
  const auto domain = parse_domain_xml(
      "<domain type='qemu'><name>vm1</name><memory>65536</memory><devices><interface type='network'>"
      "<source network='default' portid='7' bridge='virbr0'/></interface><interface type='bridge'><source bridge='br0'/>"
      "</interface></devices></domain>", "x");
  REQUIRE(domain.ok());
  CHECK(domain.value().interfaces[0].source == "default");
  CHECK(domain.value().interfaces[1].source == "br0");
}

TEST_CASE("domain-check: each pool and network of a definition is known once, wherever it is named") {
  const auto domain = parse_domain_xml(
      "<domain type='qemu'><name>vm1</name><memory>65536</memory><devices>"
      "<disk type='volume'><source pool='guests' volume='a'/><target dev='vda'/></disk>"
      "<disk type='volume'><source pool='guests' volume='b'/><backingStore type='volume'><source pool='images' volume='c'/></backingStore></disk>"
      "<interface type='network'><source network='default' bridge='virbr0'/></interface>"
      "<interface type='network'><source network='default'/></interface>"
      "<graphics type='vnc'><listen type='network' network='office'/></graphics></devices></domain>", "x");
  REQUIRE(domain.ok());
  CHECK(domain.value().pools == std::vector<std::string>{"guests", "images"});
  CHECK(domain.value().networks == std::vector<std::string>{"default", "office"});
}
