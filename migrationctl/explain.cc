// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl explain: what a stop of a resource on a node would mean. With --cib from a saved CIB, for any node of
// it and without a daemon or a cluster; destinations are taken for ready then, because nobody can be asked. Without it
// the daemon of this node also says what the scheduler does not know (handoff=off, a domain that is not healthy), has the
// destination asked as a stop would, and says what it decided lately. Either half is worth having when the other can't
// be had: under Heartbeat there is no scheduler to ask, and what decides there is said in its place; and a daemon that is
// down does not silence the scheduler.
#include "migrationctl/commands.h"
#include "migrationctl/decision.h"

#include <iostream>
#include <memory>
#include <string>

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

std::string in_words(const Options& options, const intent::Decision& decision) {
  std::string text = "A stop of " + harmless(options.resource) + " on " + harmless(options.node);
  switch (decision.intent) {
    case intent::Intent::stop: text += " would really stop it"; break;
    case intent::Intent::push: text += " would first push it live to " + harmless(decision.to); break;
    case intent::Intent::offer:
      text += std::string(" would leave it running, offered to ") + harmless(decision.to) + (decision.short_offer ? " for a short time" : "");
      break;
    case intent::Intent::keep: text += " would leave it running, to be taken back by the next start here"; break;
  }
  return text + ": " + harmless(decision.reason) + ".\n";
}

migrationd::Result<intent::Decision> ask_scheduler(const Options& options) {
  SchedulerQuestion question;
  question.resource = options.resource;
  question.node = options.node;
  question.cib_file = options.cib;
  question.directory = temporary_directory();
  question.deadline = migrationd::Milliseconds{60000};
  question.repeats = 0;
  return migrationd::io::explain_stop_now(question);
}

/// Heartbeat plans nothing ahead, so nobody can be asked what a stop of its would be for.
constexpr const char* under_heartbeat =
    "under Heartbeat a stop is judged when it comes, by why Heartbeat stops: shutting down, going to standby or giving the group to the "
    "peer leaves the domain running, offered to the peer, or first pushes it there, if the peer is ready; a stop by hand really stops it";

int complain(const Options& options, const std::string& why) {
  std::cerr << "migrationctl: cannot explain " << harmless(options.resource)
            << (options.node.empty() ? "" : " on " + harmless(options.node)) << ": " << harmless(why) << '\n';
  return failed;
}

int run_offline(const Options& options) {
  const auto decision = ask_scheduler(options);
  if (!decision) return complain(options, decision.error());
  std::cout << (options.json ? dump(in_json(decision)) : in_words(options, decision.value()));
  return success;
}

int run(Options options) {
  if (!options.cib.empty()) return run_offline(options);
  FromDaemon from = meet_daemon(options.node);
  ask_about(options.resource, from);
  if (options.node.empty()) options.node = from.node.empty() ? this_node() : from.node;
  Domain domain;
  if (!from.body.empty()) {
    auto read = read_domain(from.body);
    if (!read) return complain(options, read.error());
    domain = std::move(read.value());
    if (!domain.resource.empty()) options.resource = domain.resource;  // it may have been named by its domain
  }
  const bool heartbeat = from.cluster == "heartbeat";
  const auto decision = with_daemons(heartbeat ? migrationd::Result<intent::Decision>(migrationd::Error{under_heartbeat}) : ask_scheduler(options), from, domain);
  if (!decision && from.body.empty()) return complain(options, from.trouble + "; and " + decision.error());
  if (options.json) {
    auto answer = in_json(decision);
    answer["domain"] = from.body.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json::parse(from.body);
    std::cout << dump(answer);
    return success;
  }
  if (decision) std::cout << in_words(options, decision.value());
  else if (heartbeat) std::cout << "What a stop would mean: " << decision.error() << ".\n";
  else std::cout << "What a stop would mean can't be asked of Pacemaker's scheduler: " << harmless(decision.error()) << ".\n";
  if (from.body.empty()) std::cout << "The daemon's own decisions are not known: " << harmless(from.trouble) << ".\n";
  else std::cout << domain_text(domain, options.node);
  return success;
}

}  // namespace

void add_explain(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("explain", "What a stop of a resource would mean and why, and what was decided lately");
  command->add_option("RESOURCE", options->resource, "the domain's resource, by its name in the CIB")->required();
  command->add_option("--cib", options->cib, "a saved CIB (default: the cluster's, now)")->type_name("FILE");
  auto* node = command->add_option("--node", options->node, "the node of the stop (default: this one)")->type_name("NODE");
  command->get_option("--cib")->needs(node);
  command->add_flag("--json", options->json, "print the answer as JSON");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace migrationctl
