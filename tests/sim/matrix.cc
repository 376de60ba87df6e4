// SPDX-License-Identifier: GPL-2.0-or-later
// Every step of a hand-off x every fault. A run without a fault is recorded as a list of steps (messages sent
// and received, journal writes begun and done, stages of the job, phases, orders and answers); then the same
// run is made again for each step and each fault, which strikes at exactly that step. What is broken is mended
// after a while, a simulated Pacemaker goes on as the real one would, and at the end exactly one node runs the
// domain, nothing is left over elsewhere, and its memory is the old one unless a node that had it crashed, or a cut made
// the stop a real one.
//
//   matrix [--flow NAME] [--case NAME [--log]]
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>

#include "tests/sim/pacemaker.h"

namespace migrationd::sim {
namespace {

using Op = Pacemaker::Op;

constexpr Time flow_begins = 10'000;
constexpr Time mended_after = 15'000;
constexpr Time daemon_back_after = 5'000;
constexpr Time boots_after = 20'000;
constexpr Time calm = 12'000;
constexpr Time limit = 240'000;

struct Flow {
  std::string name;
  std::vector<Op> ops;
  bool first_answer_lost = false;
  bool by_hand = false;
  bool third = false;   ///< a third node stands by
  bool post_copy = false;
};

const std::vector<Flow>& flows() {
  static const std::vector<Flow> all = {
      {"pull", {{OrderKind::stop, "a", ""}, {OrderKind::start, "b", ""}}},
      {"pull-held", {{OrderKind::start, "b", ""}}},
      {"pull-by-hand", {{OrderKind::start, "b", ""}}, false, true},
      {"push", {{OrderKind::migrate_to, "a", "b"}, {OrderKind::migrate_from, "b", ""}, {OrderKind::stop, "a", ""}}},
      {"push-then-pull",
       {{OrderKind::migrate_to, "a", "b", true}, {OrderKind::migrate_from, "b", ""}, {OrderKind::stop, "a", ""}},
       true},
      {"push-fails",
       {{OrderKind::migrate_to, "a", "b"}, {OrderKind::migrate_from, "b", ""}, {OrderKind::stop, "a", ""}},
       true},
      {"pull-three-nodes", {{OrderKind::stop, "a", ""}, {OrderKind::start, "b", ""}}, false, false, true},
      {"push-three-nodes",
       {{OrderKind::migrate_to, "a", "b"}, {OrderKind::migrate_from, "b", ""}, {OrderKind::stop, "a", ""}},
       false,
       false,
       true},
      {"pull-post-copy", {{OrderKind::stop, "a", ""}, {OrderKind::start, "b", ""}}, false, false, false, true},
      {"push-post-copy",
       {{OrderKind::migrate_to, "a", "b"}, {OrderKind::migrate_from, "b", ""}, {OrderKind::stop, "a", ""}},
       false,
       false,
       false,
       true},
  };
  return all;
}

/// With fencing, who wins it in a partition matters, too.
struct Surroundings {
  std::string name;
  bool fencing;
  NodeName winner;
};
const Surroundings surroundings[] = {{"fenced-a-wins", true, "a"}, {"fenced-b-wins", true, "b"}, {"unfenced", false, ""}};

struct Run {
  Simulation sim;
  std::optional<Pacemaker> pacemaker;
  bool by_hand;

  Run(const Flow& flow, const Surroundings& around, bool keep_log) : by_hand(flow.by_hand) {
    sim.keep_log = keep_log;
    sim.settings.fencing = around.fencing;
    sim.settings.post_copy = flow.post_copy;
    sim.add_node("a");
    sim.add_node("b");
    if (flow.third) sim.add_node("c");
    sim.add_domain("vm", 512 * 1024);
    sim.boot("a");
    sim.boot("b");
    if (flow.third) sim.boot("c");
    if (flow.by_hand) {
      sim.run_until(5000);
      sim.node("a")->libvirt.start_by_hand(sim.uuid_of("vm"), "vm");
    } else {
      sim.run_until(3000);
      Action start;
      start.kind = OrderKind::start;
      start.node = "a";
      start.timeout = 20'000;
      start.uuid = sim.uuid_of("vm");
      sim.order(start);
    }
    sim.run_until(flow_begins);
    pacemaker.emplace(sim, "vm", flow.ops, "b");
    pacemaker->first_to_fence = around.winner;
    if (flow.first_answer_lost) sim.lose_answer_of.insert("a");
  }

  void go() {
    pacemaker->begin();
    while (sim.run_next(limit)) {
      const Time since = pacemaker->settled_since();
      if (pacemaker->settled() && since >= 0 && since + calm < sim.now() && whole() && verdict().empty()) return;
    }
  }

  bool whole() const {
    for (const NodeName& name : sim.node_names()) {
      if (!sim.node(name)->powered || !sim.node(name)->daemon) return false;
    }
    return !sim.network.any_cut();
  }

  /// Why the end is not a good one; empty when it is.
  std::string verdict() const {
    if (!sim.violation().empty()) return sim.violation();
    const DomainUuid uuid = sim.uuid_of("vm");
    if (!pacemaker->settled()) return "not settled in " + std::to_string(limit / 1000) + " s";
    if (sim.running_count(uuid) != 1) return "runs on " + std::to_string(sim.running_count(uuid)) + " nodes at the end";
    for (const NodeName& name : sim.node_names()) {
      const handoff::Phase phase = sim.node(name)->state_of(uuid).phase;
      const bool runs = sim.runs_on(uuid) == name;
      const bool untouched = runs && by_hand && phase == handoff::Phase::gone;
      if (!untouched && phase != (runs ? handoff::Phase::held : handoff::Phase::gone)) {
        return name + " ends as " + handoff::to_string(phase) + (runs ? ", running it" : "");
      }
      if (!runs && sim.node(name)->libvirt.instances.contains(uuid)) return "a copy is left on " + name;
    }
    return "";
  }
};

// ---------------------------------------------------------------- faults

struct Fault {
  std::string name;
  bool cuts = false;           ///< with fencing, one side is fenced
  std::function<void(Simulation&)> strike;
};

void later(Simulation& sim, Time after, std::function<void()> call) { sim.queue.after(after, std::move(call)); }

Fault crash(const std::string& name, std::vector<NodeName> nodes, bool landed) {
  return {name, false, [nodes, landed](Simulation& sim) {
            for (const NodeName& node : nodes) {
              sim.crash(node, landed);
              later(sim, boots_after, [&sim, node] { sim.boot(node); });
            }
          }};
}

Fault kill_daemon(const std::string& name, std::vector<NodeName> nodes, bool landed) {
  return {name, false, [nodes, landed](Simulation& sim) {
            for (const NodeName& node : nodes) {
              sim.node(node)->kill_daemon(landed);
              later(sim, daemon_back_after, [&sim, node] { sim.node(node)->start_daemon(); });
            }
          }};
}

/// Also what it has just asked of libvirt dies with it.
Fault kill_daemon_unsent(const std::string& name, const NodeName& node) {
  return {name, false, [node](Simulation& sim) {
            sim.node(node)->unsent_calls_die = true;
            sim.node(node)->kill_daemon(false);
            later(sim, daemon_back_after, [&sim, node] {
              sim.node(node)->unsent_calls_die = false;
              sim.node(node)->start_daemon();
            });
          }};
}

Fault cut(const std::string& name, std::vector<std::pair<NodeName, NodeName>> ways, std::vector<Channel> channels) {
  const bool cluster = channels.size() > 1;
  return {name, cluster, [ways, channels](Simulation& sim) {
            for (const auto& [from, to] : ways) {
              for (Channel channel : channels) sim.network.set_cut(channel, from, to, true);
            }
            later(sim, mended_after, [&sim] { sim.network.heal_all(); });
          }};
}

Fault kill_libvirtd(const std::string& name, const NodeName& node) {
  return {name, false, [node](Simulation& sim) {
            sim.node(node)->libvirt.kill();
            later(sim, daemon_back_after, [&sim, node] { sim.node(node)->libvirt.restart(); });
          }};
}

std::vector<Fault> faults_at(const Flow& flow, const std::string& step) {
  const std::vector<Channel> all(std::begin(all_channels), std::end(all_channels));
  std::vector<Fault> faults = {
      crash("crash-source", {"a"}, false),
      crash("crash-destination", {"b"}, false),
      crash("crash-both", {"a", "b"}, false),
      kill_daemon("kill-daemon-source", {"a"}, false),
      kill_daemon("kill-daemon-destination", {"b"}, false),
      kill_daemon("kill-daemon-both", {"a", "b"}, false),
      kill_daemon_unsent("kill-daemon-source-unsent", "a"),
      kill_daemon_unsent("kill-daemon-destination-unsent", "b"),
      cut("cut-a-to-b", {{"a", "b"}}, all),
      cut("cut-b-to-a", {{"b", "a"}}, all),
      cut("cut-both-ways", {{"a", "b"}, {"b", "a"}}, all),
      cut("cut-daemons", {{"a", "b"}, {"b", "a"}}, {Channel::peers}),
      cut("cut-migration", {{"a", "b"}, {"b", "a"}}, {Channel::migration}),
      kill_libvirtd("kill-libvirtd-source", "a"),
      kill_libvirtd("kill-libvirtd-destination", "b"),
  };
  if (flow.third) {
    faults.push_back(crash("crash-third", {"c"}, false));
    faults.push_back(crash("crash-source-and-third", {"a", "c"}, false));
    faults.push_back(kill_daemon("kill-daemon-third", {"c"}, false));
    faults.push_back(cut("cut-third-off", {{"a", "c"}, {"c", "a"}, {"b", "c"}, {"c", "b"}}, all));
    faults.push_back(cut("cut-source-off", {{"a", "c"}, {"c", "a"}, {"b", "a"}, {"a", "b"}}, all));
    faults.push_back(cut("cut-destination-off", {{"a", "b"}, {"b", "a"}, {"b", "c"}, {"c", "b"}}, all));
    faults.push_back(cut("cut-daemons-of-third", {{"a", "c"}, {"c", "a"}, {"b", "c"}, {"c", "b"}}, {Channel::peers}));
  }
  if (step.starts_with("writing ")) {
    faults.push_back(crash("crash-source-written", {"a"}, true));
    faults.push_back(crash("crash-destination-written", {"b"}, true));
    faults.push_back(kill_daemon("kill-daemon-source-written", {"a"}, true));
    faults.push_back(kill_daemon("kill-daemon-destination-written", {"b"}, true));
  }
  return faults;
}

struct NamedMessageFault {
  std::string name;
  MessageFault fault;
};
const NamedMessageFault message_faults[] = {
    {"lost", {MessageFault::Kind::lost, 0}},
    {"repeated", {MessageFault::Kind::repeated, 300}},
    {"repeated-late", {MessageFault::Kind::repeated, 8000}},
    {"late", {MessageFault::Kind::late, 3000}},
    {"very-late", {MessageFault::Kind::late, 20'000}},
};

// ---------------------------------------------------------------- cases

/// Only a node's end or a cut of the cluster can cost the guest its memory. Where the daemons alone are cut off, so can a stop that comes
/// before the destination has said that it is ready, but no failed migration.
bool may_restart(const std::string& name) {
  const std::string fault = name.substr(name.rfind('/') + 1);
  if (fault.starts_with("cut-daemons")) return name.starts_with("pull");
  return fault.starts_with("crash") || fault.starts_with("cut-");
}

struct Report {
  int passed = 0;
  int failed = 0;
  int restarted = 0;  ///< passed, but the guest booted anew, excused
  std::string only;
  bool log = false;

  bool wanted(const std::string& name) const { return only.empty() || only == name; }
  void take(const std::string& name, const Run& run) {
    const bool again = run.sim.losses(run.sim.uuid_of("vm")) > 0;
    std::string why = run.verdict();
    if (why.empty() && again && !may_restart(name) && !run.sim.consented()) why = "the guest booted anew, which this fault does not excuse";
    if (log) {
      for (const std::string& line : run.sim.lines()) std::cout << line << "\n";
    }
    (why.empty() ? passed : failed) += 1;
    restarted += why.empty() && again ? 1 : 0;
    std::cout << (why.empty() ? "PASS " : "FAIL ") << name << (why.empty() ? "" : ": " + why)
              << (why.empty() && again ? " (restarted)" : "") << "\n";
  }
};

std::vector<std::string> clean_run(const Flow& flow, const Surroundings& around, Report& report) {
  Run run(flow, around, report.log);
  std::vector<std::string> steps;
  run.sim.on_step = [&](const std::string& step) {
    steps.push_back(step);
    if (report.log) run.sim.log("*", step);
  };
  run.go();
  const std::string name = flow.name + "/" + around.name + "/no-fault";
  if (report.wanted(name)) report.take(name, run);
  return steps;
}

void run_case(const Flow& flow, const Surroundings& around, std::size_t at, const std::string& step,
              const Fault& fault, Report& report) {
  const std::string name = flow.name + "/" + around.name + "/" + std::to_string(at) + ":" + step + "/" + fault.name;
  if (!report.wanted(name)) return;
  Run run(flow, around, report.log);
  std::size_t count = 0;
  run.sim.on_step = [&](const std::string& now) {
    if (report.log) run.sim.log("*", now);
    if (count++ != at) return;
    run.sim.log("*", "fault at step '" + now + "': " + fault.name);
    run.sim.queue.at(run.sim.now(), [&] { fault.strike(run.sim); });
  };
  run.go();
  report.take(name, run);
}

void run_message_case(const Flow& flow, const Surroundings& around, std::size_t at, const std::string& step,
                      const NamedMessageFault& fault, Report& report) {
  const std::string name = flow.name + "/" + around.name + "/" + std::to_string(at) + ":" + step + "/" + fault.name;
  if (!report.wanted(name)) return;
  Run run(flow, around, report.log);
  std::size_t count = 0;
  bool strikes = false;
  run.sim.on_step = [&](const std::string& now) {
    if (report.log) run.sim.log("*", now);
    strikes = count++ == at;
    if (strikes) run.sim.log("*", "fault at step '" + now + "': " + fault.name);
  };
  run.sim.network.fault = [&](const std::string&, const NodeName&, const NodeName&) {
    return std::exchange(strikes, false) ? fault.fault : MessageFault{};
  };
  run.go();
  report.take(name, run);
}

void run_flow(const Flow& flow, Report& report) {
  for (const Surroundings& around : surroundings) {
    const std::vector<std::string> steps = clean_run(flow, around, report);
    for (std::size_t at = 0; at < steps.size(); ++at) {
      for (const Fault& fault : faults_at(flow, steps[at])) {
        if (fault.cuts || around.winner != "b") run_case(flow, around, at, steps[at], fault, report);
      }
      if (!steps[at].starts_with("send ") || around.winner == "b") continue;
      for (const NamedMessageFault& fault : message_faults) {
        run_message_case(flow, around, at, steps[at], fault, report);
      }
    }
  }
}

}  // namespace
}  // namespace migrationd::sim

int main(int argc, char** argv) {
  using namespace migrationd::sim;
  Report report;
  std::string only_flow;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--log") == 0) {
      report.log = true;
    } else if (std::strcmp(argv[i], "--case") == 0 && i + 1 < argc) {
      report.only = argv[++i];
    } else if (std::strcmp(argv[i], "--flow") == 0 && i + 1 < argc) {
      only_flow = argv[++i];
    } else {
      std::cerr << "usage: matrix [--flow NAME] [--case NAME [--log]]\n";
      return 2;
    }
  }
  for (const Flow& flow : flows()) {
    const bool wanted = only_flow.empty() || flow.name == only_flow;
    const bool has_case = report.only.empty() || report.only.starts_with(flow.name + "/");
    if (wanted && has_case) run_flow(flow, report);
  }
  std::cout << report.passed << " passed (" << report.restarted << " of them with an excused restart of the guest), "
            << report.failed << " failed\n";
  return report.failed == 0 && report.passed > 0 ? 0 : 1;
}
