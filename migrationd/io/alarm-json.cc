// SPDX-License-Identifier: GPL-2.0-or-later
// See alarm-json.h.
#include "migrationd/io/alarm-json.h"

#include <ctime>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace migrationd::io {

using alarms::Alarm;
using nlohmann::json;

namespace {

constexpr std::string_view magic = "migrationd-alarms ";
constexpr std::string_view version = "1";
/// Well within what the local IPC carries, though each text were to grow in JSON.
constexpr std::size_t answer_limit = 400 * 1024;
/// A file can't hold more than the book does.
constexpr std::size_t alarms_limit = alarms::cleared_kept + alarms::standing_kept;
constexpr std::int64_t latest_time = 253402300799999;  // the end of the year 9999

json time_json(WallTime time) { return time == WallTime{} ? json() : json(utc_text(time)); }

json subject_json(const Subject& subject) {
  return {{"what", to_string(subject.what)}, {"name", subject.name}, {"uuid", subject.uuid}, {"resource", subject.resource}};
}

/// Never throws for a text that isn't UTF-8: a domain's name may hold anything.
std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::uint64_t number_of(const json& from, const char* field) {
  if (!from.at(field).is_number_unsigned()) throw std::runtime_error(std::string(field) + " is no whole number");
  return from.at(field).get<std::uint64_t>();
}

WallTime time_of(const json& from, const char* field) {
  const std::uint64_t ms = number_of(from, field);
  if (ms > static_cast<std::uint64_t>(latest_time)) throw std::runtime_error(std::string(field) + " is no time");
  return {Milliseconds(static_cast<std::int64_t>(ms))};
}

std::string text_of(const json& from, const char* field) {
  std::string text = from.at(field).get<std::string>();
  if (text.size() > 4 * alarms::text_limit) throw std::runtime_error(std::string(field) + " is too long");
  return text;
}

/// Times in the file are numbers: read back they are what they were.
json stored(const Alarm& one) {
  json alarm = {{"id", one.id}, {"kind", one.kind}, {"severity", to_string(one.severity)}, {"subject", subject_json(one.subject)},
                {"text", one.text}, {"raised", one.raised.since_epoch.count()}, {"last", one.last.since_epoch.count()},
                {"count", one.count}, {"acknowledged_by", one.acknowledged_by}, {"acknowledged", one.acknowledged.since_epoch.count()},
                {"cleared_why", one.cleared_why}, {"cleared", nullptr}};
  if (one.cleared) alarm["cleared"] = one.cleared->since_epoch.count();
  return alarm;
}

Alarm read_back(const json& from) {
  Alarm alarm;
  alarm.id = number_of(from, "id");
  if (alarm.id == 0 || alarm.id > std::numeric_limits<std::uint64_t>::max() / 2) throw std::runtime_error("id is out of range");
  alarm.kind = text_of(from, "kind");
  const auto severity = severity_of(text_of(from, "severity"));
  if (!severity) throw std::runtime_error("severity is unknown");
  alarm.severity = *severity;
  const json& subject = from.at("subject");
  const auto what = subject_kind(text_of(subject, "what"));
  if (!what) throw std::runtime_error("what is unknown");
  alarm.subject = {*what, text_of(subject, "name"), text_of(subject, "uuid"), text_of(subject, "resource")};
  alarm.text = text_of(from, "text");
  alarm.raised = time_of(from, "raised");
  alarm.last = time_of(from, "last");
  alarm.count = number_of(from, "count");
  alarm.acknowledged_by = text_of(from, "acknowledged_by");
  alarm.acknowledged = time_of(from, "acknowledged");
  if (!from.at("cleared").is_null()) alarm.cleared = time_of(from, "cleared");
  alarm.cleared_why = text_of(from, "cleared_why");
  return alarm;
}

}  // namespace

std::string utc_text(WallTime time) {
  const std::int64_t ms = time.since_epoch.count();
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc{};
  char text[32] = {};
  if (ms < 0 || ms > latest_time || gmtime_r(&seconds, &utc) == nullptr) return "?";
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string fraction = std::to_string(1000 + ms % 1000);
  return std::string(text, length) + "." + fraction.substr(1) + "Z";
}

json alarm_json(const Alarm& one) {
  return {{"id", one.id}, {"kind", one.kind}, {"severity", to_string(one.severity)}, {"subject", subject_json(one.subject)},
          {"text", one.text}, {"raised", utc_text(one.raised)}, {"last", utc_text(one.last)}, {"count", one.count},
          {"acknowledged", one.acknowledged_by.empty() ? json() : time_json(one.acknowledged)}, {"acknowledged_by", one.acknowledged_by},
          {"cleared", one.cleared ? json(utc_text(*one.cleared)) : json()}, {"cleared_why", one.cleared_why}};
}

json event_json(const alarms::Event& event) {
  return {{"number", event.number}, {"at", utc_text(event.at)}, {"kind", to_string(event.kind)}, {"subject", subject_json(event.subject)},
          {"text", event.text}, {"alarm", event.alarm == 0 ? json() : json(event.alarm)}};
}

std::string alarms_json(const NodeName& self, const std::vector<Alarm>& known, bool all) {
  json list = json::array();
  std::size_t size = 0, left_off = 0;
  // Two rounds, so that what stands is never left off for what was.
  for (const bool standing : {true, false}) {
    for (auto at = known.rbegin(); at != known.rend(); ++at) {
      if (at->stands() != standing || (!standing && !all)) continue;
      const json one = alarm_json(*at);
      size += dumped(one).size();
      if (size > answer_limit) ++left_off;
      else list.push_back(one);
    }
  }
  return dumped({{"node", self}, {"alarms", list}, {"left_off", left_off}});
}

std::string events_json(const NodeName& self, const alarms::EventRing::Batch& batch, std::uint64_t last) {
  json list = json::array();
  for (const alarms::Event& one : batch.events) list.push_back(event_json(one));
  return dumped({{"node", self}, {"events", list}, {"lost", batch.lost}, {"last", last}});
}

std::string encode_alarms(const alarms::AlarmBook& book) {
  json list = json::array();
  for (const Alarm& one : book.all()) list.push_back(stored(one));
  return std::string(magic) + std::string(version) + "\n" + dumped({{"next", book.next()}, {"alarms", list}}) + "\n";
}

Result<alarms::AlarmBook> decode_alarms(std::string_view content) {
  if (!content.starts_with(magic)) return Error{"it is no list of migrationd's alarms"};
  const std::size_t end = content.find('\n');
  if (end == std::string_view::npos) return Error{"its first line is broken"};
  const std::string_view head = content.substr(magic.size(), end - magic.size());
  if (head != version) return Error{"it has the version " + std::string(head.substr(0, 20)) + ", and this release reads version 1 only"};
  try {
    // Known depth, so that brackets without end do not overflow the stack.
    const auto shallow = [](int depth, json::parse_event_t event, json&) {
      if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start)
        if (depth > 4) throw std::runtime_error("it is nested too deeply");
      return true;
    };
    const json read = json::parse(content.substr(end + 1), shallow);
    const json& list = read.at("alarms");
    if (!list.is_array() || list.size() > alarms_limit) return Error{"alarms is no list, or too long"};
    std::vector<Alarm> known;
    std::set<std::uint64_t> ids;
    std::set<std::string> standing;
    for (const json& one : list) {
      known.push_back(read_back(one));
      if (!ids.insert(known.back().id).second) return Error{"the number " + std::to_string(known.back().id) + " is there twice"};
      if (known.back().stands() && !standing.insert(known.back().kind + " " + known.back().subject.key()).second)
        return Error{"the same alarm stands twice"};
    }
    const std::uint64_t next = number_of(read, "next");
    if (next > std::numeric_limits<std::uint64_t>::max() / 2) return Error{"next is out of range"};
    return alarms::AlarmBook(std::move(known), next);
  } catch (const std::exception& wrong) {
    return Error{std::string("it is broken: ") + wrong.what()};
  }
}

}  // namespace migrationd::io
