// SPDX-License-Identifier: GPL-2.0-or-later
// Reads with the JSON parser's events, without building a tree: depth, repetition and types are judged while
// the bytes are read, and the agent, which is started for every monitor, stays small.
#include "migrationd/wire/local-codec.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace migrationd::wire {

namespace {

using Json = nlohmann::json;

constexpr std::array<HeartbeatCause, 6> causes{HeartbeatCause::none,         HeartbeatCause::shutdown,
                                               HeartbeatCause::standby,      HeartbeatCause::peer_request,
                                               HeartbeatCause::roll_back,    HeartbeatCause::by_hand};
constexpr std::size_t word_limit = 64;        // operation, face
constexpr std::size_t resource_limit = 1024;  // a resource's name, or an operand
constexpr std::size_t parameter_count_limit = 1000;
constexpr std::uint64_t timeout_limit_ms = 366ULL * 24 * 3'600'000;

// Takes the parser's events for one flat object, of which one field may be an object of texts. A subclass
// says what its fields mean.
class Reader : public nlohmann::json_sax<Json> {
 public:
  std::string why;

  bool start_object(std::size_t) override {
    if (depth_ == 0) return ++depth_, true;
    if (depth_ == 1 && opens_object(key_)) return ++depth_, true;
    return fail(depth_ == 1 ? "the field " + key_ + " is an object" : "it is nested too deeply");
  }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override {
    return fail(depth_ == 0 ? "it is a list, not an object" : "the field " + key_ + " is a list");
  }
  bool end_array() override { return false; }
  bool key(std::string& text) override {
    key_ = text;
    if (depth_ != 1) return true;
    return seen_.emplace(text, true).second || fail("the field " + text + " is there twice");
  }
  bool string(std::string& text) override {
    if (depth_ == 0) return no_object();
    return depth_ == 2 ? entry(key_, text) : on_text(key_, text);
  }
  bool boolean(bool value) override { return depth_ == 1 ? on_boolean(key_, value) : wrong_depth(); }
  bool number_unsigned(std::uint64_t value) override { return depth_ == 1 ? on_number(key_, value) : wrong_depth(); }
  bool number_integer(std::int64_t) override { return depth_ == 1 ? on_other(key_) : wrong_depth(); }
  bool number_float(double, const std::string&) override { return depth_ == 1 ? on_other(key_) : wrong_depth(); }
  bool null() override { return depth_ == 1 ? on_other(key_) : wrong_depth(); }
  bool binary(Json::binary_t&) override { return false; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail("it isn't JSON in UTF-8 at byte " + std::to_string(position));
  }

  /// The first of the fields that wasn't there; empty: all were.
  template <class Names>
  std::string missing(const Names& names) const {
    for (const char* name : names)
      if (!seen_.contains(name)) return name;
    return {};
  }

 protected:
  bool fail(std::string text) {
    if (why.empty()) why = std::move(text);
    return false;
  }
  bool wrong_type(const std::string& name) { return fail("the field " + name + " has the wrong type"); }
  bool out_of_range(const std::string& name) { return fail("the field " + name + " is out of range"); }

  virtual bool known(const std::string& name) const = 0;
  virtual bool opens_object(const std::string&) { return false; }
  virtual bool entry(const std::string&, std::string&) { return false; }
  virtual bool on_text(const std::string& name, std::string&) { return on_other(name); }
  virtual bool on_boolean(const std::string& name, bool) { return on_other(name); }
  virtual bool on_number(const std::string& name, std::uint64_t) { return on_other(name); }
  bool on_other(const std::string& name) { return known(name) ? wrong_type(name) : true; }

 private:
  bool no_object() { return fail("it isn't an object"); }
  bool wrong_depth() { return depth_ == 0 ? no_object() : fail("the entry " + key_ + " is not a text"); }

  int depth_ = 0;
  std::string key_;
  std::map<std::string, bool, std::less<>> seen_;
};

bool named(const auto& names, const std::string& name) {
  for (const char* one : names)
    if (name == one) return true;
  return false;
}

class RequestReader final : public Reader {
 public:
  static constexpr std::array<const char*, 6> names{"operation", "face", "resource", "parameters", "timeout_ms", "cause"};
  LocalRequest request;

 protected:
  bool known(const std::string& name) const override { return named(names, name); }
  bool opens_object(const std::string& name) override { return name == "parameters"; }
  bool entry(const std::string& name, std::string& text) override {
    if (request.parameters.size() == parameter_count_limit) return fail("it has too many parameters");
    return request.parameters.emplace(name, std::move(text)).second || fail("the parameter " + name + " is there twice");
  }
  bool on_text(const std::string& name, std::string& text) override {
    if (name == "operation") return take(name, text, request.operation, word_limit, false);
    if (name == "face") return take(name, text, request.face, word_limit, false);
    if (name == "resource") return take(name, text, request.resource, resource_limit, true);
    if (name != "cause") return on_other(name);
    for (const HeartbeatCause cause : causes) {
      if (text != to_string(cause)) continue;
      request.cause = cause;
      return true;
    }
    return out_of_range(name);
  }
  bool on_number(const std::string& name, std::uint64_t value) override {
    if (name != "timeout_ms") return on_other(name);
    if (value > timeout_limit_ms) return out_of_range(name);
    request.timeout = Milliseconds(value);
    return true;
  }

 private:
  bool take(const std::string& name, std::string& from, std::string& to, std::size_t limit, bool may_be_empty) {
    if (from.size() > limit || (from.empty() && !may_be_empty)) return out_of_range(name);
    to = std::move(from);
    return true;
  }
};

class ReplyReader final : public Reader {
 public:
  static constexpr std::array<const char*, 4> names{"code", "reason", "body", "more"};
  LocalReply reply;

 protected:
  bool known(const std::string& name) const override { return named(names, name); }
  bool on_text(const std::string& name, std::string& text) override {
    if (name == "reason") return reply.reason = std::move(text), true;
    if (name == "body") return reply.body = std::move(text), true;
    return on_other(name);
  }
  bool on_boolean(const std::string& name, bool value) override {
    if (name == "more") return reply.more = value, true;
    return on_other(name);
  }
  bool on_number(const std::string& name, std::uint64_t value) override {
    if (name != "code") return on_other(name);
    if (value > static_cast<std::uint64_t>(OcfCode::not_running)) return out_of_range(name);
    reply.code = static_cast<OcfCode>(value);
    return true;
  }
};

Result<std::string> written(const Json& json, const char* what) {
  try {
    std::string bytes = json.dump();
    if (bytes.size() <= local_message_limit) return bytes;
    return Error{std::string("the ") + what + " is larger than " + std::to_string(local_message_limit) + " bytes"};
  } catch (const Json::exception&) {
    return Error{std::string("the ") + what + " has text that isn't UTF-8"};
  }
}

Error refused(const char* what, const std::string& why) {
  return {std::string("the ") + what + " can't be understood: " + why};
}

// Runs the reader over the bytes; why they aren't a message, or empty.
template <class R>
std::string read(R& reader, std::string_view bytes) {
  if (bytes.size() > local_message_limit) return "it is larger than " + std::to_string(local_message_limit) + " bytes";
  if (!Json::sax_parse(bytes.begin(), bytes.end(), &reader)) return reader.why.empty() ? "it isn't JSON" : reader.why;
  const std::string missing = reader.missing(R::names);
  return missing.empty() ? missing : "the field " + missing + " is missing";
}

}  // namespace

Result<std::string> encode(const LocalRequest& request) {
  return written({{"operation", request.operation},
                  {"face", request.face},
                  {"resource", request.resource},
                  {"parameters", Json(request.parameters)},
                  {"timeout_ms", static_cast<std::uint64_t>(std::max<std::int64_t>(request.timeout.count(), 0))},
                  {"cause", to_string(request.cause)}},
                 "request");
}

Result<std::string> encode(const LocalReply& reply) {
  return written({{"code", static_cast<unsigned>(reply.code)},
                  {"reason", reply.reason},
                  {"body", reply.body},
                  {"more", reply.more}},
                 "reply");
}

Result<LocalRequest> decode_request(std::string_view bytes) {
  RequestReader reader;
  if (const std::string why = read(reader, bytes); !why.empty()) return refused("request", why);
  return std::move(reader.request);
}

Result<LocalReply> decode_reply(std::string_view bytes) {
  ReplyReader reader;
  if (const std::string why = read(reader, bytes); !why.empty()) return refused("reply", why);
  return std::move(reader.reply);
}

const char* to_string(HeartbeatCause cause) {
  switch (cause) {
    case HeartbeatCause::none: return "none";
    case HeartbeatCause::shutdown: return "shutdown";
    case HeartbeatCause::standby: return "standby";
    case HeartbeatCause::peer_request: return "peer_request";
    case HeartbeatCause::roll_back: return "roll_back";
    case HeartbeatCause::by_hand: return "by_hand";
  }
  return "none";
}

}  // namespace migrationd::wire
