// SPDX-License-Identifier: GPL-2.0-or-later
// Writes the meta-data from the table of parameters.
//
// Two readers have to be pleased. The OCF 1.1 schema knows unique-group, reloadable and select; ocf-tester
// validates the document against its DTD, and the usual one, of 2009, knows none of them and can't be
// extended (the content of an element is declared once). So the document brings a DTD of its own.
#include "migrationd/resource/meta-data.h"

#include <array>

#include "migrationd/resource/table.h"

namespace migrationd::resource {

namespace {

struct AdvertisedAction {
  std::string_view name;
  int timeout_seconds;
  int interval_seconds;  ///< 0: none
  bool depth;
};

// The same times as ocf:heartbeat:VirtualDomain's, so that a resource that moves over keeps its operations.
constexpr std::array<AdvertisedAction, 9> actions{{
    {"start", 90, 0, false},
    {"stop", 90, 0, false},
    {"status", 30, 10, true},
    {"monitor", 30, 10, true},
    {"migrate_to", 120, 0, false},
    {"migrate_from", 60, 0, false},
    {"reload-agent", 20, 0, false},
    {"meta-data", 5, 0, false},
    {"validate-all", 5, 0, false},
}};

constexpr std::string_view head = R"(<?xml version="1.0"?>
<!DOCTYPE resource-agent [
<!ELEMENT resource-agent (version,longdesc,shortdesc,parameters,actions)>
<!ATTLIST resource-agent name CDATA #REQUIRED version CDATA #IMPLIED>
<!ELEMENT version (#PCDATA)>
<!ELEMENT parameters (parameter+)>
<!ELEMENT parameter (longdesc,shortdesc,content)>
<!ATTLIST parameter name CDATA #REQUIRED unique-group CDATA #IMPLIED unique (0|1) #IMPLIED
	required (0|1) #IMPLIED reloadable (0|1) #IMPLIED>
<!ELEMENT longdesc (#PCDATA)>
<!ATTLIST longdesc lang NMTOKEN #REQUIRED>
<!ELEMENT shortdesc (#PCDATA)>
<!ATTLIST shortdesc lang NMTOKEN #REQUIRED>
<!ELEMENT content (option*)>
<!ATTLIST content type (string|integer|boolean|select) #REQUIRED default CDATA #IMPLIED>
<!ELEMENT option EMPTY>
<!ATTLIST option value CDATA #REQUIRED>
<!ELEMENT actions (action+)>
<!ELEMENT action EMPTY>
<!ATTLIST action name NMTOKEN #REQUIRED timeout CDATA #REQUIRED interval CDATA #IMPLIED depth CDATA #IMPLIED>
]>
)";

constexpr std::string_view long_text =
    "Runs a virtual machine that libvirt manages, on QEMU/KVM or Xen. A move that the cluster manager carries out as a "
    "stop on one node and a start on another becomes a live migration wherever the machine still runs. Needs the daemon "
    "migrationd on every node. Takes the parameters of ocf:heartbeat:VirtualDomain.";

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

void add_text(std::string& xml, std::string_view element, std::string_view text) {
  xml.append("<").append(element).append(" lang=\"en\">").append(escaped(text));
  xml.append("</").append(element).append(">\n");
}

std::string_view schema_type(Type type) {
  switch (type) {
    case Type::string: return "string";
    case Type::boolean: return "boolean";
    case Type::integer: return "integer";
    case Type::duration: return "string";  // the schema has no time
    case Type::choice: return "select";
  }
  return "string";
}

void add_content(std::string& xml, const Row& row) {
  xml.append("<content type=\"").append(schema_type(row.type)).append("\"");
  if (!row.preset.empty() || row.type == Type::string)
    xml.append(" default=\"").append(escaped(row.preset)).append("\"");
  if (row.type != Type::choice) {
    xml.append("/>\n");
    return;
  }
  xml.append(">\n");
  for (std::string_view rest = row.choices;;) {
    const std::size_t bar = rest.find('|');
    xml.append("<option value=\"").append(escaped(rest.substr(0, bar))).append("\"/>\n");
    if (bar == std::string_view::npos) break;
    rest.remove_prefix(bar + 1);
  }
  xml.append("</content>\n");
}

void add_parameter(std::string& xml, const Row& row) {
  xml.append("<parameter name=\"").append(row.name).append("\"");
  if (row.unique) xml.append(" unique-group=\"").append(row.name).append("\"");
  xml.append(" unique=\"").append(row.unique ? "1" : "0").append("\"");
  xml.append(" required=\"").append(row.required ? "1" : "0").append("\"");
  xml.append(" reloadable=\"").append(row.reloadable ? "1" : "0").append("\">\n");
  std::string text(row.long_text);
  if (!row.comes_with.empty())
    text.append(" Not implemented yet, comes with ").append(row.comes_with).append("; until then only its default is accepted.");
  add_text(xml, "longdesc", text);
  add_text(xml, "shortdesc", row.short_text);
  add_content(xml, row);
  xml.append("</parameter>\n");
}

}  // namespace

std::string meta_data(std::string_view version) {
  std::string xml;
  xml.reserve(32 * 1024);
  xml.append(head);
  xml.append("<resource-agent name=\"VirtualDomain\" version=\"").append(escaped(version)).append("\">\n");
  xml.append("<version>1.1</version>\n");
  add_text(xml, "longdesc", long_text);
  add_text(xml, "shortdesc", "Virtual machine that moves live");
  xml.append("<parameters>\n");
  for (const Row& row : table())
    if (!row.only_in_file) add_parameter(xml, row);
  xml.append("</parameters>\n<actions>\n");
  for (const AdvertisedAction& action : actions) {
    xml.append("<action name=\"").append(action.name).append("\"");
    xml.append(" timeout=\"").append(std::to_string(action.timeout_seconds)).append("s\"");
    if (action.interval_seconds) xml.append(" interval=\"").append(std::to_string(action.interval_seconds)).append("s\"");
    if (action.depth) xml.append(" depth=\"0\"");
    xml.append("/>\n");
  }
  xml.append("</actions>\n</resource-agent>\n");
  return xml;
}

Milliseconds advertised_timeout(std::string_view action) {
  for (const AdvertisedAction& known : actions)
    if (known.name == action) return std::chrono::seconds(known.timeout_seconds);
  return Milliseconds(0);
}

}  // namespace migrationd::resource
