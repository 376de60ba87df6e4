// SPDX-License-Identifier: GPL-2.0-or-later
// A domain's definition is read as XML: what is in it, and for each way it can be broken an error that says where.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "migrationd/io/copy-mark.h"
#include "migrationd/io/domain-xml.h"
#include "scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

std::string domain(const std::string& inside) { return "<domain type='kvm'>" + inside + "</domain>"; }
const std::string memory = "<memory unit='MiB'>128</memory>";

std::string error_of(const std::string& xml) {
  Result<DomainXml> parsed = parse_domain_xml(xml, "vm1.xml");
  REQUIRE(!parsed.ok());
  return parsed.error();
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("domain-xml: name, UUID, memory, disks and interfaces are found wherever they stand") {
  Result<DomainXml> parsed = parse_domain_xml(
      domain("<name>vm1</name><uuid>11111111-2222-4333-8444-55555555555A</uuid>" + memory +
             "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><kernel>/boot/k</kernel></os>"
             "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
             "<disk type='file'><source file='/a b.img'/><target dev='vda'/></disk>"
             "<disk type='block'><source dev='/dev/vg/x'/><target dev='vdb'/></disk>"
             "<disk type='file' device='cdrom'><target dev='sda'/></disk>"
             "<interface type='bridge'><source bridge='br0'/></interface></devices>"),
      "x");
  REQUIRE(parsed.ok());
  const DomainXml& vm = parsed.value();
  CHECK(vm.name == "vm1");
  CHECK(vm.uuid.str() == "11111111-2222-4333-8444-55555555555a");
  CHECK(!vm.uuid_made);
  CHECK(vm.memory_kib == 128 * 1024);
  CHECK(vm.machine == "pc-q35-7.2");
  REQUIRE(vm.disks.size() == 3);
  CHECK(vm.disks[0].source == "/a b.img");
  CHECK(vm.disks[1].source == "/dev/vg/x");
  CHECK(vm.disks[2].optional);
  REQUIRE(vm.interfaces.size() == 1);
  CHECK(vm.interfaces[0].source == "br0");
  CHECK(vm.files == std::vector<std::string>{"/boot/k"});
  CHECK(vm.obstacles.empty());
}

TEST_CASE("domain-xml: names are data, whatever is in them") {
  for (std::string name : {"a b", "it's \"x\"", "a\nb", "dömäne", "../../etc/passwd", "a&b<c>"}) {
    std::string escaped;
    for (char c : name) escaped += c == '&' ? "&amp;" : c == '<' ? "&lt;" : std::string(1, c);
    Result<DomainXml> parsed = parse_domain_xml(domain("<name>" + escaped + "</name>" + memory), "x");
    REQUIRE(parsed.ok());
    CHECK(parsed.value().name == name);
    // and they survive being written out for libvirt
    Result<DomainXml> again = parse_domain_xml(parsed.value().xml, "x");
    REQUIRE(again.ok());
    CHECK(again.value().name == name);
    CHECK(again.value().uuid == parsed.value().uuid);
  }
}

TEST_CASE("domain-xml: without <uuid> every node makes the same one from the name, and it is in the XML") {
  Result<DomainXml> one = parse_domain_xml(domain("<name>vm1</name>" + memory), "x");
  Result<DomainXml> two = parse_domain_xml(domain("  " + memory + "<name>vm1</name>"), "y");
  REQUIRE(one.ok());
  REQUIRE(two.ok());
  CHECK(one.value().uuid_made);
  CHECK(one.value().uuid == two.value().uuid);
  CHECK(one.value().uuid.str() == "e431cd57-b360-5d34-868d-5093e40f286c");
  CHECK(has(one.value().xml, one.value().uuid.str()));
  CHECK(uuid_from_name("vm2") != uuid_from_name("vm1"));
  CHECK(uuid_from_name("vm1").str()[14] == '5');
}

TEST_CASE("domain-xml: memory in every unit that libvirt takes") {
  auto kib = [](const std::string& element) {
    Result<DomainXml> parsed = parse_domain_xml(domain("<name>a</name>" + element), "x");
    REQUIRE(parsed.ok());
    return parsed.value().memory_kib;
  };
  CHECK(kib("<memory>1024</memory>") == 1024);
  CHECK(kib("<memory unit='b'>1048576</memory>") == 1024);
  CHECK(kib("<memory unit='KiB'>1</memory>") == 1);
  CHECK(kib("<memory unit='MB'>1</memory>") == 976);
  CHECK(kib("<memory unit='G'> 2 </memory>") == 2097152);
  CHECK(has(error_of(domain("<name>a</name><memory unit='XB'>1</memory>")), "unknown unit"));
  CHECK(has(error_of(domain("<name>a</name><memory>many</memory>")), "no number"));
  CHECK(has(error_of(domain("<name>a</name><memory unit='TiB'>18446744073709551615</memory>")), "too large"));
}

TEST_CASE("domain-xml: each way to be broken has its own error") {
  CHECK(has(error_of("<domain>\n  <name>vm1</nam>"), "line 2, column"));
  CHECK(has(error_of(""), "broken XML"));
  CHECK(has(error_of("<network><name>a</name></network>"), "<network>, not <domain>"));
  CHECK(has(error_of(domain(memory)), "no <name>"));
  CHECK(has(error_of(domain("<name>a</name><name>b</name>" + memory)), "2 <name>"));
  CHECK(has(error_of(domain("<name></name>" + memory)), "empty"));
  CHECK(has(error_of(domain("<name>a</name><uuid>nonsense</uuid>" + memory)), "no UUID"));
  CHECK(has(error_of("<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + domain("<name>&x;</name>" + memory)), "DOCTYPE"));
  CHECK(has(error_of(std::string(domain_xml_limit + 1, ' ')), "larger than"));
}

TEST_CASE("domain-xml: what forbids a live migration is named") {
  Result<DomainXml> parsed = parse_domain_xml(
      domain("<name>a</name>" + memory + "<devices><hostdev type='usb'/><filesystem><target dir='share'/></filesystem></devices>"), "x");
  REQUIRE(parsed.ok());
  REQUIRE(parsed.value().obstacles.size() == 2);
  CHECK(has(parsed.value().obstacles[0], "usb"));
  CHECK(has(parsed.value().obstacles[1], "share"));
}

TEST_CASE("domain-xml: files that are no definition") {
  tests::Scratch scratch;
  auto error = [&](const std::string& path) {
    Result<DomainXml> read = read_domain_xml(path);
    REQUIRE(!read.ok());
    return read.error();
  };
  CHECK(has(error(scratch / "none.xml"), "No such file"));
  CHECK(has(error(scratch.path()), "is a directory"));
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0600) == 0);
  CHECK(has(error(scratch / "fifo"), "not a regular file"));
  CHECK(has(error(""), "empty"));
  tests::write_file(scratch / "vm.xml", domain("<name>vm1</name>" + memory));
  CHECK(read_domain_xml(scratch / "vm.xml").ok());
}

TEST_CASE("copy-mark: is put beside other metadata, once, and says whether the domain ran") {
  Result<std::string> once = with_copy_mark("<domain><name>a</name><metadata><x:y xmlns:x='urn:x'/></metadata></domain>", true);
  REQUIRE(once.ok());
  CHECK(has(once.value(), "urn:x"));
  CHECK(has(once.value(), copy_mark_uri));
  Result<std::string> twice = with_copy_mark(once.value(), false);
  REQUIRE(twice.ok());
  CHECK(twice.value().find("migrationd:copy ") == twice.value().rfind("migrationd:copy "));
  CHECK(has(twice.value(), "ran=\"no\""));
  CHECK(!copy_mark_ran("<copy ran=\"no\"/>"));
  CHECK(copy_mark_ran("<copy ran=\"yes\"/>"));
  CHECK(copy_mark_ran("broken"));
}

TEST_CASE("domain-xml: a killed emulator leaves nothing held of files, devices and NBD, but of what has servers with locks") {
  const auto lets_go = [](const std::string& disks) {
    const auto read = io::parse_domain_xml("<domain type='qemu'><name>vm</name><memory>1024</memory><devices>" + disks + "</devices></domain>", "test");
    REQUIRE(read.ok());
    return io::kernel_lets_go(read.value());
  };
  const std::string file = "<disk type='file'><source file='/x'/><target dev='vda'/></disk>";
  const std::string nbd = "<disk type='network'><source protocol='nbd' name='x'/><target dev='vdb'/></disk>";
  const std::string rbd = "<disk type='network'><source protocol='rbd' name='pool/x'/><target dev='vdc'/></disk>";
  CHECK(lets_go(""));
  CHECK(lets_go(file + nbd + "<disk type='block'><source dev='/dev/x'/><target dev='vdd'/></disk>"));
  CHECK_FALSE(lets_go(file + rbd));
  CHECK_FALSE(lets_go("<disk type='volume'><source pool='ceph' volume='x'/><target dev='vde'/></disk>"));
}
