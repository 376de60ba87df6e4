// SPDX-License-Identifier: GPL-2.0-or-later
// See alarm-view.h.
#include "migrationctl/alarm-view.h"

#include <ctime>

#include <nlohmann/json.hpp>

#include "migrationctl/status-view.h"

namespace migrationctl {

using migrationd::Error;
using migrationd::Result;
using nlohmann::json;

namespace {

/// A text; what is null or missing is empty.
std::string text_of(const json& from, const char* field) {
  const auto found = from.find(field);
  return found == from.end() || found->is_null() ? "" : found->get<std::string>();
}

std::uint64_t number_of(const json& from, const char* field) {
  const auto found = from.find(field);
  return found == from.end() || found->is_null() ? 0 : found->get<std::uint64_t>();
}

/// Whom it concerns, by the name that people know.
std::string about(const json& from) {
  const auto subject = from.find("subject");
  if (subject == from.end()) return "";
  const std::string name = text_of(*subject, "name"), resource = text_of(*subject, "resource"), what = text_of(*subject, "what");
  const std::string known = !name.empty() ? name : text_of(*subject, "uuid");
  if (what == "node") return "node " + known;
  if (what != "domain") return "-";
  return resource.empty() || resource == known ? known : known + " (" + resource + ")";
}

template <class T>
Result<T> read(const std::string& text, const char* what, void (*take)(const json&, T&)) {
  try {
    const json parsed = json::parse(text);
    if (!parsed.is_object()) return Error{std::string("the daemon's ") + what + " is no object: it is of another version"};
    T result;
    take(parsed, result);
    return result;
  } catch (const json::exception&) {
    return Error{std::string("the daemon's ") + what + " can't be understood: it is of another version"};
  }
}

}  // namespace

Result<ShownAlarms> read_alarms(const std::string& text) {
  return read<ShownAlarms>(text, "list of alarms", [](const json& from, ShownAlarms& shown) {
    shown.node = text_of(from, "node");
    shown.left_off = number_of(from, "left_off");
    for (const json& one : from.at("alarms").get_ref<const json::array_t&>()) {
      shown.alarms.push_back({number_of(one, "id"), text_of(one, "kind"), text_of(one, "severity"), about(one), text_of(one, "text"),
                              text_of(one, "raised"), text_of(one, "acknowledged_by"), text_of(one, "cleared"), text_of(one, "cleared_why"),
                              number_of(one, "count")});
    }
  });
}

Result<ShownEvents> read_events(const std::string& text) {
  return read<ShownEvents>(text, "list of events", [](const json& from, ShownEvents& shown) {
    shown.lost = number_of(from, "lost");
    for (const json& one : from.at("events").get_ref<const json::array_t&>()) {
      shown.events.push_back({number_of(one, "number"), text_of(one, "at"), text_of(one, "kind"), about(one), text_of(one, "text"), one.dump()});
    }
  });
}

std::string local_time(const std::string& utc) {
  std::tm broken{};
  const char* end = strptime(utc.c_str(), "%Y-%m-%dT%H:%M:%S", &broken);
  if (end == nullptr) return harmless(utc);
  const std::time_t seconds = timegm(&broken);
  std::tm local{};
  char text[32] = {};
  if (localtime_r(&seconds, &local) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local) == 0) return harmless(utc);
  return text;
}

std::string alarms_text(const ShownAlarms& shown, bool all, std::size_t width) {
  const auto or_dash = [](const std::string& text) { return text.empty() ? std::string("-") : harmless(text); };
  Table stand{{"ALARM", "SEVERITY", "SINCE", "TIMES", "ABOUT", "SEEN BY", "KIND", "TEXT"}};
  Table were{{"CLEARED", "AT", "SINCE", "TIMES", "ABOUT", "SEEN BY", "KIND", "WHY", "TEXT"}};
  for (const ShownAlarm& one : shown.alarms) {
    if (one.cleared.empty()) {
      stand.push_back({std::to_string(one.id), or_dash(one.severity), local_time(one.raised), std::to_string(one.count), or_dash(one.about),
                       or_dash(one.acknowledged_by), or_dash(one.kind), or_dash(one.text)});
    } else {
      were.push_back({std::to_string(one.id), local_time(one.cleared), local_time(one.raised), std::to_string(one.count), or_dash(one.about),
                      or_dash(one.acknowledged_by), or_dash(one.kind), or_dash(one.cleared_why), or_dash(one.text)});
    }
  }
  std::string text = stand.size() > 1 ? table_text(stand, width) : "No alarm stands on " + or_dash(shown.node) + ".\n";
  if (all && were.size() > 1) text += "\n" + table_text(were, width);
  if (shown.left_off > 0) text += "\n" + std::to_string(shown.left_off) + " older ones are left off.\n";
  return text;
}

std::string event_text(const ShownEvent& event) {
  const std::string about = event.about.empty() || event.about == "-" ? "" : harmless(event.about) + ": ";
  return local_time(event.at) + " " + std::to_string(event.number) + " " + harmless(event.kind) + " " + about + harmless(event.text);
}

}  // namespace migrationctl
