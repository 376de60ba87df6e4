// SPDX-License-Identifier: GPL-2.0-or-later
// Each kind of message lists its fields once, in `fields`; one visitor writes them, another reads them, so
// that the two can't drift apart.
#include "migrationd/wire/peer-codec.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

namespace migrationd::wire {

namespace {

using Json = nlohmann::json;

/// A message is flat but for attempts; anything deeper is refused before the JSON parser sees it.
constexpr int depth_limit = 8;
constexpr int protocol_limit = 1'000'000;
constexpr std::size_t migration_name_length = 32;
constexpr std::size_t digest_length = 64;

// Wrappers that give a text field its rule.
struct Uuid { std::string& text; bool may_be_empty; };
struct Node { std::string& text; bool may_be_empty; };
struct Hex { std::string& text; std::size_t length; };
/// May be missing, as in a message of an older daemon; left out where it says nothing.
template <class T> struct Optional { T& value; };

template <class V> void fields(V& v, Hello& m) {
  v("protocol", m.protocol), v("installation", Uuid{m.installation, false}), v("boot_id", Uuid{m.boot_id, false});
  v("incarnation", m.incarnation), v("software", m.software);
}
template <class V> void fields(V& v, Claim& m) {
  v("domain", m.domain), v("attempt", m.attempt), v("epoch", m.epoch);
  v("resource", Optional{m.resource}), v("parameters", Optional{m.parameters}), v("time_left_ms", Optional{m.time_left_ms});
  v("places", Optional{m.places}), v("full", Optional{m.full}), v("post_copy", Optional{m.post_copy});
}
template <class V> void fields(V& v, Withdraw& m) { v("domain", m.domain), v("attempt", m.attempt); }
template <class V> void fields(V& v, Given& m) {
  v("domain", m.domain), v("attempt", m.attempt), v("epoch", m.epoch), v("post_copy", Optional{m.post_copy});
}
template <class V> void fields(V& v, Released& m) {
  v("domain", m.domain), v("attempt", m.attempt), v("why", m.why);
}
template <class V> void fields(V& v, Gone& m) {
  v("domain", m.domain), v("attempt", m.attempt), v("epoch", m.epoch), v("noted_node", Node{m.noted_node, true});
  v("noted_installation", Uuid{m.noted_installation, true}), v("noted_epoch", m.noted_epoch);
}
template <class V> void fields(V& v, Wait& m) { v("domain", m.domain), v("attempt", m.attempt), v("why", m.why); }
template <class V> void fields(V& v, Acknowledged& m) { v("domain", m.domain), v("attempt", m.attempt), v("fetching", Optional{m.fetching}); }
template <class V> void fields(V& v, Invite& m) {
  v("domain", m.domain), v("name", m.name), v("definition", m.definition), v("resource", m.resource);
  v("parameters", m.parameters);
}
template <class V> void fields(V& v, Refusal& m) { v("domain", m.domain), v("why", m.why); }
template <class V> void fields(V& v, Note& m) {
  v("domain", m.domain), v("name", m.name), v("epoch", m.epoch);
  v("resource", Optional{m.resource}), v("definition", Optional{m.definition});
}
template <class V> void fields(V& v, AskReady& m) {
  v("question", m.question), v("domain", m.domain), v("name", m.name), v("memory_kib", m.memory_kib);
  v("definition", m.definition), v("only_asked", Optional{m.only_asked}), v("host", Optional{m.host});
  v("start_resources", Optional{m.start_resources});
}
template <class V> void fields(V& v, Ready& m) {
  v("question", m.question), v("ready", m.ready), v("why", m.why), v("incompatible", Optional{m.incompatible});
}
template <class V> void fields(V& v, Farewell& m) { v("at_work", Optional{m.at_work}); }
template <class V> void fields(V& v, Carry& m) {
  v("domain", m.domain), v("attempt", m.attempt), v("migration", Hex{m.migration, migration_name_length}), v("place", m.place), v("stream", m.stream);
}
template <class V> void fields(V& v, Carried& m) { v("why", m.why); }
template <class V> void fields(V& v, Ping& m) { v("number", m.number); }
template <class V> void fields(V& v, Pong& m) { v("number", m.number); }
template <class V> void fields(V& v, SwitchingOver& m) { v("domain", m.domain), v("attempt", m.attempt); }
template <class V> void fields(V& v, Defined& m) {
  v("domain", m.domain), v("name", m.name), v("resource", m.resource), v("config", m.config), v("origin", Node{m.origin, false});
  v("epoch", m.epoch), v("version", m.version), v("digest", Hex{m.digest, digest_length}), v("held", Optional{m.held});
  v("xml", Optional{m.xml});
}
template <class V> void fields(V& v, AskDefinition& m) { v("domain", m.domain); }

// In the order of PeerMessage's alternatives.
constexpr std::array<const char*, std::variant_size_v<PeerMessage>> kinds = {
    "hello",  "claim",   "withdraw", "given",     "released", "gone",     "wait", "acknowledged",
    "invite", "refusal", "note",     "ask_ready", "ready",    "farewell", "carry", "carried", "ping", "pong",
    "switching_over", "defined", "ask_definition"};

constexpr std::array<CarriedStream, 3> streams = {CarriedStream::libvirt, CarriedStream::memory, CarriedStream::disks};
struct Writer {
  Json& json;
  void operator()(const char* name, int& value) { json[name] = value; }
  void operator()(const char* name, std::uint64_t& value) { json[name] = value; }
  void operator()(const char* name, bool& value) { json[name] = value; }
  void operator()(const char* name, std::string& value) { json[name] = value; }
  void operator()(const char* name, std::map<std::string, std::string>& value) { json[name] = value; }
  void operator()(const char* name, std::set<NodeName>& value) { json[name] = value; }
  template <class T> void operator()(const char* name, Optional<T> field) {
    if (field.value != T{}) (*this)(name, field.value);
  }
  void operator()(const char* name, Uuid value) { json[name] = value.text; }
  void operator()(const char* name, Node value) { json[name] = value.text; }
  void operator()(const char* name, Hex value) { json[name] = value.text; }
  void operator()(const char* name, CarriedStream& value) { json[name] = to_string(value); }
  void operator()(const char* name, DomainUuid& value) { json[name] = value.str(); }
  void operator()(const char* name, Epoch& value) { json[name] = value.value; }
  void operator()(const char* name, Attempt& value) { json[name] = {value.incarnation, value.number}; }
};

struct Reader {
  const Json& json;
  const char* kind;
  std::string error{};

  void fail(const char* name, const char* what) {
    if (error.empty()) error = std::string("field \"") + name + "\" of a " + kind + " message " + what;
  }
  const Json* find(const char* name) {
    const auto it = json.find(name);
    if (it != json.end()) return &*it;
    fail(name, "is missing");
    return nullptr;
  }
  static bool counts(const Json& value) { return value.is_number_unsigned(); }

  void operator()(const char* name, int& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!counts(*field) || field->get<std::uint64_t>() < 1 || field->get<std::uint64_t>() > protocol_limit)
      return fail(name, "is not a number from 1 to 1000000");
    value = static_cast<int>(field->get<std::uint64_t>());
  }
  void operator()(const char* name, std::uint64_t& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!counts(*field)) return fail(name, "is not a whole number from 0 to 2^64-1");
    value = field->get<std::uint64_t>();
  }
  void operator()(const char* name, bool& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!field->is_boolean()) return fail(name, "is neither true nor false");
    value = field->get<bool>();
  }
  void operator()(const char* name, std::string& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!field->is_string()) return fail(name, "is not a text");
    value = field->get_ref<const std::string&>();
  }
  void operator()(const char* name, std::map<std::string, std::string>& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!field->is_object()) return fail(name, "is not an object");
    value.clear();
    for (const auto& [key, text] : field->items()) {
      if (!text.is_string()) return fail(name, "holds something that is not a text");
      value[key] = text.get_ref<const std::string&>();
    }
  }
  void operator()(const char* name, std::set<NodeName>& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!field->is_array()) return fail(name, "is not a list");
    value.clear();
    for (const Json& node : *field) {
      if (!node.is_string() || !valid_node_name(node.get_ref<const std::string&>())) return fail(name, "holds something that is not a node's name");
      value.insert(node.get_ref<const std::string&>());
    }
  }
  template <class T> void operator()(const char* name, Optional<T> field) {
    if (json.contains(name)) (*this)(name, field.value);
  }
  void operator()(const char* name, Uuid value) {
    (*this)(name, value.text);
    if (!error.empty() || (value.may_be_empty && value.text.empty())) return;
    const auto uuid = DomainUuid::parse(value.text);
    if (!uuid) return fail(name, "is not a UUID");
    value.text = uuid->str();
  }
  void operator()(const char* name, Node value) {
    (*this)(name, value.text);
    if (!error.empty() || (value.may_be_empty && value.text.empty())) return;
    if (!valid_node_name(value.text)) fail(name, "is not a node's name");
  }
  void operator()(const char* name, Hex value) {
    (*this)(name, value.text);
    if (!error.empty()) return;
    if (value.text.size() == value.length && value.text.find_first_not_of("0123456789abcdef") == std::string::npos) return;
    fail(name, ("is not made of " + std::to_string(value.length) + " hexadecimal digits").c_str());
  }
  void operator()(const char* name, CarriedStream& value) {
    std::string text;
    (*this)(name, text);
    if (!error.empty()) return;
    const auto found = std::find_if(streams.begin(), streams.end(), [&](CarriedStream stream) { return text == to_string(stream); });
    if (found == streams.end()) return fail(name, "is none of libvirt, memory and disks");
    value = *found;
  }
  void operator()(const char* name, DomainUuid& value) {
    std::string text;
    (*this)(name, text);
    if (!error.empty()) return;
    const auto uuid = DomainUuid::parse(text);
    if (!uuid) return fail(name, "is not a UUID");
    value = *uuid;
  }
  void operator()(const char* name, Epoch& value) { (*this)(name, value.value); }
  void operator()(const char* name, Attempt& value) {
    const Json* field = find(name);
    if (!field) return;
    if (!field->is_array() || field->size() != 2 || !counts((*field)[0]) || !counts((*field)[1]))
      return fail(name, "is not an attempt, [incarnation, number]");
    value = {(*field)[0].get<std::uint64_t>(), (*field)[1].get<std::uint64_t>()};
  }
};

/// How deep the brackets of `bytes` go, strings left out; JSON needs not be valid.
int depth(std::string_view bytes) {
  int now = 0, most = 0;
  bool in_text = false, escaped = false;
  for (char c : bytes) {
    if (in_text) {
      if (escaped) escaped = false;
      else if (c == '\\') escaped = true;
      else if (c == '"') in_text = false;
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      most = std::max(most, ++now);
    } else if (c == '}' || c == ']') {
      --now;
    }
  }
  return most;
}

template <std::size_t I = 0>
Result<PeerMessage> read(std::string_view kind, const Json& json) {
  if constexpr (I == kinds.size()) {
    return Error{"a peer message of the unknown kind \"" + std::string(kind.substr(0, 32)) +
                 "\": the other side speaks another version of the protocol"};
  } else {
    if (kind != kinds[I]) return read<I + 1>(kind, json);
    std::variant_alternative_t<I, PeerMessage> message;
    Reader reader{json, kinds[I]};
    fields(reader, message);
    if (!reader.error.empty()) return Error{reader.error};
    return PeerMessage{std::move(message)};
  }
}

}  // namespace

const char* to_string(CarriedStream stream) {
  switch (stream) {
    case CarriedStream::libvirt: return "libvirt";
    case CarriedStream::memory: return "memory";
    case CarriedStream::disks: return "disks";
  }
  return "";
}

const char* kind(const PeerMessage& message) { return kinds[message.index()]; }

bool valid_node_name(std::string_view name) {
  const auto unfit = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; };
  return !name.empty() && name.size() <= 255 && std::none_of(name.begin(), name.end(), unfit);
}

std::string encode(const PeerMessage& message) {
  Json json;
  json["kind"] = kind(message);
  std::visit([&json](auto copy) { Writer writer{json}; fields(writer, copy); }, message);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<PeerMessage> decode_peer(std::string_view bytes) {
  if (depth(bytes) > depth_limit) return Error{"a peer message is nested too deeply to be one"};
  const Json json = Json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Error{"a peer message is not valid JSON"};
  if (!json.is_object()) return Error{"a peer message is not a JSON object"};
  const auto it = json.find("kind");
  if (it == json.end() || !it->is_string()) return Error{"a peer message has no kind"};
  return read(it->get_ref<const std::string&>(), json);
}

}  // namespace migrationd::wire
