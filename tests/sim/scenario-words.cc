// SPDX-License-Identifier: GPL-2.0-or-later
// The words of a scenario file.
//
//   start|stop|monitor DOMAIN NODE [timeout S] [lsb]     migrate_to DOMAIN NODE TO [timeout S]
//   migrate_from DOMAIN NODE [timeout S]                 kill-agent NODE (the agents of what waits there)
//   handoff DOMAIN FROM TO       stop on FROM meaning an offer, then, when it returned well, start on TO
//   intent DOMAIN NODE real|keep|offer TO|push TO|short-offer TO          judge DOMAIN NODE stands|real|take-back
//   may-stop DOMAIN NODE         a move from there may become a real stop: its end is no loss without an excuse
//   by-hand DOMAIN NODE          kill-guest|sick-guest|deaf-guest DOMAIN NODE
//   crash-guest|poweroff-guest|destroy-guest DOMAIN NODE (libvirt tells of it; destroy-guest: an administrator's virsh)
//   cut|heal FROM TO [peers|cluster|migration]           part|join A B [CHANNEL] (both ways)
//   crash|crash-written|boot NODE                        reinstall NODE (a new disk, then boots)
//   kill-daemon|kill-daemon-written|kill-daemon-unsent|restart-daemon|freeze-daemon|thaw-daemon NODE
//   kill-libvirtd|restart-libvirtd|hang-libvirtd|thaw-libvirtd NODE       lose-finish NODE (its answer to NODE)
//   fence NODE     stop-cluster|leave-cluster|join-cluster NODE  fill-disk|free-disk NODE
//   other-disk NODE (the guests' disk has its path there, but is another)    other-cpu NODE (no running guest fits there)
//   file NODE there|missing|broken (the definition's, where `set config files` has resources name one)
//   jump-clock NODE S (CLOCK_BOOTTIME: the node slept)   jump-wall-clock NODE S|-S (it was set)
//   lose|repeat|late KIND FROM TO [S] [xN]               set NAME VALUE
//   farewell NODE  drain NODE S   forget NODE OTHER
//   require DOMAIN running-on NODE | nowhere | memory-kept | memory-lost
//   require NODE state=PHASE DOMAIN | answered KIND DOMAIN success|failure|CODE|waiting | said TEXT... | unsaid TEXT...
//           | up | down | no-copy DOMAIN | reports DOMAIN N (how often the cluster manager was told of its failure there)
//
// Conditions of `when`: NODE state=PHASE [DOMAIN], NODE answered KIND, step WORDS... (as the matrix names them).
#include <algorithm>

#include "tests/sim/scenario.h"

namespace migrationd::sim {

namespace {

const std::map<std::string, OrderKind>& order_kinds() {
  static const std::map<std::string, OrderKind> all = {{"start", OrderKind::start},
                                                       {"stop", OrderKind::stop},
                                                       {"monitor", OrderKind::monitor},
                                                       {"migrate_to", OrderKind::migrate_to},
                                                       {"migrate_from", OrderKind::migrate_from}};
  return all;
}

const std::map<std::string, handoff::Phase>& phases() {
  using handoff::Phase;
  static const std::map<std::string, Phase> all = [] {
    std::map<std::string, Phase> names;
    for (Phase phase : {Phase::gone, Phase::claim, Phase::withdrawn, Phase::held, Phase::offered, Phase::moving,
                        Phase::stopping, Phase::given}) {
      names[handoff::to_string(phase)] = phase;
    }
    return names;
  }();
  return all;
}

std::string joined(const std::vector<std::string>& words, std::size_t from) {
  std::string text;
  for (std::size_t i = from; i < words.size(); ++i) text += (i == from ? "" : " ") + words[i];
  return text;
}

}  // namespace

const std::map<std::string, Scenario::Word>& Scenario::verbs() {
  using S = Scenario;
  static const std::map<std::string, Word> all = {
      {"start", &S::do_order}, {"stop", &S::do_order}, {"monitor", &S::do_order}, {"migrate_to", &S::do_order},
      {"migrate_from", &S::do_order}, {"handoff", &S::do_handoff}, {"kill-agent", &S::do_kill_agent},
      {"intent", &S::do_intent}, {"judge", &S::do_judge}, {"may-stop", &S::do_may_stop}, {"by-hand", &S::do_by_hand}, {"cut", &S::do_cut},
      {"heal", &S::do_cut}, {"part", &S::do_part}, {"join", &S::do_part}, {"crash", &S::do_power},
      {"crash-written", &S::do_power}, {"boot", &S::do_power}, {"file", &S::do_file}, {"reinstall", &S::do_reinstall},
      {"kill-daemon", &S::do_daemon}, {"kill-daemon-written", &S::do_daemon}, {"kill-daemon-unsent", &S::do_daemon},
      {"restart-daemon", &S::do_daemon}, {"freeze-daemon", &S::do_daemon}, {"thaw-daemon", &S::do_daemon},
      {"kill-libvirtd", &S::do_libvirtd}, {"restart-libvirtd", &S::do_libvirtd}, {"hang-libvirtd", &S::do_libvirtd},
      {"thaw-libvirtd", &S::do_libvirtd}, {"lose-finish", &S::do_libvirtd}, {"kill-guest", &S::do_guest},
      {"crash-guest", &S::do_guest}, {"poweroff-guest", &S::do_guest}, {"destroy-guest", &S::do_guest}, {"sick-guest", &S::do_guest}, {"deaf-guest", &S::do_guest}, {"fence", &S::do_fence},
      {"stop-cluster", &S::do_cluster}, {"leave-cluster", &S::do_cluster}, {"join-cluster", &S::do_cluster}, {"fill-disk", &S::do_disk},
      {"free-disk", &S::do_disk}, {"other-disk", &S::do_other_disk}, {"other-cpu", &S::do_other_cpu}, {"jump-clock", &S::do_clock}, {"jump-wall-clock", &S::do_clock},
      {"lose", &S::do_message}, {"repeat", &S::do_message}, {"late", &S::do_message}, {"farewell", &S::do_leave},
      {"drain", &S::do_leave}, {"forget", &S::do_forget}, {"set", &S::do_set}, {"require", &S::do_require}};
  return all;
}

const std::string& Scenario::word_at(const Statement& s, std::size_t word) const {
  if (word >= s.words.size()) wrong(s.line, "'" + s.words[0] + "' needs more words");
  return s.words[word];
}

Node& Scenario::node_at(const Statement& s, std::size_t word) const {
  Node* node = sim_.node(word_at(s, word));
  if (node == nullptr) wrong(s.line, "there is no node '" + s.words[word] + "'");
  return *node;
}

DomainUuid Scenario::domain_at(const Statement& s, std::size_t word) const {
  const DomainUuid uuid = sim_.uuid_of(word_at(s, word));
  if (uuid.empty()) wrong(s.line, "there is no domain '" + s.words[word] + "'");
  return uuid;
}

/// What can be known before the run: the verb, the nodes' and domains' names, the numbers.
void Scenario::check_statement(const Statement& s) const {
  const std::string& verb = s.words[0];
  if (!verbs().contains(verb)) wrong(s.line, "does not know the word '" + verb + "'");
  const_cast<Scenario*>(this)->requires_something_ |= verb == "require";
  if (order_kinds().contains(verb) || verb == "handoff" || verb == "intent" || verb == "judge" || verb == "may-stop" || verb == "by-hand" ||
      verb.ends_with("-guest")) {
    domain_at(s, 1);
    node_at(s, 2);
    if (verb == "handoff" || verb == "migrate_to") node_at(s, 3);
  } else if (verb == "cut" || verb == "heal" || verb == "part" || verb == "join" || verb == "forget") {
    node_at(s, 1);
    node_at(s, 2);
    channels_at(s, 3);
  } else if (verb == "lose" || verb == "repeat" || verb == "late") {
    node_at(s, 2);
    node_at(s, 3);
  } else if (verb == "require") {
    const std::string& what = word_at(s, 2);
    if (sim_.node(word_at(s, 1)) != nullptr) {
      const bool state = what.starts_with("state=") && phases().contains(what.substr(6));
      static const std::set<std::string> known = {"answered", "said", "unsaid", "up", "down", "no-copy", "reports"};
      if (!state && !known.contains(what)) wrong(s.line, "can't require '" + what + "' of a node");
      if (state || what == "no-copy" || what == "reports") domain_at(s, 3);
      if (what == "reports") word_at(s, 4);
      if (what == "answered") domain_at(s, 4), word_at(s, 5);
      if (what == "answered" && !order_kinds().contains(s.words[3])) wrong(s.line, "no order '" + s.words[3] + "'");
    } else {
      domain_at(s, 1);
      static const std::set<std::string> known = {"running-on", "nowhere", "memory-kept", "memory-lost"};
      if (!known.contains(what)) wrong(s.line, "can't require '" + what + "' of a domain");
      if (what == "running-on") node_at(s, 3);
    }
  } else if (verb != "set") {
    node_at(s, 1);
  }
}

void Scenario::check_condition(int line, const std::vector<std::string>& words) const {
  if (words[0] == "step") return;
  const Statement s{line, words};
  node_at(s, 0);
  const std::string& what = word_at(s, 1);
  if (what == "answered" && order_kinds().contains(word_at(s, 2))) return;
  if (!what.starts_with("state=") || !phases().contains(what.substr(6))) wrong(line, "unknown condition '" + what + "'");
}

bool Scenario::holds(const std::vector<std::string>& words) const {
  if (words[0] == "step") {
    return std::find(reached_.begin(), reached_.end(), joined(words, 1)) != reached_.end();
  }
  if (words[1] == "answered") {
    return std::find(reached_.begin(), reached_.end(), "answered " + words[2] + " " + words[0]) != reached_.end();
  }
  const std::string& domain = words.size() > 2 ? words[2] : sim_.domain_names().front();
  return sim_.node(words[0])->state_of(sim_.uuid_of(domain)).phase == phases().at(words[1].substr(6));
}

void Scenario::execute(const Statement& s) {
  if (s.words[0] != "require") sim_.log("*", joined(s.words, 0));
  (this->*verbs().at(s.words[0]))(s);
}

void Scenario::do_require(const Statement& s) {
  const auto failed = [&](const std::string& why) {
    if (failure_.empty()) failure_ = path_ + ":" + std::to_string(s.line) + ": required " + joined(s.words, 1) + ", but " + why;
    sim_.log("*", "FAILED: required " + joined(s.words, 1) + ", but " + why);
  };
  const std::string& what = s.words[2];
  Node* node = sim_.node(s.words[1]);
  if (node == nullptr) {
    const DomainUuid uuid = domain_at(s, 1);
    const NodeName where = sim_.runs_on(uuid);
    const std::string found = where.empty() ? "it runs nowhere" : "it runs on " + where;
    if (what == "running-on" && where != s.words[3]) failed(found);
    if (what == "nowhere" && !where.empty()) failed(found);
    if (what == "memory-kept" && sim_.losses(uuid) > 0) failed("it was lost");
    if (what == "memory-lost" && sim_.losses(uuid) == 0) failed("it was kept");
    return;
  }
  if (what == "up" && !node->powered) failed("it is down");
  if (what == "down" && node->powered) failed("it is up");
  if (what == "no-copy" && node->libvirt.instances.contains(domain_at(s, 3))) failed("there is one");
  if (what == "reports") {
    const auto found = sim_.failure_reports.find({node->name, domain_at(s, 3)});
    const std::string reports = std::to_string(found == sim_.failure_reports.end() ? 0 : found->second);
    if (reports != s.words[4]) failed("it was " + reports);
  }
  if (what.starts_with("state=")) {
    const std::string phase = handoff::to_string(node->state_of(domain_at(s, 3)).phase);
    if (phase != what.substr(6)) failed("it is " + phase);
  }
  if (what == "said" || what == "unsaid") {
    const std::string text = joined(s.words, 3);
    const bool said = std::any_of(sim_.lines().begin(), sim_.lines().end(), [&](const std::string& line) {
      return line.find(" " + node->name + ": ") != std::string::npos && line.find(text) != std::string::npos;
    });
    if (said != (what == "said")) failed(said ? "it did" : "it did not");
  }
  if (what == "answered") {
    const Action* last = nullptr;
    for (const auto& action : sim_.actions()) {
      if (action->node == node->name && action->kind == order_kinds().at(s.words[3]) && action->uuid == domain_at(s, 4)) {
        last = action.get();
      }
    }
    if (last == nullptr) return failed("there was none");
    const std::string code = std::to_string(static_cast<int>(last->reply.code));
    const std::string got = !last->answered ? "waiting" : code == "0" ? "success" : "failure";
    if (s.words[5] != got && (got == "waiting" || s.words[5] != code)) failed("it was " + got + " (code " + code + ")");
  }
}

}  // namespace migrationd::sim
