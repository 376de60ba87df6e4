// SPDX-License-Identifier: GPL-2.0-or-later
// The engine's state as JSON.
#include "migrationd/io/status-json.h"

#include <nlohmann/json.hpp>

namespace migrationd::io {

using Json = nlohmann::json;
using handoff::Phase;

namespace {

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json job_json(const JobProgress& job) {
  return {{"elapsed_ms", job.elapsed.count()},
          {"total_bytes", job.total_bytes},
          {"remaining_bytes", job.remaining_bytes},
          {"bytes_per_second", job.bytes_per_second},
          {"iteration", job.iteration},
          {"written_bytes_per_second", job.written_bytes_per_second},
          {"throttle_percent", job.throttle_percent},
          {"plan", job.plan}};
}

Json domain_json(const engine::DomainStatus& domain) {
  Json json = {{"uuid", domain.uuid.str()},
               {"name", domain.name},
               {"resource", domain.resource},
               {"phase", handoff::to_string(domain.state.phase)},
               {"here", handoff::to_string(domain.view.here)},
               {"detail", domain.view.detail},
               {"healthy", domain.view.healthy},
               {"epoch", domain.state.epoch.value},
               {"doubt", domain.state.doubt}};
  const bool moves = domain.state.phase == Phase::moving || domain.state.phase == Phase::given;
  json["peer"] = moves ? Json(domain.state.peer) : Json(nullptr);
  json["holder"] = domain.state.noted.node.empty() ? Json(nullptr) : Json(domain.state.noted.node);
  json["moved_to"] = domain.moved_to.empty() ? Json(nullptr) : Json(domain.moved_to);
  json["definition_from"] = domain.definition_from.empty() ? Json(nullptr) : Json(domain.definition_from);
  json["offer_left_ms"] = domain.state.phase == Phase::offered ? Json(domain.offer_left.count()) : Json(nullptr);
  return json;
}

std::vector<std::string> warnings_of(const std::vector<engine::DomainStatus>& domains, const StatusFacts& facts) {
  const std::string partition =
      "unfenced=membership: a node that is not a member counts as absent without being fenced; a partition may run ";
  std::vector<std::string> warnings;
  if (facts.unfenced_membership) warnings.push_back(partition + "a domain twice");
  for (const auto& domain : domains)
    if (domain.unfenced_membership && !facts.unfenced_membership)
      warnings.push_back("resource " + domain.resource + " has " + partition + "it twice");
  warnings.insert(warnings.end(), facts.warnings.begin(), facts.warnings.end());
  return warnings;
}

}  // namespace

std::string status_json(const engine::Engine& engine, const StatusFacts& facts) {
  const auto domains = engine.domains();
  Json json = {{"node", facts.self}, {"cluster", facts.cluster}, {"hypervisor", engine.hypervisor_usable() ? "answers" : "does not answer"}};
  json["warnings"] = warnings_of(domains, facts);
  json["domains"] = Json::array();
  for (const auto& domain : domains) {
    Json one = domain_json(domain);
    const auto job = facts.jobs.find(domain.uuid);
    one["job"] = job == facts.jobs.end() ? Json(nullptr) : job_json(job->second);
    json["domains"].push_back(std::move(one));
  }
  json["peers"] = Json::array();
  for (const auto& peer : engine.peers()) {
    json["peers"].push_back(
        {{"node", peer.node}, {"linked", peer.linked}, {"member", peer.member}, {"farewell", peer.farewell}});
  }
  return dump(json);
}

std::optional<engine::DomainStatus> domain_named(const engine::Engine& engine, const std::string& name) {
  for (auto& domain : engine.domains())
    if (domain.name == name || domain.resource == name || domain.uuid.str() == name) return std::move(domain);
  return {};
}

std::vector<std::string> held_last_by(const engine::Engine& engine, const NodeName& node) {
  std::vector<std::string> names;
  for (const auto& domain : engine.domains())
    if (domain.state.noted.node == node) names.push_back(domain.name);
  return names;
}

std::string forgotten_json(const std::vector<std::string>& domains) { return dump({{"domains", domains}}); }

std::string explain_json(const engine::DomainStatus& domain, Instant now) {
  Json json = domain_json(domain);
  json["real_stop"] = domain.real_stop.empty() ? Json(nullptr) : Json(domain.real_stop);
  json["history"] = Json::array();
  for (const auto& remark : domain.remarks) {
    json["history"].push_back({{"ago_ms", (now - remark.at).count()}, {"text", remark.text}, {"alarm", remark.alarm}});
  }
  return dump(json);
}

std::string ready_json(const engine::WouldTake& answer) {
  return dump({{"ready", answer.ready.ok()},
               {"why", answer.ready.ok() ? Json(nullptr) : Json(answer.ready.error())},
               {"takes_ms", answer.takes ? Json(answer.takes->count()) : Json(nullptr)},
               {"priority", answer.priority}});
}

}  // namespace migrationd::io
