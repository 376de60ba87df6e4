// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl explain: what a stop of a resource on a node would mean. With --cib from a saved CIB, for any node of
// it and without a daemon or a cluster; destinations are taken for ready then, because nobody can be asked.
#include "migrationctl/commands.h"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include "migrationd/intent/intent.h"
#include "migrationd/io/crm-simulate.h"

namespace migrationctl {

namespace {

namespace intent = migrationd::intent;
using migrationd::io::SchedulerQuestion;

struct Options {
  std::string resource;
  std::string cib;
  std::string node;
  bool json = false;
};

std::string temporary_directory() {
  const char* set = std::getenv("TMPDIR");
  return set && *set ? set : "/tmp";
}

std::string this_node() {
  utsname names{};
  return uname(&names) == 0 ? names.nodename : "";
}

std::string in_words(const Options& options, const intent::Decision& decision) {
  std::string text = "A stop of " + options.resource + " on " + options.node;
  switch (decision.intent) {
    case intent::Intent::stop: text += " would really stop it"; break;
    case intent::Intent::push: text += " would first push it live to " + decision.to; break;
    case intent::Intent::offer:
      text += std::string(" would leave it running, offered to ") + decision.to + (decision.short_offer ? " for a short time" : "");
      break;
    case intent::Intent::keep: text += " would leave it running, to be taken back by the next start here"; break;
  }
  return text + ": " + decision.reason + ".\n";
}

void print(const Options& options, const intent::Decision& decision) {
  if (!options.json) {
    std::cout << in_words(options, decision);
    return;
  }
  nlohmann::ordered_json answer;
  answer["intent"] = intent::to_string(decision.intent);
  answer["to"] = decision.to.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(decision.to);
  answer["reason"] = decision.reason;
  // A CIB may hold names that are not UTF-8: they are shown with replacement characters, not thrown at.
  std::cout << answer.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
}

int run(Options options) {
  if (options.node.empty()) options.node = this_node();
  SchedulerQuestion question;
  question.resource = options.resource;
  question.node = options.node;
  question.cib_file = options.cib;
  question.directory = temporary_directory();
  question.deadline = migrationd::Milliseconds{60000};
  question.repeats = 0;
  auto decision = migrationd::io::explain_stop_now(question);
  if (!decision) {
    std::cerr << "migrationctl: cannot explain " << options.resource << " on " << options.node << ": " << decision.error() << '\n';
    return failed;
  }
  print(options, decision.value());
  return success;
}

}  // namespace

void add_explain(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("explain", "What a stop of a resource would mean, and why");
  command->add_option("RESOURCE", options->resource, "the domain's resource, by its name in the CIB")->required();
  command->add_option("--cib", options->cib, "a saved CIB (default: the cluster's, now)")->type_name("FILE");
  auto* node = command->add_option("--node", options->node, "the node of the stop (default: this one)")->type_name("NODE");
  command->get_option("--cib")->needs(node);
  command->add_flag("--json", options->json, "print the answer as JSON");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace migrationctl
