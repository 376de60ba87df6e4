// SPDX-License-Identifier: GPL-2.0-or-later
// See journal-record.h.
#include "migrationd/io/journal-record.h"

#include <charconv>

#include <nlohmann/json.hpp>
#include <openssl/evp.h>

namespace migrationd::io {

namespace {

using handoff::Due;
using handoff::Phase;
using handoff::State;
using nlohmann::json;

constexpr std::string_view magic = "migrationd-journal ";

struct PhaseName {
  Phase phase;
  const char* name;
};
constexpr PhaseName phases[] = {{Phase::gone, "gone"},       {Phase::claim, "claim"},     {Phase::withdrawn, "withdrawn"},
                                {Phase::held, "held"},       {Phase::offered, "offered"}, {Phase::moving, "moving"},
                                {Phase::stopping, "stopping"}, {Phase::given, "given"}};

struct DueName {
  Due due;
  const char* name;
};
constexpr DueName dues[] = {{Due::nothing, "nothing"}, {Due::resume, "resume"}, {Due::boot, "boot"}};

std::string sha256(std::string_view body) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  unsigned length = 0;
  EVP_Digest(body.data(), body.size(), digest, &length, EVP_sha256(), nullptr);
  static const char hex[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < length; ++i) {
    text += hex[digest[i] >> 4];
    text += hex[digest[i] & 15];
  }
  return text;
}

// nlohmann::json converts between number types and signs in silence; a journal must not.
std::uint64_t unsigned_of(const json& value, const char* field) {
  if (!value.is_number_unsigned()) throw std::runtime_error(std::string(field) + " is no whole number");
  return value.get<std::uint64_t>();
}

Milliseconds milliseconds_of(const json& value, const char* field) {
  if (!value.is_number_integer()) throw std::runtime_error(std::string(field) + " is no whole number");
  return Milliseconds(value.get<std::int64_t>());
}

json attempt_json(Attempt attempt) { return {attempt.incarnation, attempt.number}; }

Attempt attempt_of(const json& value) {
  if (!value.is_array() || value.size() != 2) throw std::runtime_error("an attempt isn't a pair of numbers");
  return {unsigned_of(value[0], "an attempt's incarnation"), unsigned_of(value[1], "an attempt's number")};
}

json state_json(const State& state) {
  json last = json::object();
  for (const auto& [node, attempt] : state.last) last[node] = attempt_json(attempt);
  const char* phase = "gone";
  for (const PhaseName& one : phases)
    if (one.phase == state.phase) phase = one.name;
  const char* due = "nothing";
  for (const DueName& one : dues)
    if (one.due == state.due) due = one.name;
  return {{"phase", phase},
          {"epoch", state.epoch.value},
          {"own", attempt_json(state.own)},
          {"open", attempt_json(state.open)},
          {"last", last},
          {"peer", state.peer},
          {"serving", attempt_json(state.serving)},
          {"from_held", state.from_held},
          {"invited", state.invited},
          {"asked", state.asked},
          {"due", due},
          {"was_offered", state.was_offered},
          {"offer_left_ms", state.offer_left.count()},
          {"offer_ends_ms", state.offer_ends.since_boot.count()},
          {"post_copy", state.post_copy},
          {"noted", {{"node", state.noted.node}, {"installation", state.noted.installation}, {"epoch", state.noted.epoch.value}}}};
}

State state_of(const json& value) {
  State state;
  std::string phase = value.at("phase").get<std::string>();
  bool known = false;
  for (const PhaseName& one : phases)
    if (phase == one.name) {
      state.phase = one.phase;
      known = true;
    }
  if (!known) throw std::runtime_error("the phase \"" + phase + "\" is unknown");
  state.epoch.value = unsigned_of(value.at("epoch"), "epoch");
  state.own = attempt_of(value.at("own"));
  state.open = attempt_of(value.at("open"));
  if (!value.at("last").is_object()) throw std::runtime_error("last is no object");
  for (const auto& [node, attempt] : value.at("last").items()) state.last[node] = attempt_of(attempt);
  state.peer = value.at("peer").get<std::string>();
  state.serving = attempt_of(value.at("serving"));
  state.from_held = value.at("from_held").get<bool>();
  state.invited = value.at("invited").get<bool>();
  state.asked = value.at("asked").get<std::set<NodeName>>();
  std::string due = value.at("due").get<std::string>();
  known = false;
  for (const DueName& one : dues)
    if (due == one.name) {
      state.due = one.due;
      known = true;
    }
  if (!known) throw std::runtime_error("what is due, \"" + due + "\", is unknown");
  state.was_offered = value.at("was_offered").get<bool>();
  state.offer_left = milliseconds_of(value.at("offer_left_ms"), "offer_left_ms");
  state.offer_ends.since_boot = milliseconds_of(value.at("offer_ends_ms"), "offer_ends_ms");
  if (value.contains("post_copy")) state.post_copy = value.at("post_copy").get<bool>();  // an older daemon knows nothing of it
  const json& noted = value.at("noted");
  state.noted = {noted.at("node").get<std::string>(), noted.at("installation").get<std::string>(),
                 {unsigned_of(noted.at("epoch"), "noted epoch")}};
  return state;
}

/// Names the field that isn't UTF-8, because nlohmann's own message can't.
bool utf8(const std::string& text) {
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

}  // namespace

std::string seal_record(std::string_view body) {
  return std::string(magic) + std::to_string(journal_version) + " " + sha256(body) + "\n" + std::string(body);
}

Result<std::string> encode_record(const engine::Record& record, const std::string& boot_id) {
  auto wrong = [&](const std::string& field) {
    return Error{"journal: " + field + " of domain " + record.uuid.str() + " is not UTF-8 text; correct it"};
  };
  if (record.uuid.empty()) return Error{"journal: a record without a domain's UUID can't be written"};
  if (!utf8(record.name)) return wrong("the name");
  if (!utf8(record.resource)) return wrong("the resource's name");
  if (!utf8(record.definition)) return wrong("the definition");
  for (const auto& [key, value] : record.parameters)
    if (!utf8(key) || !utf8(value)) return wrong("the parameter " + (utf8(key) ? key : std::string("with a broken name")));
  try {
    std::string body = json{{"uuid", record.uuid.str()},
                            {"name", record.name},
                            {"resource", record.resource},
                            {"parameters", record.parameters},
                            {"definition", record.definition},
                            {"boot_id", boot_id},
                            {"state", state_json(record.state)}}
                           .dump(1);
    if (body.size() > journal_record_limit - 200) return Error{"journal: the record of domain " + record.uuid.str() + " is too large"};
    return seal_record(body);
  } catch (const json::exception& error) {
    return Error{"journal: the record of domain " + record.uuid.str() + " can't be written: " + error.what()};
  }
}

Result<StoredRecord> decode_record(std::string_view bytes, const std::string& boot_id) {
  if (bytes.size() > journal_record_limit) return Error{"is too large for a record"};
  std::size_t line_end = bytes.find('\n');
  if (bytes.substr(0, magic.size()) != magic || line_end == std::string_view::npos)
    return Error{bytes.empty() ? "is empty" : "is no journal record"};
  std::string_view line = bytes.substr(magic.size(), line_end - magic.size());
  int version = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), version);
  if (error != std::errc{} || end == line.data() + line.size() || *end != ' ') return Error{"has a damaged first line"};
  if (version > journal_version)
    return Error{"was written by a newer migrationd (journal version " + std::to_string(version) + ", this one reads up to " +
                 std::to_string(journal_version) + "); install that version again, or see migrationctl forget"};
  if (version < 1) return Error{"has a damaged first line"};
  std::string_view checksum(end + 1, static_cast<std::size_t>(line.data() + line.size() - end - 1));
  std::string_view body = bytes.substr(line_end + 1);
  if (checksum != sha256(body)) return Error{"is damaged: its checksum is wrong"};
  try {
    json value = json::parse(body);
    StoredRecord stored;
    engine::Record& record = stored.record;
    std::optional<DomainUuid> uuid = DomainUuid::parse(value.at("uuid").get<std::string>());
    if (!uuid) return Error{"has no valid domain UUID in it"};
    record.uuid = *uuid;
    record.name = value.at("name").get<std::string>();
    record.resource = value.at("resource").get<std::string>();
    record.parameters = value.at("parameters").get<std::map<std::string, std::string>>();
    record.definition = value.at("definition").get<std::string>();
    record.state = state_of(value.at("state"));
    if (value.at("boot_id").get<std::string>() != boot_id) {
      stored.other_boot = true;
      record.state.offer_ends = {};
    }
    return stored;
  } catch (const std::exception& problem) {
    return Error{std::string("can't be understood: ") + problem.what()};
  }
}

}  // namespace migrationd::io
