// SPDX-License-Identifier: GPL-2.0-or-later
// The tables of status, watch and explain.
#include "migrationctl/status-view.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace migrationctl {

using Json = nlohmann::json;
using migrationd::Error;

namespace {

constexpr const char* between = "  ";

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found == json.end() || found->is_null() ? "" : found->get<std::string>();
}

bool flag_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && !found->is_null() && found->get<bool>();
}

Json list_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) return Json::array();
  if (!found->is_array()) throw Json::type_error::create(302, std::string(name) + " is no list", &json);
  return *found;
}

/// find() finds nothing in what is no object, and says no word of it.
const Json& object(const Json& json) {
  if (!json.is_object()) throw Json::type_error::create(302, "an element of a list is no object", &json);
  return json;
}

Job job_of(const Json& json) {
  Job job;
  job.elapsed = Milliseconds{json.value("elapsed_ms", std::int64_t{0})};
  job.total_bytes = json.value("total_bytes", std::uint64_t{0});
  job.remaining_bytes = json.value("remaining_bytes", std::uint64_t{0});
  job.bytes_per_second = json.value("bytes_per_second", std::uint64_t{0});
  job.iteration = json.value("iteration", std::uint64_t{0});
  job.plan = text_of(json, "plan");
  return job;
}

Domain domain_of(const Json& json) {
  Domain domain;
  domain.name = text_of(json, "name");
  domain.resource = text_of(json, "resource");
  domain.phase = text_of(json, "phase");
  domain.here = text_of(json, "here");
  domain.detail = text_of(json, "detail");
  domain.healthy = flag_of(json, "healthy");
  domain.peer = text_of(json, "peer");
  domain.holder = text_of(json, "holder");
  domain.moved_to = text_of(json, "moved_to");
  domain.definition_from = text_of(json, "definition_from");
  domain.doubt = text_of(json, "doubt");
  domain.real_stop = text_of(json, "real_stop");
  if (const auto left = json.find("offer_left_ms"); left != json.end() && !left->is_null()) {
    domain.offer_left = Milliseconds{left->get<std::int64_t>()};
  }
  if (const auto job = json.find("job"); job != json.end() && !job->is_null()) domain.job = job_of(object(*job));
  for (const Json& one : list_of(json, "history")) {
    object(one);
    domain.history.push_back({Milliseconds{one.value("ago_ms", std::int64_t{0})}, text_of(one, "text"), flag_of(one, "alarm")});
  }
  return domain;
}

Status status_of(const Json& json) {
  Status status;
  status.node = text_of(json, "node");
  status.cluster = text_of(json, "cluster");
  status.hypervisor = text_of(json, "hypervisor");
  for (const Json& one : list_of(json, "warnings")) status.warnings.push_back(one.get<std::string>());
  for (const Json& one : list_of(json, "domains")) status.domains.push_back(domain_of(object(one)));
  for (const Json& one : list_of(json, "peers")) {
    status.peers.push_back({text_of(object(one), "node"), flag_of(one, "linked"), flag_of(one, "member"), flag_of(one, "farewell")});
  }
  return status;
}

template <class F>
auto read(const std::string& text, F reader) -> Result<decltype(reader(Json()))> {
  try {
    const Json json = Json::parse(text);
    if (!json.is_object()) return Error{"migrationd's answer is no JSON object: is it of another version?"};
    return reader(json);
  } catch (const Json::exception& error) {
    return Error{std::string("migrationd's answer can't be understood (is it of another version?): ") + error.what()};
  }
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Columns that a UTF-8 text takes, each character taken for one.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string cut(const std::string& text, std::size_t width) {
  if (width == 0 || width_of(text) <= width) return text;
  std::size_t end = 0;
  for (std::size_t columns = 0; end < text.size(); ++end) {
    if (!continues(text[end]) && columns++ == width - 1) break;
  }
  return text.substr(0, end) + ">";
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : harmless(text); }

/// The word of the manual, `place`, and what the hypervisor adds.
std::string state_of(const Domain& domain, const std::string& place = "") {
  const bool adds = !domain.detail.empty() && domain.here != "absent";
  const bool itself = adds && domain.detail.starts_with(domain.here);
  std::string state = or_dash(itself ? domain.detail : domain.here) + place;
  if (adds && !itself) state += ": " + harmless(domain.detail);
  if (domain.here == "running" && !domain.healthy) state += " (not healthy)";
  return state;
}

/// Where it is, as far as this node knows.
std::string where(const Domain& domain, const std::string& node) {
  if (domain.phase == "moving") return harmless(node) + " -> " + or_dash(domain.peer);
  if (domain.phase == "given") return or_dash(domain.peer);
  if (domain.phase == "held" || domain.phase == "offered" || domain.phase == "stopping" || domain.here == "running") {
    return harmless(node);
  }
  return domain.holder == node ? "-" : or_dash(domain.holder);
}

std::string percent_text(const Job& job) { return job.total_bytes == 0 ? "-" : std::to_string(percent_of(job)) + " %"; }

std::string rate_text(const Job& job) { return job.bytes_per_second == 0 ? "-" : size_text(job.bytes_per_second) + "/s"; }

/// A migration by hand has no peer that the daemon knows.
std::string way_of(const Domain& domain, const std::string& node) {
  return harmless(node) + " -> " + (domain.peer.empty() ? "?" : harmless(domain.peer));
}

/// The migrations that run now.
Table migrations(const Status& status) {
  Table table;
  for (const Domain& domain : status.domains) {
    if (!domain.job) continue;
    const Job& job = *domain.job;
    if (table.empty()) table.push_back({"MIGRATION", "WAY", "DONE", "LEFT", "OF", "RATE", "PASS", "TIME", "PLAN"});
    table.push_back({or_dash(domain.name), way_of(domain, status.node), percent_text(job),
                     job.total_bytes == 0 ? "-" : size_text(job.remaining_bytes), job.total_bytes == 0 ? "-" : size_text(job.total_bytes),
                     rate_text(job), job.iteration == 0 ? "-" : std::to_string(job.iteration), duration_text(job.elapsed), or_dash(job.plan)});
  }
  return table;
}

/// The same of one, for lines of text.
std::string in_short(const Job& job) {
  if (job.total_bytes == 0) return job.plan.empty() ? "begins, " + duration_text(job.elapsed) : harmless(job.plan);
  std::string text = percent_text(job) + " done, " + size_text(job.remaining_bytes) + " of " + size_text(job.total_bytes) + " left";
  if (job.bytes_per_second != 0) text += ", " + rate_text(job);
  if (job.iteration != 0) text += ", pass " + std::to_string(job.iteration);
  text += ", " + duration_text(job.elapsed);
  return job.plan.empty() ? text : text + "; " + harmless(job.plan);
}

std::string in_short(const Domain& domain, const std::string& node) {
  std::string text = or_dash(domain.phase);
  if (const std::string place = where(domain, node); place != "-") {
    text += (domain.phase == "gone" ? ", last held by " : domain.phase == "moving" ? " " : " on ") + place;
  }
  text += ", " + state_of(domain, " here");
  if (!domain.doubt.empty()) text += "; " + harmless(domain.doubt);
  return text;
}

std::string in_short(const Peer& peer) {
  if (peer.farewell) return "left in order";
  return std::string(peer.linked ? "linked" : "not linked") + (peer.member ? ", member" : ", not a member");
}

}  // namespace

std::string table_text(const Table& table, std::size_t width) {
  std::vector<std::size_t> columns;
  for (const auto& row : table) {
    columns.resize(std::max(columns.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) columns[i] = std::max(columns[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += (i == 0 ? "" : between) + row[i];
      if (i + 1 < row.size()) line.append(columns[i] - width_of(row[i]), ' ');
    }
    text += cut(line, width) + "\n";
  }
  return text;
}

Result<Status> read_status(const std::string& json) { return read(json, status_of); }

Result<Domain> read_domain(const std::string& json) { return read(json, domain_of); }

Result<std::vector<std::string>> read_forgotten(const std::string& json) {
  return read(json, [](const Json& answer) {
    std::vector<std::string> domains;
    for (const Json& one : list_of(answer, "domains")) domains.push_back(one.get<std::string>());
    return domains;
  });
}

Result<Ready> read_ready(const std::string& json) {
  return read(json, [](const Json& answer) -> Ready {
    Ready one{flag_of(answer, "ready") ? migrationd::Outcome(migrationd::Done{}) : migrationd::Outcome(Error{text_of(answer, "why")})};
    if (const auto takes = answer.find("takes_ms"); takes != answer.end() && !takes->is_null()) one.takes = Milliseconds{takes->get<std::int64_t>()};
    if (const auto priority = answer.find("priority"); priority != answer.end()) one.priority = priority->get<int>();
    return one;
  });
}

std::string harmless(const std::string& text) {
  std::string clean;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters, too; in UTF-8 they begin with 0xc2.
    const bool c1 = c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    clean += c < 0x20 || c == 0x7f || c1 ? '?' : text[i];
  }
  return clean;
}

std::string duration_text(Milliseconds time) {
  const auto seconds = std::max<std::int64_t>(time.count(), 0) / 1000;
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
  return std::to_string(seconds / 3600) + " h " + std::to_string(seconds / 60 % 60) + " min";
}

unsigned percent_of(const Job& job) {
  if (job.total_bytes == 0) return 0;
  const std::uint64_t left = std::min(job.remaining_bytes, job.total_bytes);
  return static_cast<unsigned>(100 * (1 - static_cast<double>(left) / static_cast<double>(job.total_bytes)));
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::uint64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;
  if (bytes < mib) return std::to_string(bytes / kib) + " KiB";
  if (bytes < 10 * gib) return std::to_string(bytes / mib) + " MiB";
  return std::to_string(bytes / gib) + " GiB";
}

std::string status_text(const Status& status, std::size_t width) {
  std::string text = cut("Node " + harmless(status.node) + ": the hypervisor " + or_dash(status.hypervisor), width) + "\n";
  for (const auto& warning : status.warnings) text += cut("Warning: " + harmless(warning), width) + "\n";
  text += "\n";
  if (status.domains.empty()) text += "No domain is known here.\n";
  else {
    Table table{{"DOMAIN", "RESOURCE", "STATE HERE", "PHASE", "WHERE", "OFFER", "DOUBT"}};
    for (const Domain& domain : status.domains) {
      table.push_back({or_dash(domain.name), or_dash(domain.resource), state_of(domain), or_dash(domain.phase),
                       where(domain, status.node), domain.offer_left ? duration_text(*domain.offer_left) : "-",
                       or_dash(domain.doubt)});
    }
    text += table_text(table, width);
  }
  for (const Domain& domain : status.domains)
    if (!domain.definition_from.empty()) text += cut("Definition of " + harmless(domain.name) + ": " + harmless(domain.definition_from), width) + "\n";
  if (const Table moving = migrations(status); !moving.empty()) text += "\n" + table_text(moving, width);
  text += "\n";
  if (status.peers.empty()) return text + "No other node is configured.\n";
  Table table{{"NODE", "LINK", "MEMBER"}};
  for (const Peer& peer : status.peers) {
    table.push_back({or_dash(peer.node), peer.linked ? "up" : peer.farewell ? "down (left in order)" : "down",
                     peer.member ? "yes" : "no"});
  }
  return text + table_text(table, width);
}

std::vector<std::string> changes(const std::optional<Status>& before, const Status& after) {
  std::vector<std::string> lines;
  const Status nothing;
  const Status& old = before ? *before : nothing;
  if (!before || old.hypervisor != after.hypervisor) lines.push_back("the hypervisor " + or_dash(after.hypervisor));
  for (const auto& warning : after.warnings) {
    const bool known = std::find(old.warnings.begin(), old.warnings.end(), warning) != old.warnings.end();
    if (!known) lines.push_back("warning: " + harmless(warning));
  }
  for (const Peer& peer : after.peers) {
    const auto found = std::find_if(old.peers.begin(), old.peers.end(), [&](const Peer& p) { return p.node == peer.node; });
    if (found == old.peers.end() || in_short(*found) != in_short(peer)) {
      lines.push_back("node " + harmless(peer.node) + ": " + in_short(peer));
    }
  }
  for (const Domain& domain : after.domains) {
    const auto found = std::find_if(old.domains.begin(), old.domains.end(), [&](const Domain& d) { return d.name == domain.name; });
    const std::string now = in_short(domain, after.node);
    if (found == old.domains.end() || in_short(*found, old.node) != now) lines.push_back(harmless(domain.name) + ": " + now);
    if (domain.job && (found == old.domains.end() || found->job != domain.job))
      lines.push_back(harmless(domain.name) + ": migration " + way_of(domain, after.node) + ": " + in_short(*domain.job));
  }
  for (const Domain& domain : old.domains) {
    const bool still = std::any_of(after.domains.begin(), after.domains.end(), [&](const Domain& d) { return d.name == domain.name; });
    if (!still) lines.push_back(harmless(domain.name) + ": not known here any more");
  }
  return lines;
}

std::string domain_text(const Domain& domain, const std::string& node) {
  std::string text = "Domain " + harmless(domain.name) + ": " + in_short(domain, node) + ".\n";
  if (domain.offer_left) text += "Its offer stands for another " + duration_text(*domain.offer_left) + ", then it is really stopped.\n";
  if (!domain.definition_from.empty()) text += "Its definition: " + harmless(domain.definition_from) + ".\n";
  if (domain.history.empty()) return text + "No decision about it since the daemon started.\n";
  text += "Recent decisions on " + harmless(node) + ":\n";
  Table table;
  for (const Remark& remark : domain.history) {
    table.push_back({"  " + duration_text(remark.ago) + " ago", remark.alarm ? "!" : " ", harmless(remark.text)});
  }
  return text + table_text(table, 0);
}

}  // namespace migrationctl
