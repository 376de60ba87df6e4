// SPDX-License-Identifier: GPL-2.0-or-later
// See cluster.h. Each command is awaited on a loop of its own, so that breaking it off is to throw the loop away, with which the
// command is killed; it has a process group of its own, which a terminal's Ctrl-C does not reach.
#include "migrationctl/cluster.h"

#include <csignal>
#include <fstream>
#include <optional>

#include <pugixml.hpp>

#include "migrationctl/adoption-cib.h"
#include "migrationctl/decision.h"
#include "migrationd/io/process.h"
#include "migrationd/io/scheduler-graph.h"
#include "migrationd/io/scheduler-xml.h"
#include "migrationd/io/working-directory.h"

namespace migrationctl {

using migrationd::Done;
using migrationd::Error;
using migrationd::Outcome;
using migrationd::Result;
using std::chrono::seconds;
namespace io = migrationd::io;

namespace {

constexpr int timed_out = 124;         // CRM_EX_TIMEOUT
constexpr int missing_here = 5;        // OCF_ERR_INSTALLED
constexpr const char* reason_mark = "ocf-exit-reason:";

/// The loss of the terminal is an interrupt, too, unless nohup said that it is none.
void watch_terminal(boost::asio::signal_set& signals) {
  static const bool counts = [] {
    struct sigaction now{};
    return sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler != SIG_IGN;
  }();
  if (counts) signals.add(SIGHUP);
}

/// What an agent gave as its reason; else all that it said.
std::string reason_in(const std::string& said) {
  const auto at = said.find(reason_mark);
  const std::string text = at == std::string::npos ? said : said.substr(at + std::string(reason_mark).size());
  return text.substr(0, text.find('\n'));
}

}  // namespace

bool is_standby(const std::string& value) { return io::scheduler_xml::truth(value); }

Cluster::Cluster() {
  std::signal(SIGPIPE, SIG_IGN);  // nobody listens any more: what is begun must be ended or put back all the same
  watch_terminal(signals_);
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) asked_ = true;
  });
}

bool Cluster::interrupted() {
  loop_.restart();
  loop_.poll();
  return asked_ && !patient_;
}

Result<Cluster::Ended> Cluster::run(std::vector<std::string> argv, seconds time, bool breakable) {
  if (breakable && interrupted()) return Error{"it was interrupted"};
  boost::asio::io_context loop;
  io::ProcessOrder order;
  order.argv = std::move(argv);
  order.deadline = time;
  order.output_limit = io::scheduler_text_limit;
  std::optional<Result<io::ProcessEnd>> end;
  io::run_process(loop.get_executor(), order, [&](Result<io::ProcessEnd> result) {
    end.emplace(std::move(result));
    loop.stop();
  });
  boost::asio::signal_set signals(loop, SIGINT, SIGTERM);
  watch_terminal(signals);
  if (breakable && !patient_)
    signals.async_wait([&](const boost::system::error_code& error, int) {
      if (!error) loop.stop();
    });
  loop.run();
  if (!end) return Error{"it was interrupted"};
  if (!end->ok()) return Error{end->error()};
  auto& ended = end->value();
  if (ended.signal != 0) return Error{io::describe(order, ended)};
  if (ended.truncated) return Error{order.argv.front() + " wrote more than is taken"};
  return Ended{ended.exit_status, std::move(ended.out), std::move(ended.err)};
}

Result<std::string> Cluster::output_of(std::vector<std::string> argv, seconds time) {
  const std::string name = argv.front();
  auto ended = run(std::move(argv), time);
  if (!ended) return Error{ended.error()};
  if (ended.value().code == 0) return std::move(ended.value().out);
  const std::string& err = ended.value().err;
  return Error{name + " exited with " + std::to_string(ended.value().code) + (err.empty() ? "" : ": " + err.substr(0, err.find('\n')))};
}

Result<std::string> Cluster::cib() { return output_of({"cibadmin", "--query"}); }

Outcome Cluster::change(const std::string& from, const std::string& to) {
  auto directory = io::WorkingDirectory::make(temporary_directory());
  if (!directory) return Error{directory.error()};
  const std::string before = directory.value().file("before.xml"), after = directory.value().file("after.xml"), patch = directory.value().file("patch.xml");
  for (const auto& [name, text] : {std::pair{&before, &from}, std::pair{&after, &to}})
    if (!(std::ofstream(*name) << *text).flush()) return Error{"cannot write " + *name + ": is the file system full?"};
  auto difference = run({"crm_diff", "--no-version", "--original", before, "--new", after}, seconds{60});
  if (!difference) return Error{difference.error()};
  if (difference.value().code == 0) return Done{};
  if (difference.value().code != 1) return Error{"crm_diff exited with " + std::to_string(difference.value().code) + ": " + difference.value().err};
  if (!(std::ofstream(patch) << difference.value().out).flush()) return Error{"cannot write " + patch + ": is the file system full?"};
  const auto done = output_of({"cibadmin", "--patch", "--sync-call", "--xml-file", patch});
  return done ? Outcome(Done{}) : Outcome(Error{done.error()});
}

Outcome Cluster::refresh(const std::string& resource) {
  const auto done = output_of({"crm_resource", "--refresh", "--force", "--resource", resource});  // --force: not the whole group
  return done ? Outcome(Done{}) : Outcome(Error{done.error()});
}

Outcome Cluster::settle(seconds time) {
  const std::string limit = std::to_string(time.count());
  auto ended = run({"crm_resource", "--wait", "--timeout=" + limit + "s"}, time + seconds{10}, true);
  if (!ended) return Error{ended.error()};
  if (ended.value().code == 0) return Done{};
  if (ended.value().code == timed_out) return Error{"the cluster had still something to do after " + limit + " s"};
  return Error{"crm_resource --wait exited with " + std::to_string(ended.value().code) + ": " + ended.value().err};
}

Outcome Cluster::accepts(const std::string& provider, const std::map<std::string, std::string>& parameters, bool here) {
  std::vector<std::string> argv = {"crm_resource", "--validate", "--output-as=xml", "--class", "ocf", "--provider", provider, "--agent", "VirtualDomain"};
  for (const auto& [name, value] : parameters) {
    argv.push_back("--option");
    argv.push_back(name + "=" + value);
  }
  auto ended = run(std::move(argv), seconds{60});
  if (!ended) return Error{ended.error()};
  pugi::xml_document answer;
  answer.load_string(ended.value().out.c_str());
  const auto action = answer.child("pacemaker-result").child("resource-agent-action");
  const auto code = action.child("agent-status").attribute("code");
  if (!code) return Error{"crm_resource --validate exited with " + std::to_string(ended.value().code) + ": " + ended.value().err};
  if (code.as_int() == 0 || (code.as_int() == missing_here && !here)) return Done{};
  std::string reason;
  for (const auto& output : action.child("command").children("output"))
    if (reason.empty()) reason = reason_in(output.child_value());
  return Error{reason.empty() ? action.child("agent-status").attribute("message").as_string() : reason};
}

Result<std::set<std::string>> Cluster::parameters_of(const std::string& provider) {
  const auto meta_data = output_of({"crm_resource", "--show-metadata", "ocf:" + provider + ":VirtualDomain"});
  if (!meta_data) return Error{meta_data.error()};
  return parameter_names(meta_data.value());
}

Result<std::string> Cluster::standby(const migrationd::NodeName& node) {
  const auto text = cib();
  if (!text) return Error{text.error()};
  pugi::xml_document document;
  if (auto parsed = io::scheduler_xml::parse(document, text.value(), "cib", "the CIB"); !parsed) return Error{parsed.error()};
  const auto known = document.child("cib").child("configuration").child("nodes").find_child_by_attribute("node", "uname", node.c_str());
  if (!known) return Error{"the cluster has no node named \"" + node + "\""};
  for (const auto& set : known.children("instance_attributes"))
    if (const auto pair = set.find_child_by_attribute("nvpair", "name", "standby")) return std::string(pair.attribute("value").value());
  return std::string();
}

Outcome Cluster::set_standby(const migrationd::NodeName& node, const std::string& value) {
  std::vector<std::string> argv = {"crm_standby", "--node", node};
  if (value.empty()) argv.push_back("--delete");
  else argv.insert(argv.end(), {"--update", value});
  const auto done = output_of(std::move(argv));
  return done ? Outcome(Done{}) : Outcome(Error{done.error()});
}

}  // namespace migrationctl
