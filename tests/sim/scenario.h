// SPDX-License-Identifier: GPL-2.0-or-later
// A scenario file: what happens when, and what must be true. Readable text, one statement a line:
//
//   # comment
//   nodes a b [c]                 set NAME VALUE            domain NAME [MIB]
//   at SECONDS STATEMENT          when CONDITION STATEMENT  (once, the first time after the line before it)
//   at SECONDS end
//
// The words are in scenario-words.cc. An unknown word, a missing `end`, no `require` at all, or a `when` that
// never came true is an error with its file and line, never a pass.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/simulation.h"

namespace migrationd::sim {

struct Statement {
  int line = 0;
  std::vector<std::string> words;
};

/// Thrown for whatever is wrong with a file; the text begins with file:line.
struct ScenarioError {
  std::string text;
};

class Scenario {
 public:
  /// Reads and checks the whole file; throws ScenarioError.
  explicit Scenario(std::string path);

  /// Runs it to its end. Empty when every requirement held; else what failed, with file:line.
  std::string run();
  const std::vector<std::string>& log() const { return sim_.lines(); }

 private:
  struct When {
    Statement statement;
    std::vector<std::string> condition;
    bool done = false;
  };

  [[noreturn]] void wrong(int line, const std::string& what) const;
  void read();
  void take_line(int line, const std::vector<std::string>& words);
  Time time_of(int line, const std::string& text) const;

  // scenario-words.cc
  using Word = void (Scenario::*)(const Statement& statement);
  static const std::map<std::string, Word>& verbs();
  void check_statement(const Statement& statement) const;
  void check_condition(int line, const std::vector<std::string>& words) const;
  void execute(const Statement& statement);
  bool holds(const std::vector<std::string>& condition) const;
  void set(int line, const std::string& name, const std::string& value);

  Node& node_at(const Statement& s, std::size_t word) const;
  const std::string& word_at(const Statement& s, std::size_t word) const;
  DomainUuid domain_at(const Statement& s, std::size_t word) const;
  std::vector<Channel> channels_at(const Statement& s, std::size_t word) const;

  void do_order(const Statement& s);
  void do_handoff(const Statement& s);
  void do_kill_agent(const Statement& s);
  void do_intent(const Statement& s);
  void do_may_stop(const Statement& s);
  void do_judge(const Statement& s);
  void do_by_hand(const Statement& s);
  void do_cut(const Statement& s);
  void do_part(const Statement& s);
  void do_power(const Statement& s);
  void do_daemon(const Statement& s);
  void do_libvirtd(const Statement& s);
  void do_guest(const Statement& s);
  void do_fence(const Statement& s);
  void do_cluster(const Statement& s);
  void do_disk(const Statement& s);
  void do_other_cpu(const Statement& s);
  void do_other_disk(const Statement& s);
  void do_clock(const Statement& s);
  void do_message(const Statement& s);
  void do_leave(const Statement& s);
  void do_forget(const Statement& s);
  void do_file(const Statement& s);
  void do_reinstall(const Statement& s);
  void do_set(const Statement& s);
  void do_require(const Statement& s);

  std::string path_;
  Simulation sim_;
  std::vector<std::pair<Time, Statement>> timed_;
  std::vector<When> whens_;
  std::vector<std::string> reached_;    ///< steps of the event that was just made
  std::map<std::tuple<std::string, NodeName, NodeName>, std::pair<MessageFault, int>> faults_;
  Time end_ = -1;
  bool requires_something_ = false;
  std::string failure_;
};

}  // namespace migrationd::sim
