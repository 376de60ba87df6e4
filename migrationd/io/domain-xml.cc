// SPDX-License-Identifier: GPL-2.0-or-later
// See domain-xml.h. pugixml expands only the predefined entities and character references and reads no external
// ones, so entity bombs and file inclusion have nothing to work with; a DOCTYPE is refused all the same, because
// libvirt's parser would treat it differently and the two must see the same document.
#include "migrationd/io/domain-xml.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <sstream>

#include <pugixml.hpp>

#include "migrationd/io/fd.h"

namespace migrationd::io {

namespace {

std::string position(std::string_view text, std::ptrdiff_t offset) {
  offset = std::clamp<std::ptrdiff_t>(offset, 0, static_cast<std::ptrdiff_t>(text.size()));
  std::size_t line = 1, column = 1;
  for (char c : text.substr(0, static_cast<std::size_t>(offset))) {
    if (c == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

std::string trimmed(std::string text) {
  const char* space = " \t\r\n";
  std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

/// Scale in bytes of a unit as libvirt's <memory> takes them; nothing for an unknown one.
std::optional<std::uint64_t> unit_bytes(const std::string& unit) {
  static const struct { const char* name; std::uint64_t bytes; } units[] = {
      {"b", 1}, {"bytes", 1}, {"KB", 1000}, {"k", 1024}, {"KiB", 1024}, {"MB", 1000000}, {"M", 1048576}, {"MiB", 1048576},
      {"GB", 1000000000}, {"G", 1073741824}, {"GiB", 1073741824}, {"TB", 1000000000000}, {"T", 1099511627776}, {"TiB", 1099511627776}};
  if (unit.empty()) return 1024;
  for (const auto& one : units)
    if (::strcasecmp(one.name, unit.c_str()) == 0) return one.bytes;
  return {};
}

Result<std::uint64_t> memory_kib(pugi::xml_node node) {
  std::string digits = trimmed(node.text().get());
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || digits.empty())
    return Error{"<memory> is no number: \"" + digits.substr(0, 40) + "\""};
  std::optional<std::uint64_t> scale = unit_bytes(node.attribute("unit").value());
  if (!scale) return Error{"<memory> has the unknown unit \"" + std::string(node.attribute("unit").value()) + "\""};
  unsigned __int128 kib = static_cast<unsigned __int128>(number) * *scale / 1024;
  if (kib > UINT64_MAX / 2) return Error{"<memory> is too large: " + digits};
  return static_cast<std::uint64_t>(kib);
}

void read_disks(pugi::xml_node devices, DomainXml& domain) {
  for (pugi::xml_node node : devices.children("disk")) {
    Disk disk;
    disk.type = node.attribute("type").as_string("file");
    pugi::xml_node source = node.child("source");
    if (disk.type == "file") disk.source = source.attribute("file").value();
    if (disk.type == "block") disk.source = source.attribute("dev").value();
    if (disk.type == "dir") disk.source = source.attribute("dir").value();
    disk.protocol = source.attribute("protocol").value();
    disk.target = node.child("target").attribute("dev").value();
    disk.shareable = node.child("shareable");
    disk.read_only = node.child("readonly");
    std::string policy = source.attribute("startupPolicy").value();
    disk.optional = !source || policy == "optional" || policy == "requisite";
    if (disk.type == "vhostuser" || disk.type == "nvme")
      domain.obstacles.push_back("disk " + disk.target + " (" + disk.type + ") is bound to this host's hardware");
    domain.disks.push_back(std::move(disk));
  }
}

void read_interfaces(pugi::xml_node devices, DomainXml& domain) {
  for (pugi::xml_node node : devices.children("interface")) {
    Interface one;
    one.type = node.attribute("type").value();
    pugi::xml_node source = node.child("source");
    // The live definition names the bridge of a network, too.
    for (const char* key : {one.type == "network" ? "network" : "bridge", "network", "dev", "path"})
      if (one.source.empty()) one.source = source.attribute(key).value();
    one.bridge = source.attribute("bridge").value();
    one.mac = node.child("mac").attribute("address").value();
    one.target = node.child("target").attribute("dev").value();
    if (one.type == "hostdev" || one.type == "vdpa")
      domain.obstacles.push_back("a network interface of type " + one.type + " is a device of this host");
    domain.interfaces.push_back(std::move(one));
  }
}

/// The values of an attribute anywhere in the devices, each once.
std::vector<std::string> values_of(pugi::xml_node devices, const char* attribute) {
  std::vector<std::string> values;
  if (!devices) return values;
  for (const pugi::xpath_node& found : devices.select_nodes(attribute)) {
    const std::string value = found.attribute().value();
    if (!value.empty() && std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  return values;
}

void read_obstacles(pugi::xml_node devices, DomainXml& domain) {
  for (pugi::xml_node node : devices.children("hostdev"))
    domain.obstacles.push_back("a host device (" + std::string(node.attribute("type").as_string("pci")) + ") is passed through");
  for (pugi::xml_node node : devices.children("filesystem")) {
    domain.obstacles.push_back("the file system " + std::string(node.child("target").attribute("dir").value()) +
                               " is shared in from this host");
  }
  for (pugi::xml_node node : devices.children("shmem"))
    if (std::string(node.attribute("role").value()) != "master")
      domain.obstacles.push_back("the shared memory " + std::string(node.attribute("name").value()) + " belongs to this host");
}

bool element(pugi::xml_node node) { return node.type() == pugi::node_element; }

}  // namespace

DomainUuid uuid_from_name(std::string_view name) {
  static constexpr std::array<unsigned char, 16> space = {0x9a, 0xd4, 0xe9, 0xb8, 0x0f, 0x5b, 0x5d, 0x6e,
                                                          0x8a, 0x0c, 0x3f, 0x1a, 0x6b, 0x7c, 0x2d, 0x10};
  std::string text(space.begin(), space.end());
  text += name;
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha1(), nullptr);
  digest[6] = static_cast<unsigned char>((digest[6] & 0x0f) | 0x50);
  digest[8] = static_cast<unsigned char>((digest[8] & 0x3f) | 0x80);
  static const char hex[] = "0123456789abcdef";
  std::string uuid;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += hex[digest[i] >> 4];
    uuid += hex[digest[i] & 15];
  }
  return *DomainUuid::parse(uuid);
}

bool kernel_lets_go(const DomainXml& domain) {
  return std::all_of(domain.disks.begin(), domain.disks.end(), [](const Disk& disk) {
    return disk.type == "file" || disk.type == "block" || (disk.type == "network" && disk.protocol == "nbd");
  });
}

Result<DomainXml> parse_domain_xml(std::string_view text, const std::string& where) {
  if (text.size() > domain_xml_limit)
    return Error{where + ": larger than " + std::to_string(domain_xml_limit / 1024 / 1024) + " MiB, that is no domain's definition"};
  pugi::xml_document document;
  pugi::xml_parse_result parsed = document.load_buffer(
      text.data(), text.size(), pugi::parse_default | pugi::parse_doctype | pugi::parse_declaration, pugi::encoding_auto);
  if (!parsed) return Error{where + ": broken XML at " + position(text, parsed.offset) + ": " + parsed.description()};
  pugi::xml_node root;
  for (pugi::xml_node node : document.children()) {
    if (node.type() == pugi::node_doctype) return Error{where + ": has a DOCTYPE; a domain's definition has none, remove it"};
    if (!element(node)) continue;
    if (root) return Error{where + ": has two root elements, <" + root.name() + "> and <" + node.name() + ">"};
    root = node;
  }
  if (std::string_view(root.name()) != "domain")
    return Error{where + ": is no domain's definition, its root element is <" + root.name() + ">, not <domain>"};

  DomainXml domain;
  auto names = root.children("name");
  auto count = std::distance(names.begin(), names.end());
  if (count == 0) return Error{where + ": the domain has no <name>"};
  if (count > 1) return Error{where + ": the domain has " + std::to_string(count) + " <name> elements"};
  if (root.child("name").find_child(element)) return Error{where + ": <name> has elements in it"};
  domain.name = root.child("name").text().get();
  if (domain.name.empty()) return Error{where + ": <name> is empty"};

  auto uuids = root.children("uuid");
  if (std::distance(uuids.begin(), uuids.end()) > 1) return Error{where + ": the domain has more than one <uuid>"};
  if (pugi::xml_node node = root.child("uuid")) {
    std::string spelled = trimmed(node.text().get());
    std::optional<DomainUuid> uuid = DomainUuid::parse(spelled);
    if (!uuid) return Error{where + ": <uuid> is no UUID: \"" + spelled.substr(0, 60) + "\""};
    domain.uuid = *uuid;
  } else {
    domain.uuid = uuid_from_name(domain.name);
    domain.uuid_made = true;
    root.insert_child_after("uuid", root.child("name")).text().set(domain.uuid.str().c_str());
  }

  pugi::xml_node memory = root.child("memory");
  if (!memory) return Error{where + ": the domain has no <memory>"};
  Result<std::uint64_t> kib = memory_kib(memory);
  if (!kib) return Error{where + ": " + kib.error()};
  domain.memory_kib = kib.value();
  domain.huge_pages = root.child("memoryBacking").child("hugepages");

  domain.virt_type = root.attribute("type").value();
  pugi::xml_node os = root.child("os");
  domain.arch = os.child("type").attribute("arch").value();
  domain.machine = os.child("type").attribute("machine").value();
  for (const char* key : {"kernel", "initrd", "dtb", "loader"}) {
    std::string path = trimmed(os.child(key).text().get());
    if (!path.empty() && path[0] == '/') domain.files.push_back(path);
  }
  if (pugi::xml_node cpu = root.child("cpu")) {
    std::ostringstream out;
    cpu.print(out, "", pugi::format_raw);
    domain.cpu = out.str();
  }
  pugi::xml_node devices = root.child("devices");
  domain.emulator = trimmed(devices.child("emulator").text().get());
  read_disks(devices, domain);
  read_interfaces(devices, domain);
  domain.pools = values_of(devices, ".//@pool");
  domain.networks = values_of(devices, ".//@network");
  read_obstacles(devices, domain);

  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  domain.xml = out.str();
  return domain;
}

Result<DomainXml> read_domain_xml(const std::string& path) {
  if (path.empty()) return Error{"config: the path of the domain's definition is empty"};
  // O_NONBLOCK: a FIFO would otherwise hold the caller until somebody writes into it.
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return Error{"open " + path + ": " + std::strerror(errno)};
  struct stat status;
  if (::fstat(fd.get(), &status) < 0) return Error{"look at " + path + ": " + std::strerror(errno)};
  if (S_ISDIR(status.st_mode)) return Error{path + ": is a directory, not a domain's definition"};
  if (!S_ISREG(status.st_mode)) return Error{path + ": is not a regular file"};
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (text.size() <= domain_xml_limit) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{"read " + path + ": " + std::strerror(errno)};
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return parse_domain_xml(text, path);
}

}  // namespace migrationd::io
