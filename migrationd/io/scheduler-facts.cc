// SPDX-License-Identifier: GPL-2.0-or-later
// The CIB and crm_simulate's summary into Facts.
#include <algorithm>
#include <climits>

#include "migrationd/io/scheduler-graph.h"
#include "migrationd/io/scheduler-xml.h"

namespace migrationd::io {

using namespace scheduler_xml;

namespace {

/// Deeper nesting than clone(group(primitive)) and bundle(replica(resource)) is not Pacemaker's.
constexpr int deepest = 8;

/// The configuration's resources: each name with the primitives that it stands for.
struct Members {
  std::map<std::string, std::vector<std::string>> of;
  std::vector<std::string> expand(const std::string& id) const {
    const auto found = of.find(id);
    return found == of.end() ? std::vector<std::string>{} : found->second;
  }
};

std::string meta(const pugi::xml_node& resource, const char* name) {
  std::string value;
  for (const auto& set : resource.children("meta_attributes"))
    for (const auto& pair : set.children("nvpair"))
      if (attribute(pair, "name") == name) value = attribute(pair, "value");
  return value;
}

std::string agent_of(const pugi::xml_node& element) {
  const std::string provider = attribute(element, "provider");
  return attribute(element, "class") + ":" + (provider.empty() ? "" : provider + ":") + attribute(element, "type");
}

std::vector<std::string> read_configured(const pugi::xml_node& parent, const std::string& clone, Members& members,
                                         intent::Facts& facts, int depth) {
  std::vector<std::string> inside;
  if (depth > deepest) return inside;
  for (const auto& element : parent.children()) {
    const std::string_view kind = element.name();
    const std::string id = attribute(element, "id");
    if (kind == "primitive") {
      intent::ResourceFacts& resource = facts.resources[id];
      resource.configured = true;
      resource.clone = clone;
      if (element.attribute("type")) resource.agent = agent_of(element);
      members.of[id] = {id};
      inside.push_back(id);
    } else if (kind == "group" || kind == "clone" || kind == "master" || kind == "bundle") {
      const bool multiplies = kind != "group";
      const auto below = read_configured(element, clone.empty() && multiplies ? id : clone, members, facts, depth + 1);
      if (kind == "group" && (meta(element, "ordered").empty() || truth(meta(element, "ordered"))))
        for (std::size_t i = 1; i < below.size(); ++i) facts.orders.emplace(below[i - 1], below[i]);
      members.of[id] = below;
      inside.insert(inside.end(), below.begin(), below.end());
    }
  }
  return inside;
}

void read_tags(const pugi::xml_node& configuration, Members& members) {
  for (const auto& tag : configuration.child("tags").children("tag"))
    for (const auto& reference : tag.children("obj_ref")) {
      const auto below = members.expand(attribute(reference, "id"));
      auto& all = members.of[attribute(tag, "id")];
      all.insert(all.end(), below.begin(), below.end());
    }
}

void order(const std::vector<std::string>& first, const std::vector<std::string>& then, intent::Facts& facts) {
  for (const std::string& lower : first)
    for (const std::string& upper : then)
      if (lower != upper) facts.orders.emplace(lower, upper);
}

bool begins(const std::string& action) { return action.empty() || action == "start" || action == "promote"; }

/// Orders of beginning only: "stop a, then start b" puts nothing beneath b. Serialize is no dependency.
void read_orders(const pugi::xml_node& configuration, const Members& members, intent::Facts& facts) {
  for (const auto& constraint : configuration.child("constraints").children("rsc_order")) {
    if (attribute(constraint, "kind") == "Serialize") continue;
    if (constraint.attribute("first") && begins(attribute(constraint, "first-action")))
      order(members.expand(attribute(constraint, "first")), members.expand(attribute(constraint, "then")), facts);
    std::vector<std::string> previous;
    for (const auto& set : constraint.children("resource_set")) {
      if (!begins(attribute(set, "action"))) {
        previous.clear();
        continue;
      }
      const bool sequential = !set.attribute("sequential") || truth(attribute(set, "sequential"));
      std::vector<std::string> all, last;
      for (const auto& reference : set.children("resource_ref")) {
        const auto here = members.expand(attribute(reference, "id"));
        if (sequential) order(last, here, facts);
        last = here;
        all.insert(all.end(), here.begin(), here.end());
      }
      order(previous, all, facts);
      previous = all;
    }
  }
}

void read_active(const pugi::xml_node& parent, intent::Facts& facts, int depth) {
  if (depth > deepest) return;
  for (const auto& element : parent.children()) {
    if (std::string_view(element.name()) != "resource") {
      read_active(element, facts, depth + 1);
      continue;
    }
    intent::ResourceFacts& resource = facts.resources[intent::without_instance(attribute(element, "id"))];
    resource.managed = truth(attribute(element, "managed"));
    resource.target_role = attribute(element, "target_role");
    if (resource.agent.empty()) resource.agent = attribute(element, "resource_agent");
    const std::string role = attribute(element, "role");
    const bool promoted = role == "Promoted" || role == "Master";
    if (!truth(attribute(element, "active"))) continue;
    for (const auto& node : element.children("node"))
      resource.active[attribute(node, "name")] = promoted ? intent::Role::promoted : intent::Role::started;
  }
}

int expected_code(const pugi::xml_node& operation) {
  long long code = 0;
  return number(transition_key_part(operation, 2).c_str(), code) && code >= 0 && code < 256 ? static_cast<int>(code) : 0;
}

/// A probe finding it running or promoted is no failure, whatever was expected.
bool has_failed(const pugi::xml_node& operation, int code) {
  const std::string name = attribute(operation, "operation"), status = attribute(operation, "op-status");
  if (status == "1") return false;  // cancelled
  if (name == "monitor" && (code == 0 || code == 8)) return false;
  if (name == "monitor" && attribute(operation, "interval") == "0" && code == 7) return false;
  return code != expected_code(operation) || (status != "0" && code == 0);
}

void read_history(const pugi::xml_document& cib, const std::string& resource, const NodeName& compared, intent::Facts& facts) {
  const std::string agent = facts.resources[resource].agent;
  for_each_history(cib, resource, [&](const NodeName& node, const pugi::xml_node& history) {
    const bool has_type = history.attribute("type");
    if (node == compared && has_type && !agent.empty() && facts.resources[resource].configured && agent_of(history) != agent)
      facts.redefined = "it was started as " + agent_of(history) + " and is " + agent + " now";
    for (const auto& operation : history.children("lrm_rsc_op")) {
      intent::HistoryEntry entry;
      long long value = 0;
      entry.node = node;
      entry.operation = attribute(operation, "operation");
      if (number(operation.attribute("call-id").as_string(), value) && value > INT_MIN && value < INT_MAX) entry.call_id = static_cast<int>(value);
      if (number(operation.attribute("rc-code").as_string(), value) && value >= 0 && value < 256) entry.code = static_cast<int>(value);
      if (number(operation.attribute("last-rc-change").as_string(), value)) entry.seconds = value;
      entry.pending = is_pending(operation);
      entry.failed = !entry.pending && has_failed(operation, entry.code);
      entry.source = attribute(operation, "migrate_source");
      entry.target = attribute(operation, "migrate_target");
      entry.transition = transition_of(operation);
      facts.history.push_back(std::move(entry));
    }
  });
}

}  // namespace

Result<intent::Facts> read_facts(std::string_view cib, std::string_view summary, const std::string& resource,
                                 const NodeName& node) {
  pugi::xml_document document, said;
  if (auto parsed = parse(document, cib, "cib", "the CIB"); !parsed) return Error{parsed.error()};
  if (auto parsed = parse(said, summary, "pacemaker-result", "crm_simulate's summary"); !parsed) return Error{parsed.error()};
  const auto result = said.child("pacemaker-result");
  const auto status = result.child("cluster_status");
  if (!status || !status.child("nodes")) return Error{"crm_simulate's summary has no cluster status"};
  if (attribute(result.child("status"), "code") != "0")
    return Error{"crm_simulate's summary ends with an error: " + attribute(result.child("status"), "message")};

  intent::Facts facts;
  const auto configuration = document.child("cib").child("configuration");
  if (!configuration) return Error{"the CIB has no configuration section"};
  const std::string quorum = attribute(document.child("cib"), "have-quorum");
  facts.quorum = quorum.empty() || truth(quorum);
  for (const auto& set : configuration.child("crm_config").children("cluster_property_set"))
    for (const auto& pair : set.children("nvpair"))
      if (attribute(pair, "name") == "maintenance-mode") facts.maintenance_mode = truth(attribute(pair, "value"));
  for (const auto& element : status.child("nodes").children("node")) {
    intent::NodeFacts& known = facts.nodes[attribute(element, "name")];
    known.online = truth(attribute(element, "online")) && !truth(attribute(element, "unclean")) &&
                   !truth(attribute(element, "pending"));
    known.standby = truth(attribute(element, "standby")) || truth(attribute(element, "standby_onfail"));
    known.maintenance = truth(attribute(element, "maintenance"));
    known.shutting_down = truth(attribute(element, "shutdown"));
  }
  Members members;
  read_configured(configuration.child("resources"), {}, members, facts, 0);
  read_tags(configuration, members);
  read_orders(configuration, members, facts);
  read_active(status.child("resources"), facts, 0);
  if (!facts.resources.contains(resource)) return facts;  // decide() says: deleted
  read_history(document, resource, node, facts);
  for (const auto& action : result.child("actions").children("rsc_action"))
    if (facts.redefined.empty() && attribute(action, "resource") == resource &&
        attribute(action, "reason") == "resource definition change")
      facts.redefined = "the scheduler says \"resource definition change\"";
  return facts;
}

}  // namespace migrationd::io
