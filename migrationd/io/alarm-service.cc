// SPDX-License-Identifier: GPL-2.0-or-later
// See alarm-service.h. Followers are looked after now and then instead of at each event: what is logged must never wait for, or
// call into, who reads it.
#include "migrationd/io/alarm-service.h"

#include <charconv>
#include <optional>

#include "migrationd/io/alarm-json.h"

namespace migrationd::io {

using wire::LocalReply;
using wire::LocalRequest;
using wire::OcfCode;

namespace {

constexpr Milliseconds look_every{250};
/// So often a follower hears something, though nothing happens: it would else take the daemon for dead.
constexpr Milliseconds sign_of_life{3000};
/// Well within the largest message.
constexpr std::size_t events_at_once = 100;

std::string parameter(const LocalRequest& request, const char* name) {
  const auto found = request.parameters.find(name);
  return found == request.parameters.end() ? "" : found->second;
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

LocalReply no_number(const std::string& text) {
  return {OcfCode::bad_arguments, "'" + text.substr(0, 64) + "' is not an alarm's number: see migrationctl alarms", "", false};
}

}  // namespace

bool AlarmService::request(ConnectionId id, const LocalRequest& request, const IpcServer::Reply& reply) {
  if (request.operation == "ctl-alarms") {
    reply({OcfCode::success, "", alarms_json(self_, desk_.alarms(), parameter(request, "all") == "yes"), false});
  } else if (request.operation == "ctl-alarm-acknowledge") {
    reply(acknowledge(request));
  } else if (request.operation == "ctl-alarm-clear") {
    reply(clear(request));
  } else if (request.operation == "ctl-events") {
    events(id, request, reply);
  } else {
    return false;
  }
  return true;
}

LocalReply AlarmService::acknowledge(const LocalRequest& request) {
  const std::string by = parameter(request, "by");
  std::size_t done = 1;
  if (parameter(request, "all") == "yes") {
    done = desk_.acknowledge_all(by);
  } else {
    const auto id = number(request.resource);
    if (!id) return no_number(request.resource);
    if (const Outcome outcome = desk_.acknowledge(*id, by); !outcome.ok()) return {OcfCode::error, outcome.error(), "", false};
  }
  return {OcfCode::success, "", "{\"acknowledged\":" + std::to_string(done) + "}", false};
}

LocalReply AlarmService::clear(const LocalRequest& request) {
  const auto id = number(request.resource);
  if (!id) return no_number(request.resource);
  if (const Outcome outcome = desk_.clear_by_hand(*id, parameter(request, "by")); !outcome.ok()) return {OcfCode::error, outcome.error(), "", false};
  return {OcfCode::success, "", "{\"cleared\":1}", false};
}

void AlarmService::events(ConnectionId id, const LocalRequest& request, const IpcServer::Reply& reply) {
  const std::string from = parameter(request, "since");
  const auto since = number(from.empty() ? "0" : from);
  if (!since) return reply({OcfCode::bad_arguments, "'" + from.substr(0, 64) + "' is not an event's number", "", false});
  if (parameter(request, "follow") == "yes") {
    followers_.insert(id);
    return follow(id, *since, {}, reply);
  }
  for (std::uint64_t at = *since;;) {
    const auto batch = desk_.events().after(at, events_at_once);
    const bool more = batch.events.size() == events_at_once;
    reply({OcfCode::success, "", events_json(self_, batch, desk_.events().last()), more});
    if (!more) return;
    at = batch.events.back().number;
  }
}

void AlarmService::follow(ConnectionId id, std::uint64_t since, Instant spoken, const IpcServer::Reply& reply) {
  if (!followers_.contains(id)) return;
  if (unsent_(id)) {  // it reads slowly; what happens meanwhile waits in the ring, not in the socket's queue
    clock_.schedule(look_every, [this, weak = std::weak_ptr<int>(life_), id, since, spoken, reply] {
      if (weak.lock()) follow(id, since, spoken, reply);
    });
    return;
  }
  const auto batch = desk_.events().after(since, events_at_once);
  const Instant now = clock_.now();
  if (!batch.events.empty() || now - spoken >= sign_of_life) {
    reply({OcfCode::success, "", events_json(self_, batch, desk_.events().last()), true});
    if (!batch.events.empty()) since = batch.events.back().number;
    spoken = now;
  }
  const bool more = batch.events.size() == events_at_once;
  clock_.schedule(more ? Milliseconds{0} : look_every, [this, weak = std::weak_ptr<int>(life_), id, since, spoken, reply] {
    if (weak.lock()) follow(id, since, spoken, reply);
  });
}

}  // namespace migrationd::io
