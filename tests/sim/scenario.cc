// SPDX-License-Identifier: GPL-2.0-or-later
// Reading and running a scenario file.
#include "tests/sim/scenario.h"

#include <fstream>
#include <sstream>

namespace migrationd::sim {

Scenario::Scenario(std::string path) : path_(std::move(path)) { read(); }

void Scenario::wrong(int line, const std::string& what) const {
  throw ScenarioError{path_ + ":" + std::to_string(line) + ": " + what};
}

Time Scenario::time_of(int line, const std::string& text) const {
  const std::size_t dot = text.find('.');
  const std::string whole = text.substr(0, dot);
  std::string rest = dot == std::string::npos ? "" : text.substr(dot + 1);
  if (whole.empty() || rest.size() > 3 || (whole + rest).find_first_not_of("0123456789") != std::string::npos) {
    wrong(line, "'" + text + "' is not a time in seconds with at most three decimals");
  }
  rest.resize(3, '0');
  return std::stoll(whole) * 1000 + std::stoll(rest);
}

void Scenario::read() {
  std::ifstream file(path_);
  if (!file) throw ScenarioError{path_ + ":0: can't be read"};
  std::string text;
  int line = 0;
  while (std::getline(file, text)) {
    ++line;
    std::istringstream in(text.substr(0, text.find('#')));
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty()) continue;
    if (end_ >= 0) wrong(line, "nothing may follow the end");
    take_line(line, words);
  }
  if (end_ < 0) wrong(line, "has no 'at SECONDS end'");
  if (!requires_something_) wrong(line, "requires nothing, so it could never fail");
  for (const auto& [when, statement] : timed_) {
    if (when > end_) wrong(statement.line, "comes after the end");
  }
}

void Scenario::take_line(int line, const std::vector<std::string>& words) {
  const auto rest = [&](std::size_t from) { return std::vector<std::string>(words.begin() + from, words.end()); };
  if (words[0] == "nodes") {
    for (const std::string& name : rest(1)) sim_.add_node(name);
  } else if (words[0] == "domain" && words.size() >= 2 && words.size() <= 3) {
    sim_.add_domain(words[1], words.size() == 3 ? std::stoull(words[2]) * 1024 : 512 * 1024);
  } else if (words[0] == "set" && words.size() == 3) {
    set(line, words[1], words[2]);
  } else if (words[0] == "at" && words.size() == 3 && words[2] == "end") {
    end_ = time_of(line, words[1]);
  } else if (words[0] == "at" && words.size() >= 3) {
    const Statement statement{line, rest(2)};
    check_statement(statement);
    timed_.emplace_back(time_of(line, words[1]), statement);
  } else if (words[0] == "when" && words.size() >= 4) {
    // A condition is NODE WORD..., a statement begins with one of the verbs.
    std::size_t split = words[2] == "answered" || words[2] == "ordered" ? 4 : 3;
    while (split < words.size() && !verbs().contains(words[split])) ++split;
    if (split == words.size()) wrong(line, "'when' has a condition and no known word after it");
    const std::vector<std::string> condition(words.begin() + 1, words.begin() + static_cast<std::ptrdiff_t>(split));
    check_condition(line, condition);
    const Statement statement{line, rest(split)};
    check_statement(statement);
    whens_.push_back({statement, condition});
  } else {
    wrong(line, "does not know '" + words[0] + "' (or not with so many words)");
  }
}

std::string Scenario::run() {
  for (const NodeName& name : sim_.node_names()) {
    sim_.queue.at(0, [this, name] {
      if (!sim_.node(name)->powered) sim_.boot(name);
    });
  }
  for (const auto& [when, statement] : timed_) {
    sim_.queue.at(when, [this, statement = statement] { execute(statement); });
  }
  sim_.on_step = [this](const std::string& step) { reached_.push_back(step); };
  sim_.network.fault = [this](const std::string& kind, const NodeName& from, const NodeName& to) {
    const auto found = faults_.find({kind, from, to});
    if (found == faults_.end()) return MessageFault{};
    const MessageFault fault = found->second.first;
    if (--found->second.second == 0) faults_.erase(found);
    sim_.log("*", kind + " from " + from + " to " + to + " is " +
                      (fault.kind == MessageFault::Kind::lost ? "lost"
                       : fault.kind == MessageFault::Kind::late ? "late" : "repeated"));
    return fault;
  };
  sim_.after_event = [this] {
    for (When& when : whens_) {
      if (when.done || !holds(when.condition)) continue;
      when.done = true;
      sim_.queue.at(sim_.now(), [this, statement = when.statement] { execute(statement); });
    }
    reached_.clear();
  };
  sim_.run_until(end_);
  if (!sim_.violation().empty()) return path_ + ": " + sim_.violation();
  if (!failure_.empty()) return failure_;
  for (const When& when : whens_) {
    if (!when.done) return path_ + ":" + std::to_string(when.statement.line) + ": this 'when' never came true";
  }
  return "";
}

}  // namespace migrationd::sim
