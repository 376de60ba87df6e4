// SPDX-License-Identifier: GPL-2.0-or-later
// What is the guest's alone is taken out of both; what is left of each element of the new definition must be among what is left
// of the old one, or be one of the plain devices that libvirt adds by itself.
#include "migrationd/io/definition-difference.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include <pugixml.hpp>

namespace migrationd::io {

namespace {

using Names = std::set<std::string>;

/// Of the domain itself.
const Names guests_own = {"name", "uuid", "genid", "title", "description", "metadata", "memory", "currentMemory", "maxMemory", "vcpu", "vcpus", "iothreads",
                          "iothreadids", "cputune", "memtune", "cpu", "clock", "on_poweroff", "on_reboot", "on_crash", "on_lockfailure", "pm", "features"};
/// Of <os>.
const Names os_guests_own = {"type", "boot", "bootmenu", "bios", "smbios"};

/// What of a device is the guest's view of it, or says how it is served without saying by what.
struct DeviceRule {
  Names children;    ///< taken out
  Names attributes;  ///< the same
  /// A device of which nothing else is left but the attribute `type` with one of these values (empty: or without it) is plain.
  Names plain_types;
  bool plain = false;  ///< whatever its type, if no child is left
};

const std::map<std::string, DeviceRule>& rules() {
  static const Names seen = {"address", "alias", "target", "model", "boot"};
  const auto and_also = [](Names names, const Names& more) {
    names.insert(more.begin(), more.end());
    return names;
  };
  static const std::map<std::string, DeviceRule> all = {
      {"disk", {and_also(seen, {"serial", "wwn", "vendor", "product", "iotune", "geometry", "blockio"}), {"model"}, {}}},
      {"interface", {and_also(seen, {"mac", "link", "bandwidth", "mtu", "driver", "coalesce"}), {}, {}}},
      {"controller", {and_also(seen, {"driver", "master"}), {"index", "model", "ports", "vectors"}, {}, true}},
      {"serial", {seen, {"tty"}, {"pty"}}},
      {"parallel", {seen, {}, {"pty"}}},
      {"console", {seen, {"tty"}, {"pty"}}},
      {"channel", {seen, {}, {"unix", "pty", "spicevmc"}}},
      {"input", {and_also(seen, {"driver"}), {"bus", "model"}, {"mouse", "keyboard", "tablet"}}},
      {"graphics", {{}, {"port", "autoport", "tlsPort", "websocket", "passwd", "passwdValidTo", "keymap", "connected", "sharePolicy"}, {"vnc", "spice"}}},
      {"video", {seen, {}, {""}}},
      {"sound", {and_also(seen, {"codec", "audio"}), {"model"}, {""}}},
      {"audio", {{}, {"id"}, {"none", "spice"}}},
      {"memballoon", {and_also(seen, {"stats", "driver"}), {"model", "autodeflate", "freePageReporting"}, {""}}},
      {"watchdog", {seen, {"model", "action"}, {""}}},
      {"panic", {seen, {"model"}, {""}}},
      {"hub", {seen, {}, {"usb"}}},
      {"rng", {and_also(seen, {"rate", "driver"}), {"model"}, {""}}},
      {"vsock", {{"address", "alias", "cid"}, {"model"}, {""}}}};
  return all;
}

std::string text_of(pugi::xml_node node) {
  std::ostringstream text;
  node.print(text, "", pugi::format_raw);
  return text.str();
}

std::string value(pugi::xml_node node, const char* attribute) { return node.attribute(attribute).value(); }

bool is_element(pugi::xml_node node) { return node.type() == pugi::node_element; }

void remove_children(pugi::xml_node node, const Names& names) {
  for (pugi::xml_node child = node.first_child(); child;) {
    const pugi::xml_node next = child.next_sibling();
    if (!is_element(child) ? child.type() == pugi::node_comment : names.contains(child.name())) node.remove_child(child);
    child = next;
  }
}

/// What is said in several ways is said in one.
void normalize_disk(pugi::xml_node disk) {
  for (const auto& [name, usual] : {std::pair{"device", "disk"}, {"type", "file"}})
    if (!disk.attribute(name)) disk.append_attribute(name) = usual;
  const std::string format = disk.child("driver").attribute("type").as_string("raw");
  disk.remove_child("driver");
  disk.append_attribute("format") = format.c_str();
  pugi::xml_node source = disk.child("source");
  source.remove_attribute("index");  // libvirt's own, of what runs
  if (value(source, "tls") == "no") source.remove_attribute("tls");
  if (const pugi::xml_node backing = disk.child("backingStore"); backing && std::none_of(backing.begin(), backing.end(), is_element))
    disk.remove_child(backing);
  if (!source) {  // an empty drive
    disk.remove_child("readonly");
    if (value(disk, "device") == "cdrom" || value(disk, "device") == "floppy") disk.remove_attribute("format");
  }
}

void normalize_graphics(pugi::xml_node graphics) {
  std::string address = value(graphics, "listen");
  if (pugi::xml_node listen = graphics.child("listen"); listen && value(listen, "type") == "address") {
    if (listen.attribute("address")) address = value(listen, "address");
    graphics.remove_child(listen);
  }
  graphics.remove_attribute("listen");
  if (!address.empty() && address != "127.0.0.1" && address != "::1") graphics.append_attribute("listen") = address.c_str();
}

void normalize_rng(pugi::xml_node rng) {
  const pugi::xml_node backend = rng.child("backend");
  const std::string source = backend.text().get();
  const bool usual = source == "/dev/urandom" || source == "/dev/random";
  if (usual && value(backend, "model") == "random" && std::none_of(backend.begin(), backend.end(), is_element)) rng.remove_child(backend);
}

/// What is left of a device, its attributes and children in a fixed order.
struct Rest {
  std::map<std::string, std::string> attributes;
  std::vector<std::string> children;
  auto operator<=>(const Rest&) const = default;
};

Rest rest_of(pugi::xml_node device) {
  std::string kind = device.name();
  // libvirt shows the first serial line as a console, too.
  const std::string target = value(device.child("target"), "type");
  if (kind == "console" && (target.empty() || target == "serial")) kind = "serial";
  Names children{"address", "alias"}, attributes;
  if (const auto rule = rules().find(kind); rule != rules().end()) {
    children = rule->second.children;
    attributes = rule->second.attributes;
  }
  remove_children(device, children);
  if (kind == "disk") normalize_disk(device);
  if (kind == "graphics") normalize_graphics(device);
  if (kind == "rng") normalize_rng(device);
  Rest rest{{{"", kind}}, {}};
  for (pugi::xml_attribute one : device.attributes())
    if (!attributes.contains(one.name())) rest.attributes[one.name()] = one.value();
  for (pugi::xml_node child : device.children()) rest.children.push_back(text_of(child));
  std::sort(rest.children.begin(), rest.children.end());
  return rest;
}

bool plain(const Rest& rest) {
  if (!rest.children.empty()) return false;
  const std::string kind = rest.attributes.at("");
  const auto type = rest.attributes.find("type");
  if (kind == "disk") {  // without a source
    const auto device = rest.attributes.find("device");
    return rest.attributes.size() == 3 && type->second == "file" && (device->second == "cdrom" || device->second == "floppy");
  }
  const auto rule = rules().find(kind);
  if (rule == rules().end() || rest.attributes.size() > 2 || (rest.attributes.size() == 2 && type == rest.attributes.end())) return false;
  return rule->second.plain || rule->second.plain_types.contains(type == rest.attributes.end() ? "" : type->second);
}

/// One of libvirt's own choice, where the file leaves it to libvirt.
bool usual_emulator(const std::string& path) {
  const bool known = path.starts_with("/usr/bin/qemu-system-") || path == "/usr/libexec/qemu-kvm" || path == "/usr/bin/kvm";
  return known && path.find("..") == std::string::npos;
}

/// A dynamic label is the confinement that libvirt gives by itself, and spells out; of what it says only the base counts.
bool usual_label(pugi::xml_node label) {
  return value(label, "model") == "none" || (value(label, "type") == "dynamic" && !label.child("baselabel"));
}

/// All of the domain but what is the guest's own and its devices, one text each.
std::multiset<std::string> of_the_host(pugi::xml_node domain) {
  std::multiset<std::string> all{"<domain type=\"" + value(domain, "type") + "\">"};
  for (pugi::xml_node node : domain.children()) {
    const std::string name = node.name();
    if (!is_element(node) || guests_own.contains(name) || name == "devices" || (name == "seclabel" && usual_label(node))) continue;
    if (name == "resource" && std::string(node.child("partition").text().get()) == "/machine") continue;
    if (name == "os") {
      remove_children(node, os_guests_own);
      for (pugi::xml_node child : node.children()) all.insert(text_of(child));
    } else {
      all.insert(text_of(node));
    }
  }
  return all;
}

std::string shortened(const std::string& text) { return text.size() <= 200 ? text : text.substr(0, 200) + "..."; }

}  // namespace

std::string beyond_the_guest(const std::string& old_xml, const std::string& next_xml) {
  pugi::xml_document old_document, next_document;
  old_document.load_string(old_xml.c_str());
  next_document.load_string(next_xml.c_str());
  const pugi::xml_node old = old_document.child("domain"), next = next_document.child("domain");

  const std::multiset<std::string> ours = of_the_host(old), theirs = of_the_host(next);
  for (const std::string& one : theirs)
    if (theirs.count(one) != ours.count(one)) return shortened(one);
  for (const std::string& one : ours)
    if (!theirs.contains(one)) return "no " + shortened(one);

  const std::string emulator = next.child("devices").child("emulator").text().get(), own = old.child("devices").child("emulator").text().get();
  if (emulator != own && !(own.empty() && usual_emulator(emulator))) return "the emulator " + emulator;
  std::set<Rest> known;
  for (pugi::xml_node device : old.child("devices").children())
    if (is_element(device)) known.insert(rest_of(device));
  for (pugi::xml_node device : next.child("devices").children()) {
    if (!is_element(device) || std::string(device.name()) == "emulator") continue;
    const std::string text = text_of(device);
    const Rest rest = rest_of(device);
    if (!known.contains(rest) && !plain(rest)) return shortened(text);
  }
  return "";
}

}  // namespace migrationd::io
