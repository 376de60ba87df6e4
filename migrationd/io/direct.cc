// SPDX-License-Identifier: GPL-2.0-or-later
// See direct.h.
#include "migrationd/io/direct.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/configuration-check.h"
#include "migrationd/io/dead-man.h"
#include "migrationd/io/direct-subject.h"
#include "migrationd/io/journal-files.h"

namespace migrationd::io {

using handoff::Here;
using handoff::Phase;
using wire::OcfCode;

namespace {

constexpr Milliseconds default_timeout{60000};
constexpr Milliseconds longest_look{5000};
/// What a stop leaves of its time for its own answer.
constexpr Milliseconds reserve{3000};

Milliseconds uptime() { return boot_time().since_boot; }

DirectAnswer monitor(const Subject& subject, Milliseconds timeout, const DirectPlaces& places) {
  DirectLook look = look_directly(subject.domain, places.pid_directory, std::min(longest_look, timeout / 2));
  if (look.here == Here::absent) return {OcfCode::not_running, ""};
  handoff::State state;
  state.phase = Phase::held;
  if (subject.record) state = subject.record->record.state;
  // A domain that the journal doesn't know of, or knows as gone, may have been started by hand: it runs.
  bool by_hand = look.here == Here::running && (state.phase == Phase::gone || state.phase == Phase::given);
  if (by_hand) state.phase = Phase::held;
  switch (handoff::monitor(state, look.here)) {
    case handoff::Monitor::running:
      if (look.healthy || look.here != Here::running) return {OcfCode::success, ""};  // a push is under way
      return {OcfCode::error, "domain " + subject.domain.name + " is here but not healthy: " + look.detail};
    case handoff::Monitor::not_running: return {OcfCode::not_running, ""};
    case handoff::Monitor::failed: return {OcfCode::error, "domain " + subject.domain.name + " has failed: " + look.detail};
    case handoff::Monitor::unknown: break;
  }
  return {OcfCode::error, "can't tell whether domain " + subject.domain.name + " runs: " + look.detail};
}

/// Journals `phase` if the record's state makes it right; a stop goes on without, so errors are only said.
void journal_phase(std::optional<StoredRecord>& record, Phase phase, const DirectPlaces& places) {
  Result<std::string> boot = boot_id();
  if (!record || !boot || record->record.state.phase == phase) return;
  record->record.state.phase = phase;
  Outcome stored = store_record(places.state_dir, record->record, boot.value());
  if (!stored) std::fprintf(stderr, "migrationd: %s\n", stored.error().c_str());
}

StopOrder order_of(const resource::Parameters& parameters, const DirectDomain& domain, Milliseconds time) {
  StopOrder order;
  order.domain = domain;
  order.at_once = parameters.force_stop;
  order.shutdown_mode = parameters.shutdown_mode;
  order.time = std::max(time - reserve, time / 2);
  order.shutdown_time = parameters.shutdown_timeout.value_or(order.time * 2 / 3);
  // Whatever the guest is given, a third of the time is left to end its emulator: more than the daemon leaves, because here
  // nobody goes on after the answer, and a libvirt that hangs costs a part of it.
  order.shutdown_time = std::min(order.shutdown_time, order.time * 2 / 3);
  return order;
}

/// The stop and its journal, with the lock held.
DirectAnswer stop_locked(StopOrder order, std::optional<StoredRecord> record, const DirectPlaces& places) {
  order.post_copy = record && record->record.state.post_copy;
  if (record) {
    handoff::State& state = record->record.state;
    if (state.phase == Phase::claim || state.phase == Phase::withdrawn) {
      // A copy that does not execute is left alone: it may have been given to us, and then it is the only one.
      DirectLook look = look_directly(order.domain, places.pid_directory, longest_look);
      if (look.here != Here::running && look.here != Here::unknown) {
        journal_phase(record, Phase::withdrawn, places);
        return {OcfCode::success, ""};
      }
    }
    switch (state.phase) {
      case Phase::claim:
        // The claim may still be granted; the daemon must not take a domain up that was stopped meanwhile.
        journal_phase(record, Phase::withdrawn, places);
        break;
      case Phase::held:
      case Phase::offered:
        state.was_offered = state.phase == Phase::offered;
        journal_phase(record, Phase::stopping, places);
        break;
      case Phase::moving:  // whether the peer got it is the daemon's to find out: the record stays
      case Phase::gone:
      case Phase::withdrawn:
      case Phase::stopping:
      case Phase::given: break;
    }
  }
  Outcome stopped = stop_directly(order, places);
  if (!stopped) return {OcfCode::error, stopped.error()};
  if (record && record->record.state.phase == Phase::stopping) {
    record->record.state.was_offered = false;
    record->record.state.offer_left = Milliseconds{0};
    record->record.state.offer_ends = {};
    journal_phase(record, Phase::gone, places);
  }
  return {OcfCode::success, ""};
}

DirectAnswer stop(const Subject& subject, Milliseconds timeout, const DirectPlaces& places) {
  Milliseconds give_up = uptime() + timeout / 3;
  Result<JournalLock> lock = JournalLock::take(places.state_dir);
  while (!lock && uptime() < give_up) {
    std::this_thread::sleep_for(Milliseconds{200});
    lock = JournalLock::take(places.state_dir);
  }
  if (!lock) return {OcfCode::error, "the stop can't be done beside the daemon: " + lock.error()};
  Milliseconds left = timeout - std::max(Milliseconds{0}, uptime() - (give_up - timeout / 3));
  return stop_locked(order_of(subject.parameters, subject.domain, left), subject.record, places);
}

DirectAnswer stop_in_any_case(const std::string& resource, const std::string& face, const std::map<std::string, std::string>& given,
                              Milliseconds timeout, const DirectPlaces& places) {
  const Milliseconds begin = uptime();
  std::string complaint;
  std::variant<std::optional<Subject>, Refused> found = find_to_stop(resource, face == "lsb", given, places, std::min(longest_look, timeout / 4), complaint);
  DirectAnswer answer{OcfCode::success, ""};
  if (const Refused* refused = std::get_if<Refused>(&found)) answer = {refused->code, refused->reason};
  else if (const std::optional<Subject>& subject = std::get<0>(found))
    answer = stop(*subject, std::max(timeout - (uptime() - begin), timeout / 2), places);
  if (!complaint.empty()) answer.reason += (answer.reason.empty() ? "" : "; ") + complaint;
  return answer;
}

}  // namespace

DirectAnswer direct(const std::string& action, const std::string& resource, const std::string& face,
                    const std::map<std::string, std::string>& parameters, Milliseconds timeout, const DirectPlaces& places) {
  if (timeout.count() <= 0) timeout = default_timeout;
  if (action == "validate-all") {
    Refused said = validate(parameters, places.libvirt_uri, {places.state_dir, resource});
    return {said.code, std::move(said.reason)};
  }
  bool asks = action == "monitor" || action == "status";
  if (!asks && action != "stop")
    return {OcfCode::error, "migrationd does not run, and " + action + " is not done without it: start the migrationd service"};
  if (!asks) return stop_in_any_case(resource, face, parameters, timeout, places);
  std::variant<std::optional<Subject>, Refused> found = find_to_monitor(resource, parameters, places, std::min(longest_look, timeout / 4));
  if (const Refused* refused = std::get_if<Refused>(&found)) return {refused->code, refused->reason};
  const std::optional<Subject>& subject = std::get<std::optional<Subject>>(found);
  return subject ? monitor(*subject, timeout, places) : DirectAnswer{OcfCode::not_running, ""};
}

DirectAnswer dead_man(const DomainUuid& uuid, const DirectPlaces& places) {
  Result<std::string> boot = boot_id();
  if (!boot) return {OcfCode::error, boot.error()};
  Milliseconds job_patience = uptime() + Milliseconds{120000};
  for (;;) {
    Result<JournalLock> lock = JournalLock::take(places.state_dir);
    Result<std::optional<StoredRecord>> record = load_record(places.state_dir, uuid, boot.value());
    if (!record) return {OcfCode::error, record.error()};
    if (!record.value() || record.value()->other_boot) return {OcfCode::success, "there is no offer"};
    const handoff::State& state = record.value()->record.state;
    bool offered = state.phase == Phase::offered, moving = state.phase == Phase::moving && !state.from_held;
    bool stopping = state.phase == Phase::stopping && state.was_offered;
    if (!offered && !moving && !stopping) return {OcfCode::success, "there is no offer"};
    if (!lock) {  // a daemon lives and looks after its offer; but it may still be killed before it has ended it
      std::this_thread::sleep_for(Milliseconds{1000});
      continue;
    }
    if (offered && uptime() < state.offer_ends.since_boot) {
      Milliseconds rest = state.offer_ends.since_boot - uptime();
      lock = Error{"released"};
      std::this_thread::sleep_for(std::min(rest, Milliseconds{1000}));
      continue;
    }
    resource::GoodParameters good = resource::good_parameters(record.value()->record.parameters);
    const resource::Parameters& parameters = good.parsed;
    DirectDomain domain{uuid, record.value()->record.name, uri_of(good.given, places)};
    // A migration may still end well by itself; its offer's time rests meanwhile, but not for ever.
    if (moving && uptime() < job_patience && look_directly(domain, places.pid_directory, longest_look).job) {
      lock = Error{"released"};
      std::this_thread::sleep_for(Milliseconds{1000});
      continue;
    }
    return stop_locked(order_of(parameters, domain, default_timeout), record.value(), places);
  }
}

int direct_main(int argc, char** argv, DirectPlaces places) {
  std::vector<std::string> words;
  for (int i = 0; i < argc; ++i) {
    std::string word = argv[i];
    auto option = [&](const char* name, std::string& value) {
      std::string prefix = std::string("--") + name + "=";
      if (word.rfind(prefix, 0) != 0) return false;
      value = word.substr(prefix.size());
      return true;
    };
    if (!option("state-dir", places.state_dir) && !option("runtime-dir", places.runtime_dir) && !option("pid-dir", places.pid_directory))
      words.push_back(word);
  }
  auto usage = [] {
    std::fprintf(stderr, "usage: migrationd --direct monitor|stop|validate-all|dead-man UUID\n");
    return static_cast<int>(OcfCode::bad_arguments);
  };
  if (words.empty()) return usage();
  DirectAnswer answer;
  if (words[0] == "dead-man" || words[0] == "dead-man-timer") {
    std::optional<DomainUuid> uuid = words.size() > 1 ? DomainUuid::parse(words[1]) : std::nullopt;
    if (!uuid) return usage();
    if (words[0] == "dead-man-timer") {
      long long milliseconds = 0;
      if (words.size() < 3 || std::from_chars(words[2].data(), words[2].data() + words[2].size(), milliseconds).ec != std::errc{}) return usage();
      Outcome waited = wait_as_dead_man(*uuid, Milliseconds(milliseconds), places.runtime_dir);
      if (!waited) {
        std::fprintf(stderr, "migrationd: %s\n", waited.error().c_str());
        return static_cast<int>(OcfCode::error);
      }
    }
    answer = dead_man(*uuid, places);
  } else {
    std::map<std::string, std::string> parameters;
    Milliseconds timeout{0};
    constexpr std::string_view prefix = "OCF_RESKEY_";
    for (char** at = environ; *at != nullptr; ++at) {
      std::string_view text = *at;
      std::size_t equals = text.find('=');
      if (text.substr(0, prefix.size()) != prefix || equals == std::string_view::npos) continue;
      parameters[std::string(text.substr(prefix.size(), equals - prefix.size()))] = text.substr(equals + 1);
    }
    if (auto at = parameters.find("CRM_meta_timeout"); at != parameters.end()) timeout = Milliseconds(std::atoll(at->second.c_str()));
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value == nullptr ? "" : value);
    };
    answer = direct(words[0], variable("OCF_RESOURCE_INSTANCE"), variable("MIGRATIOND_FACE"), parameters, timeout, places);
  }
  if (!answer.reason.empty()) std::fprintf(stderr, "ocf-exit-reason:%s\n", answer.reason.c_str());
  std::fflush(nullptr);
  // Threads that hang in libvirt must not keep the answer back.
  ::_exit(static_cast<int>(answer.code));
}

}  // namespace migrationd::io
