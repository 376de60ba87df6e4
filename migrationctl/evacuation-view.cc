// SPDX-License-Identifier: GPL-2.0-or-later
// See evacuation-view.h.
#include "migrationctl/evacuation-view.h"

#include <algorithm>
#include <array>

namespace migrationctl {

namespace {

constexpr std::size_t bar_width = 24;

bool has_left(Leave state) { return state == Leave::live || state == Leave::stopped; }

unsigned percent(const Leaving& domain) { return has_left(domain.state) ? 100 : domain.state == Leave::moving ? percent_of(domain.job) : 0; }

std::string bar(unsigned percent) {
  const std::size_t full = bar_width * std::min(percent, 100U) / 100;
  return "[" + std::string(full, '#') + std::string(bar_width - full, '-') + "]";
}

std::string words(const Leaving& domain) {
  const std::string to = domain.to.empty() ? "" : " to " + harmless(domain.to);
  switch (domain.state) {
    case Leave::waiting: return "waits";
    case Leave::moving: {
      std::string text = "moves" + to;
      if (domain.job.total_bytes != 0) text += ", " + size_text(domain.job.remaining_bytes) + " left";
      if (domain.job.bytes_per_second != 0) text += ", " + size_text(domain.job.bytes_per_second) + "/s";
      return domain.job.plan.empty() ? text : text + "; " + harmless(domain.job.plan);
    }
    case Leave::live: return "moved live" + to;
    case Leave::stopping: return "is being stopped";
    case Leave::stopped: return domain.to.empty() ? "stopped" : "restarted on " + harmless(domain.to);
    case Leave::stays: return "stays";
  }
  return "?";
}

/// The state that the daemon's word on a domain comes to.
Leave state_of(const Domain* domain, bool known) {
  if (!domain) return known ? Leave::stopped : Leave::waiting;  // its record was dropped, or there is none before it is asked
  if (domain->phase == "moving" || domain->phase == "offered") return Leave::moving;
  if (domain->phase == "given") return Leave::live;
  if (domain->phase == "stopping") return Leave::stopping;
  if (domain->phase == "gone" && domain->here == "absent") return domain->moved_to.empty() ? Leave::stopped : Leave::live;
  return Leave::waiting;
}

}  // namespace

const char* to_string(Leave state) {
  switch (state) {
    case Leave::waiting: return "waiting";
    case Leave::moving: return "moving";
    case Leave::live: return "live";
    case Leave::stopping: return "stopping";
    case Leave::stopped: return "stopped";
    case Leave::stays: return "stays";
  }
  return "?";
}

Evacuation::Evacuation(const std::vector<std::string>& resources, const Status& status) {
  for (const std::string& resource : resources) {
    Leaving one;
    one.resource = resource;
    const auto found = std::find_if(status.domains.begin(), status.domains.end(), [&](const Domain& domain) { return domain.resource == resource; });
    one.known = found != status.domains.end();
    one.healthy = found == status.domains.end() || found->healthy;
    domains_.push_back(std::move(one));
  }
}

bool Evacuation::observe(const Status& status, Milliseconds elapsed) {
  bool different = false;
  for (Leaving& one : domains_) {
    const auto found = std::find_if(status.domains.begin(), status.domains.end(), [&](const Domain& domain) { return domain.resource == one.resource; });
    const Domain* domain = found == status.domains.end() ? nullptr : &*found;
    one.known = one.known || domain;
    const Leave state = state_of(domain, one.known);
    const Job job = domain && domain->job ? *domain->job : state == Leave::moving ? one.job : Job{};
    const std::string to = !domain || state == Leave::waiting ? "" : state == Leave::live && !domain->moved_to.empty() ? domain->moved_to : domain->peer;
    different = different || state != one.state || job != one.job || (!to.empty() && to != one.to);
    if (has_left(state) && !has_left(one.state)) one.took = elapsed;
    one.state = state;
    one.job = job;
    if (!to.empty() || !has_left(state)) one.to = to;
  }
  return different;
}

void Evacuation::nothing_left_to_do() {
  for (Leaving& one : domains_)
    if (!has_left(one.state)) one.state = Leave::stays;
}

void Evacuation::found_on(const std::string& resource, const std::string& node) {
  for (Leaving& one : domains_)
    if (one.resource == resource && one.state == Leave::stopped) one.to = node;
}

bool Evacuation::finished() const {
  return std::all_of(domains_.begin(), domains_.end(), [](const Leaving& one) { return has_left(one.state) || one.state == Leave::stays; });
}

bool Evacuation::good() const {
  return std::all_of(domains_.begin(), domains_.end(), [](const Leaving& one) { return one.state == Leave::live || !one.healthy; });
}

std::string Evacuation::bars(std::size_t width) const {
  Table table;
  unsigned sum = 0;
  std::size_t left = 0;
  for (const Leaving& one : domains_) {
    sum += percent(one);
    left += has_left(one.state) ? 1 : 0;
    table.push_back({harmless(one.resource), bar(percent(one)), std::to_string(percent(one)) + " %", words(one)});
  }
  if (domains_.empty()) return {};
  const auto all = static_cast<unsigned>(domains_.size());
  table.push_back({"all", bar(sum / all), std::to_string(sum / all) + " %", std::to_string(left) + " of " + std::to_string(all) + " left"});
  return table_text(table, width);
}

std::string Evacuation::summary(const std::string& node) const {
  Table table = {{"RESOURCE", "RESULT", "TO", "AFTER"}};
  std::array<std::size_t, 4> counts{};  // live, restarted, stopped, still here
  for (const Leaving& one : domains_) {
    const bool restarted = one.state == Leave::stopped && !one.to.empty();
    ++counts[one.state == Leave::live ? 0 : restarted ? 1 : one.state == Leave::stopped ? 2 : 3];
    table.push_back({harmless(one.resource), one.state == Leave::live ? "moved live" : restarted ? "restarted" : has_left(one.state) ? "stopped" : one.state == Leave::stays ? "stays" : words(one),
                     one.to.empty() ? "-" : harmless(one.to), has_left(one.state) ? duration_text(one.took) : "-"});
  }
  return table_text(table, 0) + "Of " + std::to_string(domains_.size()) + " domains of " + harmless(node) + ", " + std::to_string(counts[0]) + " moved live, " +
         std::to_string(counts[1]) + " restarted, " + std::to_string(counts[2]) + " stopped, " + std::to_string(counts[3]) + " still there.\n";
}

nlohmann::ordered_json Evacuation::json(const Leaving& domain) {
  nlohmann::ordered_json one;
  one["resource"] = domain.resource;
  one["state"] = to_string(domain.state);
  one["to"] = domain.to.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(domain.to);
  one["percent"] = percent(domain);
  one["took_ms"] = has_left(domain.state) ? nlohmann::ordered_json(domain.took.count()) : nlohmann::ordered_json(nullptr);
  return one;
}

}  // namespace migrationctl
