// SPDX-License-Identifier: GPL-2.0-or-later
// Runs scenario files and compares each one's log with NAME.expected beside it.
//
//   simulate [--rewrite] [--log] FILE.scenario...
//
// --rewrite writes the expected logs anew, and then reports those as SKIPPED: what was just written has not
// been compared with anything. A missing expected file is a failure. Exit 0 when nothing failed, 1 otherwise,
// 77 when everything was skipped.
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "tests/sim/scenario.h"

namespace {

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

/// The first line that differs, for people.
std::string difference(const std::string& expected, const std::string& got) {
  std::istringstream left(expected), right(got);
  std::string a, b;
  for (int line = 1;; ++line) {
    const bool more_a = static_cast<bool>(std::getline(left, a));
    const bool more_b = static_cast<bool>(std::getline(right, b));
    if (!more_a && !more_b) return "";
    if (!more_a) a = "(end)";
    if (!more_b) b = "(end)";
    if (a != b) return "line " + std::to_string(line) + "\n  expected: " + a + "\n  got:      " + b;
  }
}

}  // namespace

int main(int argc, char** argv) {
  bool rewrite = false, log = false;
  int passed = 0, failed = 0, skipped = 0;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--rewrite") == 0) {
      rewrite = true;
    } else if (std::strcmp(argv[i], "--log") == 0) {
      log = true;
    } else {
      files.push_back(argv[i]);
    }
  }
  if (files.empty()) {
    std::cerr << "usage: simulate [--rewrite] [--log] FILE.scenario...\n";
    return 2;
  }
  for (const std::string& file : files) {
    std::string why, got;
    try {
      migrationd::sim::Scenario scenario(file);
      why = scenario.run();
      got = text_of(scenario.log());
    } catch (const migrationd::sim::ScenarioError& error) {
      why = error.text;
    }
    if (log) std::cout << got;
    const std::string expected_path = file.substr(0, file.rfind(".scenario")) + ".expected";
    if (why.empty() && rewrite) {
      std::ofstream(expected_path) << got;
      ++skipped;
      std::cout << "SKIPPED " << file << ": its expected log was written anew\n";
      continue;
    }
    if (why.empty()) {
      std::ifstream in(expected_path);
      const std::string expected{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
      if (!in) {
        why = file + ": has no expected log " + expected_path + " (simulate --rewrite makes it)";
      } else if (const std::string differs = difference(expected, got); !differs.empty()) {
        why = file + ": its log differs from " + expected_path + " at " + differs;
      }
    }
    (why.empty() ? passed : failed) += 1;
    std::cout << (why.empty() ? "PASS " : "FAIL ") << (why.empty() ? file : why) << "\n";
  }
  std::cout << passed << " passed, " << failed << " failed, " << skipped << " skipped\n";
  if (failed > 0) return 1;
  return passed > 0 ? 0 : 77;
}
