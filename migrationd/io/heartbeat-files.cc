// SPDX-License-Identifier: GPL-2.0-or-later
// ha.cf and haresources, line by line.
#include "migrationd/io/heartbeat-files.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace migrationd::io {

namespace {

std::vector<std::string> words(const std::string& line) {
  std::istringstream stream(line.substr(0, line.find('#')));
  std::vector<std::string> all;
  std::string word;
  while (stream >> word) all.push_back(word);
  return all;
}

std::string joined(const std::vector<std::string>& all, std::size_t from) {
  std::string text;
  for (std::size_t i = from; i < all.size(); ++i) text += (text.empty() ? "" : " ") + all[i];
  return text;
}

/// "script::arg1::arg2" names what "script arg1 arg2" would start.
bool names(const std::string& entry, const std::string& resource) {
  return entry == resource || entry == "migrationd::" + resource;
}

}  // namespace

NodeName heartbeat_name(NodeName name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

Result<HaCf> parse_ha_cf(const std::string& text) {
  HaCf cf;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    const std::vector<std::string> all = words(line);
    if (all.empty()) continue;
    const std::string& name = all.front();
    if (name == "node") {
      for (std::size_t i = 1; i < all.size(); ++i) cf.nodes.push_back(heartbeat_name(all[i]));
    } else if (name == "ucast" && all.size() >= 3) {
      cf.peers.push_back(all[2]);
    } else if (name == "stonith" && all.size() >= 3) {
      cf.stonith.push_back({"*", all[1], "", all[2]});
    } else if (name == "stonith_host" && all.size() >= 4) {
      cf.stonith.push_back({heartbeat_name(all[1]), all[2], joined(all, 3), ""});
    }
  }
  if (cf.nodes.empty()) return Error{"it has no 'node' line"};
  return cf;
}

std::vector<HaresourcesLine> parse_haresources(const std::string& text) {
  std::vector<HaresourcesLine> all;
  std::istringstream lines(text);
  std::string line;
  std::string joined;
  while (std::getline(lines, line)) {
    line = line.substr(0, line.find('#'));
    if (!line.empty() && line.back() == '\\') {
      joined += line.substr(0, line.size() - 1) + " ";
      continue;
    }
    std::vector<std::string> found = words(joined + line);
    joined.clear();
    if (found.size() < 2) continue;
    HaresourcesLine one{heartbeat_name(found.front()), {found.begin() + 1, found.end()}};
    all.push_back(std::move(one));
  }
  return all;
}

std::vector<std::string> left_of(const std::vector<HaresourcesLine>& lines, const std::string& resource,
                                 HaresourcesLine* line) {
  for (const HaresourcesLine& one : lines) {
    const auto found = std::find_if(one.resources.begin(), one.resources.end(),
                                    [&](const std::string& entry) { return names(entry, resource); });
    if (found == one.resources.end()) continue;
    if (line != nullptr) *line = one;
    return {one.resources.begin(), found};
  }
  return {};
}

}  // namespace migrationd::io
