// SPDX-License-Identifier: GPL-2.0-or-later
// See decision.h.
#include "migrationctl/decision.h"

#include <cstdlib>

#include <sys/utsname.h>

namespace migrationctl {

namespace intent = migrationd::intent;

std::string temporary_directory() {
  const char* set = std::getenv("TMPDIR");
  return set && *set ? set : "/tmp";
}

std::string this_node() {
  utsname names{};
  return uname(&names) == 0 ? names.nodename : "";
}

FromDaemon meet_daemon(const migrationd::NodeName& node) {
  FromDaemon from;
  auto daemon = Daemon::connect();
  if (!daemon) {
    from.trouble = daemon.error();
    return from;
  }
  if (const auto body = daemon.value().ask("ctl-status"); body)
    if (const auto status = read_status(body.value()); status) {
      from.node = status.value().node;
      from.cluster = status.value().cluster;
    }
  if (!node.empty() && node != from.node) from.trouble = "only the daemon on " + node + " knows what was decided there lately";
  else from.daemon.emplace(std::move(daemon.value()));
  return from;
}

void ask_about(const std::string& resource, FromDaemon& from) {
  from.body.clear();
  if (!from.daemon) return;
  from.trouble.clear();
  auto body = from.daemon->ask("ctl-explain", resource);
  if (body) from.body = std::move(body.value());
  else from.trouble = body.error();
}

std::string dump(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

nlohmann::ordered_json in_json(const migrationd::Result<intent::Decision>& decision) {
  nlohmann::ordered_json answer;
  answer["intent"] = nullptr;
  answer["to"] = nullptr;
  if (decision) {
    answer["intent"] = intent::to_string(decision.value().intent);
    if (!decision.value().to.empty()) answer["to"] = decision.value().to;
  }
  answer["reason"] = decision ? decision.value().reason : decision.error();
  return answer;
}

migrationd::Result<intent::Decision> with_daemons(migrationd::Result<intent::Decision> planned, FromDaemon& from, const Domain& domain,
                                                  std::optional<Ready>* answered) {
  if (!domain.real_stop.empty()) return intent::Decision{intent::Intent::stop, {}, domain.real_stop};
  if (!planned) return planned;
  intent::Decision& decision = planned.value();
  if (decision.intent != intent::Intent::offer && decision.intent != intent::Intent::push) return planned;
  const auto unasked = [&](const std::string& why) {
    decision.reason += ", if it is ready, which was not asked: " + why;
    return planned;
  };
  if (from.body.empty()) return unasked(from.trouble);
  const auto said = from.daemon->ask("ctl-ready", domain.name, {{"node", decision.to}});
  const auto ready = said ? read_ready(said.value()) : migrationd::Result<Ready>(migrationd::Error{said.error()});
  if (!ready) return unasked(ready.error());
  if (answered != nullptr) *answered = ready.value();
  if (const auto& word = ready.value().ready; !word.ok()) return intent::with_destination(decision, false, word.error());
  decision.reason += ", and its daemon says that it is ready";
  return planned;
}

}  // namespace migrationctl
