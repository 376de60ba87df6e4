// SPDX-License-Identifier: GPL-2.0-or-later
// What the readers of Pacemaker's XML share.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include <pugixml.hpp>

#include "migrationd/base/result.h"
#include "migrationd/io/scheduler-graph.h"

namespace migrationd::io::scheduler_xml {

/// Parses `text` into `document`; its root must be named `root`. `what` names it in the error.
inline Outcome parse(pugi::xml_document& document, std::string_view text, const char* root, const std::string& what) {
  if (text.size() > scheduler_text_limit)
    return Error{what + " is larger than " + std::to_string(scheduler_text_limit / (1024 * 1024)) + " MiB"};
  const auto parsed = document.load_buffer(text.data(), text.size());
  if (!parsed)
    return Error{what + " is not well-formed XML: " + parsed.description() + " at byte " + std::to_string(parsed.offset)};
  if (!document.child(root)) return Error{what + " has no <" + root + "> at its top: it is not what it is taken for"};
  return Done{};
}

inline std::string attribute(const pugi::xml_node& node, const char* name) { return node.attribute(name).as_string(); }

/// A whole decimal number; false when `text` is none.
inline bool number(const char* text, long long& value) {
  char* end = nullptr;
  value = std::strtoll(text, &end, 10);
  return end != text && *end == '\0';
}

/// Pacemaker's words for true.
inline bool truth(std::string_view text) {
  return text == "true" || text == "on" || text == "yes" || text == "y" || text == "1" || text == "True" || text == "TRUE";
}

/// The node's own history of the resource: lrm_resource elements, clone numbers left out.
template <class Call>
void for_each_history(const pugi::xml_document& cib, const std::string& resource, Call call) {
  for (const auto& state : cib.child("cib").child("status").children("node_state")) {
    std::string node = attribute(state, "uname");
    if (node.empty()) node = attribute(state, "id");
    for (const auto& history : state.child("lrm").child("lrm_resources").children("lrm_resource"))
      if (resource.empty() || intent::without_instance(attribute(history, "id")) == resource) call(node, history);
  }
}

/// A part of an operation's transition-key, which is "action:transition:expected code:uuid"; empty when it has not so many.
inline std::string transition_key_part(const pugi::xml_node& operation, int part) {
  std::string key = attribute(operation, "transition-key");
  for (; part > 0; --part) {
    const auto colon = key.find(':');
    if (colon == std::string::npos) return {};
    key.erase(0, colon + 1);
  }
  return key.substr(0, key.find(':'));
}

/// Which transition of which controller an operation belongs to, as "number:uuid". Empty when there is none.
inline std::string transition_of(const pugi::xml_node& operation) {
  const std::string uuid = transition_key_part(operation, 3);
  return uuid.empty() ? std::string() : transition_key_part(operation, 1) + ":" + uuid;
}

inline bool is_pending(const pugi::xml_node& operation) { return attribute(operation, "op-status") == "-1"; }

}  // namespace migrationd::io::scheduler_xml
