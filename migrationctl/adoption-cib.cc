// SPDX-License-Identifier: GPL-2.0-or-later
// See adoption-cib.h.
#include "migrationctl/adoption-cib.h"

#include <sstream>
#include <string_view>

#include <pugixml.hpp>

#include "migrationd/io/scheduler-xml.h"

namespace migrationctl {

using migrationd::Error;
using migrationd::Result;
using migrationd::io::scheduler_xml::attribute;

namespace {

constexpr const char* mark_prefix = "migrationctl-adopt-";

std::string mark_of(const std::string& resource) { return mark_prefix + resource; }

pugi::xml_node resources_of(const pugi::xml_node& document) { return document.child("cib").child("configuration").child("resources"); }

/// The primitive of this name, however deep it lies.
pugi::xml_node primitive_of(const pugi::xml_document& document, const std::string& id) {
  return resources_of(document).find_node(
      [&](const pugi::xml_node& node) { return std::string_view(node.name()) == "primitive" && attribute(node, "id") == id; });
}

pugi::xml_node template_of(const pugi::xml_document& document, const pugi::xml_node& primitive) {
  const auto named = primitive.attribute("template");
  return named ? resources_of(document).find_child_by_attribute("template", "id", named.value()) : pugi::xml_node();
}

/// A set may stand elsewhere and only be referred to.
pugi::xml_node meant(const pugi::xml_document& document, const pugi::xml_node& set) {
  const auto reference = set.attribute("id-ref");
  if (!reference) return set;
  return document.find_node([&](const pugi::xml_node& node) { return attribute(node, "id") == reference.value(); });
}

void read_parameters(const pugi::xml_document& document, const pugi::xml_node& element, DomainResource& resource) {
  for (const auto& set : element.children("instance_attributes"))
    for (const auto& pair : meant(document, set).children("nvpair")) {
      const auto one = meant(document, pair);
      resource.parameters.emplace(attribute(pair.attribute("name") ? pair : one, "name"), attribute(one, "value"));
    }
}

DomainResource read_one(const pugi::xml_document& document, const pugi::xml_node& primitive) {
  DomainResource resource;
  resource.id = attribute(primitive, "id");
  resource.from = attribute(primitive, "template");
  const auto model = template_of(document, primitive);
  const auto definition = model ? model : primitive;
  if (attribute(definition, "class") == "ocf" && attribute(definition, "type") == "VirtualDomain") resource.provider = attribute(definition, "provider");
  read_parameters(document, primitive, resource);
  if (model) read_parameters(document, model, resource);
  for (auto parent = primitive.parent(); parent; parent = parent.parent()) {
    const std::string_view kind = parent.name();
    if (kind == "group") resource.group = attribute(parent, "id");
    if (kind == "clone" || kind == "master" || kind == "bundle") resource.clone = attribute(parent, "id");
  }
  resource.under_way = bool(primitive.find_child_by_attribute("meta_attributes", "id", mark_of(resource.id).c_str()));
  for (const auto& constraint : document.child("cib").child("configuration").child("constraints").children("rsc_location")) {
    const std::string whom = attribute(constraint, "rsc");
    if ((whom == resource.id || (!whom.empty() && whom == resource.group)) && attribute(constraint, "score") == "-INFINITY" && constraint.attribute("node"))
      resource.banned.insert(attribute(constraint, "node"));
  }
  return resource;
}

void collect(const pugi::xml_document& document, const pugi::xml_node& parent, std::vector<DomainResource>& into) {
  for (const auto& element : parent.children()) {
    const std::string_view kind = element.name();
    if (kind == "group" || kind == "clone" || kind == "master" || kind == "bundle") collect(document, element, into);
    if (kind != "primitive") continue;
    DomainResource resource = read_one(document, element);
    if (resource.provider == old_provider || resource.provider == new_provider) into.push_back(std::move(resource));
  }
}

migrationd::Outcome parse(pugi::xml_document& document, const std::string& cib) {
  return migrationd::io::scheduler_xml::parse(document, cib, "cib", "the CIB");
}

/// `edit` is called with each of the primitives.
template <class F>
Result<std::string> edited(const std::string& cib, const std::set<std::string>& resources, F edit) {
  pugi::xml_document document;
  if (auto parsed = parse(document, cib); !parsed) return Error{parsed.error()};
  for (const std::string& id : resources) {
    auto primitive = primitive_of(document, id);
    if (!primitive) return Error{"the CIB has no primitive resource named \"" + id + "\" any more"};
    edit(document, primitive, id);
  }
  std::ostringstream text;
  document.save(text, "", pugi::format_raw);
  return text.str();
}

void drop(pugi::xml_node element, const std::set<std::string>& which) {
  for (auto set : element.children("instance_attributes"))
    for (auto pair = set.child("nvpair"); pair;) {
      const auto next = pair.next_sibling("nvpair");
      const std::string name = attribute(pair, "name");
      if (which.contains(name) || which.contains(name + "=" + attribute(pair, "value"))) set.remove_child(pair);
      pair = next;
    }
}

template <class F>
std::string first_operation(const std::string& cib, const std::string& resource, F wanted) {
  pugi::xml_document document;
  std::string found;
  if (!parse(document, cib)) return found;
  migrationd::io::scheduler_xml::for_each_history(document, resource, [&](const migrationd::NodeName& node, const pugi::xml_node& history) {
    for (const auto& operation : history.children("lrm_rsc_op"))
      if (found.empty() && wanted(operation)) {
        found = "the " + attribute(operation, "operation") + " of " + resource + " on " + node;
        if (migrationd::io::scheduler_xml::is_pending(operation)) continue;
        found += " ended with code " + attribute(operation, "rc-code");
        if (const std::string why = attribute(operation, "exit-reason"); !why.empty()) found += ": " + why;
      }
  });
  return found;
}

}  // namespace

Result<std::vector<DomainResource>> read_domain_resources(const std::string& cib) {
  pugi::xml_document document;
  if (auto parsed = parse(document, cib); !parsed) return Error{parsed.error()};
  std::vector<DomainResource> found;
  collect(document, resources_of(document), found);
  return found;
}

bool probes(const std::string& cib) {
  pugi::xml_document document;
  if (!parse(document, cib)) return true;
  for (const auto& set : document.child("cib").child("configuration").child("crm_config").children("cluster_property_set"))
    if (const auto pair = set.find_child_by_attribute("nvpair", "name", "enable-startup-probes"))
      return migrationd::io::scheduler_xml::truth(attribute(pair, "value"));
  return true;
}

Result<std::string> with_mark(const std::string& cib, const std::set<std::string>& resources) {
  return edited(cib, resources, [](pugi::xml_document&, pugi::xml_node& primitive, const std::string& id) {
    if (primitive.find_child_by_attribute("meta_attributes", "id", mark_of(id).c_str())) return;
    auto set = primitive.append_child("meta_attributes");
    set.append_attribute("id") = mark_of(id).c_str();
    set.append_attribute("score") = "INFINITY";
    auto pair = set.append_child("nvpair");
    pair.append_attribute("id") = (mark_of(id) + "-is-managed").c_str();
    pair.append_attribute("name") = "is-managed";
    pair.append_attribute("value") = "false";
  });
}

Result<std::string> without_mark(const std::string& cib, const std::set<std::string>& resources) {
  return edited(cib, resources, [](pugi::xml_document&, pugi::xml_node& primitive, const std::string& id) {
    primitive.remove_child(primitive.find_child_by_attribute("meta_attributes", "id", mark_of(id).c_str()));
  });
}

Result<std::string> with_provider(const std::string& cib, const std::set<std::string>& resources, const std::string& provider,
                                  const std::set<std::string>& parameters_to_drop) {
  return edited(cib, resources, [&](pugi::xml_document& document, pugi::xml_node& primitive, const std::string&) {
    auto model = template_of(document, primitive);
    (model ? model : primitive).attribute("provider").set_value(provider.c_str());
    drop(primitive, parameters_to_drop);
    drop(model, parameters_to_drop);
  });
}

std::string failed_operation(const std::string& cib, const std::string& resource) {
  return first_operation(cib, resource, [](const pugi::xml_node& operation) {
    const std::string name = attribute(operation, "operation"), code = attribute(operation, "rc-code"), status = attribute(operation, "op-status");
    if (migrationd::io::scheduler_xml::is_pending(operation) || status == "1") return false;  // 1: it was cancelled
    const bool probe = name == "monitor" && attribute(operation, "interval") == "0";
    return code != "0" && !(probe && code == "7");
  });
}

std::string pending_operation(const std::string& cib, const std::string& resource) {
  return first_operation(cib, resource, [](const pugi::xml_node& operation) { return migrationd::io::scheduler_xml::is_pending(operation); });
}

bool is_pending(const std::string& cib, const std::string& resource, const std::string& operation, const migrationd::NodeName& node) {
  pugi::xml_document document;
  bool found = false;
  if (!parse(document, cib)) return found;
  migrationd::io::scheduler_xml::for_each_history(document, resource, [&](const migrationd::NodeName& where, const pugi::xml_node& history) {
    for (const auto& one : history.children("lrm_rsc_op"))
      found = found || (where == node && attribute(one, "operation") == operation && migrationd::io::scheduler_xml::is_pending(one));
  });
  return found;
}

Result<std::set<std::string>> parameter_names(const std::string& meta_data) {
  pugi::xml_document document;
  if (auto parsed = migrationd::io::scheduler_xml::parse(document, meta_data, "resource-agent", "the agent's meta-data"); !parsed) return Error{parsed.error()};
  std::set<std::string> names;
  for (const auto& parameter : document.child("resource-agent").child("parameters").children("parameter")) names.insert(attribute(parameter, "name"));
  return names;
}

}  // namespace migrationctl
