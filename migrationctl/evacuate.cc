// SPDX-License-Identifier: GPL-2.0-or-later
// migrationctl evacuate: the domains of this node go elsewhere, through the cluster manager: standby, which is shown before what it
// would do, and followed until nothing of them is here. Interrupted, it takes the standby back; what is on its way then, the cluster
// ends or brings back. On the node itself only, because only its daemon sees the migrations that leave it.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>

#include "migrationctl/adoption-check.h"
#include "migrationctl/cluster.h"
#include "migrationctl/commands.h"
#include "migrationctl/daemon.h"
#include "migrationctl/decision.h"
#include "migrationctl/evacuation-view.h"
#include "migrationctl/plan.h"
#include "migrationctl/terminal.h"
#include "migrationctl/words.h"
#include "migrationd/io/scheduler-graph.h"

namespace migrationctl {

namespace {

namespace io = migrationd::io;
using migrationd::Done;
using migrationd::Error;
using migrationd::Outcome;
using Steady = std::chrono::steady_clock;

/// How often the cluster is asked whether it has still something to do with what is here; what it says counts when it says it twice.
constexpr std::chrono::seconds look_again{5};
constexpr std::chrono::seconds settle_time{120};
/// How long a stop that is under way is waited for before the standby is taken back.
constexpr std::chrono::seconds stop_time{120};
constexpr Milliseconds simulate_time{120'000};

struct Options {
  std::string node;
  bool yes = false;
  bool force = false;
  bool keep = false;
  bool json = false;
};

class Departure {
 public:
  explicit Departure(Options options) : options_(std::move(options)) {}

  int run() {
    auto daemon = Daemon::connect();
    if (!daemon) return refuse(daemon.error());
    daemon_.emplace(std::move(daemon.value()));
    const auto status = next(true);
    if (!status) return refuse(status.error());
    if (status.value().node != options_.node)
      return refuse("this node is " + status.value().node + ", and only the daemon on " + options_.node +
                    " sees the migrations that leave it: type it there");
    if (status.value().cluster != "pacemaker")
      return refuse("it goes by Pacemaker's plan, and " + (status.value().cluster == "heartbeat" ? std::string("Heartbeat has none: use hb_standby, and migrationctl watch") : "there is no cluster manager to move domains"));
    const auto moves = plan_standby(options_.node, "");
    if (!moves) return refuse(moves.error());
    show(moves.value());
    warn_of_others();
    const auto before = cluster_.standby(options_.node);
    if (!before) return refuse(before.error());
    before_ = before.value();
    ours_ = !is_standby(before_);  // else it has begun, and is only followed
    if (const std::string why = reluctance(moves.value()); ours_ && !why.empty()) return refuse(why);
    std::vector<std::string> resources;
    for (const PlannedMove& move : moves.value()) resources.push_back(move.resource);
    evacuation_.emplace(resources, status.value());
    if (ours_ && !options_.yes && !options_.json && isatty(STDIN_FILENO) == 1 && !confirmed()) return refuse("not confirmed");
    if (const Outcome gone = leave(); !gone) return refuse(gone.error());
    const Outcome followed = follow();
    return followed.ok() ? finish() : cluster_.interrupted() ? come_back() : lost_sight(followed.error());
  }

 private:
  int refuse(const std::string& why) {
    complain(options_.node + " is not evacuated: " + why);
    return failed;
  }

  void event(const char* name, nlohmann::ordered_json what) {
    nlohmann::ordered_json line;
    line["event"] = name;
    line.update(what);
    std::cout << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
  }

  void show(const std::vector<PlannedMove>& moves) {
    if (options_.json) {
      for (const PlannedMove& move : moves) event("plan", plan_json(move));
      const auto together = takes_together(moves);
      event("time", {{"takes_ms", together ? nlohmann::ordered_json(together->count()) : nlohmann::ordered_json(nullptr)}});
    } else if (moves.empty()) {
      std::cout << "No domain of ocf:migrationd:VirtualDomain is active on " << harmless(options_.node) << ".\n";
    } else {
      std::cout << plan_text(moves) << std::flush;
    }
  }

  /// Domains that the cluster moves or stops, too, but that nobody here knows of.
  void warn_of_others() {
    const auto facts = cluster_facts();
    if (!facts) return;
    for (const auto& [name, resource] : facts.value().resources)
      if (resource.active.contains(options_.node) && (resource.agent == "ocf:heartbeat:VirtualDomain" || resource.agent == "ocf:heartbeat:Xen"))
        complain(name + " is run by " + resource.agent + ", so it is neither planned nor followed: see migrationctl adopt");
  }

  migrationd::Result<migrationd::intent::Facts> cluster_facts() {
    const auto cib = cluster_.cib();
    if (!cib) return Error{cib.error()};
    const auto outlook = io::outlook_now(cib.value(), temporary_directory(), simulate_time);
    if (!outlook) return Error{outlook.error()};
    return io::read_facts(outlook.value().cib, outlook.value().summary, "", "");
  }

  /// Why it is better not to begin; empty: nothing, or it is forced.
  std::string reluctance(const std::vector<PlannedMove>& moves) const {
    std::string names;
    for (const PlannedMove& move : moves)
      if (!goes_live(move)) names += (names.empty() ? "" : ", ") + move.resource;
    if (names.empty() || options_.force) return {};
    return names + " would not move live, as the plan says (--force evacuates all the same)";
  }

  static bool confirmed() {
    std::cerr << "Type yes to go on: " << std::flush;
    std::string answer;
    return std::getline(std::cin, answer) && answer == "yes";
  }

  /// The daemon's next word; it comes about every second.
  migrationd::Result<Status> next(bool first) {
    const auto body = first ? daemon_->ask("ctl-watch") : daemon_->next();
    if (!body) return Error{body.error()};
    return read_status(body.value());
  }

  /// Puts the node into standby, unless it is.
  Outcome leave() {
    began_ = Steady::now();
    if (cluster_.interrupted()) return Error{"it was interrupted"};
    if (!ours_) {
      if (!options_.json) std::cout << harmless(options_.node) << " is in standby already." << std::endl;
      return Done{};
    }
    if (Outcome set = cluster_.set_standby(options_.node, "on"); !set) return set;
    if (options_.json) event("standby", {{"node", options_.node}, {"standby", true}});
    else std::cout << harmless(options_.node) << " is in standby now." << std::endl;
    return Done{};
  }

  Milliseconds elapsed() const { return std::chrono::duration_cast<Milliseconds>(Steady::now() - began_); }

  /// Until nothing of them is here, or the cluster has nothing left to do with them.
  Outcome follow() {
    draw();
    auto asked = Steady::now();
    int idle = 0;
    while (!evacuation_->finished()) {
      const auto status = next(false);
      if (cluster_.interrupted()) return Error{"it was interrupted"};
      if (!status) return Error{status.error()};
      const auto before = evacuation_->domains();
      if (evacuation_->observe(status.value(), elapsed())) report(before);
      if (Steady::now() - asked < look_again) continue;
      asked = Steady::now();
      idle = busy() ? 0 : idle + 1;
      if (idle == 2) evacuation_->nothing_left_to_do();
    }
    return Done{};
  }

  /// Whether the cluster is doing, or about to do, anything with a domain that is here. What can't be told counts as busy.
  bool busy() {
    const auto cib = cluster_.cib();
    if (!cib) return true;
    const auto outlook = io::outlook_now(cib.value(), temporary_directory(), simulate_time);
    if (!outlook) return true;
    return std::any_of(evacuation_->domains().begin(), evacuation_->domains().end(), [&](const Leaving& one) {
      const bool gone = one.state == Leave::live || one.state == Leave::stopped;
      return !gone && (!pending_operation(cib.value(), one.resource).empty() || about_to_change(outlook.value().plan, one.resource));
    });
  }

  /// On a terminal all bars anew; elsewhere a line for each domain that is in another state than `before`, as JSON for each that
  /// differs at all.
  void report(const std::vector<Leaving>& before) {
    if (!options_.json && isatty(STDOUT_FILENO) == 1) return draw();
    for (std::size_t i = 0; i < before.size(); ++i) {
      const Leaving& now = evacuation_->domains()[i];
      if (options_.json && Evacuation::json(now) != Evacuation::json(before[i])) event("domain", Evacuation::json(now));
      if (!options_.json && (now.state != before[i].state || now.to != before[i].to))
        std::cout << duration_text(elapsed()) << ": " << harmless(now.resource) << ": " << to_string(now.state)
                  << (now.to.empty() ? "" : " -> " + harmless(now.to)) << std::endl;
    }
  }

  void draw() {
    if (options_.json || isatty(STDOUT_FILENO) != 1) return;
    std::string picture = evacuation_->bars(terminal_width());
    const auto lines = std::count(picture.begin(), picture.end(), '\n');
    for (std::size_t at = 0; (at = picture.find('\n', at)) != std::string::npos; at += 4) picture.replace(at, 1, "\033[K\n");
    if (drawn_ > 0) std::cout << "\033[" << drawn_ << 'A';
    std::cout << picture << std::flush;
    drawn_ = lines;
  }

  int finish() {
    find_stopped();
    conclude(evacuation_->good());
    return evacuation_->good() ? success : failed;
  }

  /// Where the cluster started what it had stopped here.
  void find_stopped() {
    const bool some = std::any_of(evacuation_->domains().begin(), evacuation_->domains().end(), [](const Leaving& one) { return one.state == Leave::stopped; });
    if (!some) return;
    if (const Outcome settled = cluster_.settle(settle_time); !settled) complain("what was stopped may not be started elsewhere yet: " + settled.error());
    const auto facts = cluster_facts();
    if (!facts) return;
    for (const auto& [name, resource] : facts.value().resources)
      for (const auto& [node, role] : resource.active) evacuation_->found_on(name, node);
  }

  void conclude(bool ok) {
    if (!options_.json) {
      std::cout << evacuation_->summary(options_.node) << std::flush;
      return;
    }
    for (const Leaving& one : evacuation_->domains()) event("result", Evacuation::json(one));
    event("end", {{"node", options_.node}, {"ok", ok}});
  }

  /// What a stop means is read from the plan that it comes from. Taken back in its middle, the standby would be missing there, and
  /// the stop a real one.
  void let_stops_answer() {
    const auto until = Steady::now() + stop_time;
    while (Steady::now() < until) {
      const auto cib = cluster_.cib();
      const auto& domains = evacuation_->domains();
      if (!cib || std::none_of(domains.begin(), domains.end(), [&](const Leaving& one) { return is_pending(cib.value(), one.resource, "stop", options_.node); })) return;
      if (!next(false)) return;  // comes about every second
    }
  }

  int come_back() {
    conclude(false);
    if (!ours_ || options_.keep) {
      complain("interrupted; " + options_.node + " stays in standby, and what is there still leaves it: migrationctl return " + options_.node + " ends that");
      return failed;
    }
    cluster_.put_back();
    let_stops_answer();
    if (const Outcome back = cluster_.set_standby(options_.node, before_); !back) {
      complain("interrupted, but " + options_.node + " is still in standby: " + back.error() + "; migrationctl return " + options_.node + " tries it again");
      return failed;
    }
    if (options_.json) event("standby", {{"node", options_.node}, {"standby", false}});
    complain("interrupted; the standby of " + options_.node + " is taken back: what is moving goes on or comes back through the cluster (migrationctl watch), "
             "what has moved stays where the cluster wants it");
    return failed;
  }

  int lost_sight(const std::string& why) {
    conclude(false);
    complain("the evacuation of " + options_.node + " goes on, but can't be followed: " + why + "; migrationctl evacuate " + options_.node + " follows it again");
    return failed;
  }

  Options options_;
  Cluster cluster_;
  std::optional<Daemon> daemon_;
  std::optional<Evacuation> evacuation_;
  std::string before_;  ///< the node's attribute before
  bool ours_ = false;   ///< we have set it
  Steady::time_point began_;
  long drawn_ = 0;      ///< lines of the last picture
};

}  // namespace

void add_evacuate(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("evacuate", "Put this node into standby and follow its domains until all have left");
  command->add_option("NODE", options->node, "this node, by its name in the cluster")->required();
  command->add_flag("--yes", options->yes, "do not ask for a confirmation");
  command->add_flag("--force", options->force, "also when a domain would not move live");
  command->add_flag("--keep", options->keep, "keep the standby when interrupted");
  command->add_flag("--json", options->json, "print each event as a line of JSON; asks nothing");
  command->callback([options, &chosen] { chosen = [options] { return Departure(*options).run(); }; });
}

}  // namespace migrationctl
