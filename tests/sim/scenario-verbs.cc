// SPDX-License-Identifier: GPL-2.0-or-later
// What each word of a scenario file does to the simulated world.
#include "tests/sim/scenario.h"

namespace migrationd::sim {

std::vector<Channel> Scenario::channels_at(const Statement& s, std::size_t word) const {
  if (word >= s.words.size()) return {std::begin(all_channels), std::end(all_channels)};
  if (s.words[word] == "peers") return {Channel::peers};
  if (s.words[word] == "cluster") return {Channel::cluster};
  if (s.words[word] == "migration") return {Channel::migration};
  wrong(s.line, "there is no channel '" + s.words[word] + "'");
}

void Scenario::set(int line, const std::string& name, const std::string& value) {
  Settings& settings = sim_.settings;
  const std::map<std::string, Time*> times = {{"latency", &settings.latency},
                                              {"copy", &settings.copy},
                                              {"keepalive", &settings.keepalive},
                                              {"link-timeout", &settings.link_timeout},
                                              {"member-timeout", &settings.member_timeout},
                                              {"guest-shutdown", &settings.guest_shutdown},
                                              {"journal", &settings.journal},
                                              {"fence-time", &settings.fence},
                                              {"reboot", &settings.reboot},
                                              {"tell", &settings.tell},
                                              {"call-deadline", &settings.call_deadline},
                                              {"handoff-timeout", &settings.handoff_timeout}};
  const std::map<std::string, std::pair<bool*, std::map<std::string, bool>>> choices = {
      {"told", {&settings.told, {{"yes", true}, {"no", false}}}},
      {"stay-off", {&settings.stay_off_kept, {{"kept", true}, {"refused", false}}}},
      {"manager", {&settings.manager, {{"runs", true}, {"none", false}}}},
      {"fencing", {&settings.fencing, {{"possible", true}, {"impossible", false}}}},
      {"fence-devices", {&settings.fencing_fails, {{"silent", true}, {"none", false}}}},
      {"dead-man", {&settings.dead_man, {{"works", true}, {"fails", false}}}},
      {"config", {&settings.config_files, {{"files", true}, {"none", false}}}},
      {"unfenced", {&settings.unfenced_membership, {{"membership", true}, {"refuse", false}}}},
      {"postcopy", {&settings.post_copy, {{"yes", true}, {"no", false}}}},
      {"lost-answer", {&settings.resume_on_lost_answer, {{"resumes", true}, {"pauses", false}}}}};
  if (const auto time = times.find(name); time != times.end()) {
    *time->second = time_of(line, value);
  } else if (const auto choice = choices.find(name); choice != choices.end()) {
    const auto found = choice->second.second.find(value);
    if (found == choice->second.second.end()) wrong(line, "'" + name + "' can't be '" + value + "'");
    *choice->second.first = found->second;
  } else if (name == "node-memory") {
    settings.memory_kib = std::stoull(value) * 1024;
  } else if (name == "handoff" || name == "migration_speed" || name == "on_incompatible" || name == "on_poweroff") {
    sim_.parameters[name] = value;
  } else {
    wrong(line, "there is nothing '" + name + "' to set");
  }
}

void Scenario::do_set(const Statement& s) { set(s.line, word_at(s, 1), word_at(s, 2)); }

void Scenario::do_order(const Statement& s) {
  static const std::map<std::string, OrderKind> kinds = {{"start", OrderKind::start},
                                                         {"stop", OrderKind::stop},
                                                         {"monitor", OrderKind::monitor},
                                                         {"migrate_to", OrderKind::migrate_to},
                                                         {"migrate_from", OrderKind::migrate_from}};
  Action action;
  action.kind = kinds.at(s.words[0]);
  action.uuid = domain_at(s, 1);
  action.node = node_at(s, 2).name;
  action.timeout = 60'000;
  std::size_t next = 3;
  if (action.kind == OrderKind::migrate_to) action.target = word_at(s, next++);
  for (; next < s.words.size(); ++next) {
    if (s.words[next] == "timeout") {
      action.timeout = time_of(s.line, word_at(s, ++next));
    } else if (s.words[next] == "lsb") {
      action.face = "lsb";
      action.timeout = 0;
    } else {
      wrong(s.line, "does not know '" + s.words[next] + "' of an order");
    }
  }
  sim_.order(std::move(action));
}

void Scenario::do_handoff(const Statement& s) {
  const DomainUuid uuid = domain_at(s, 1);
  const NodeName from = node_at(s, 2).name, to = node_at(s, 3).name;
  sim_.intents[{from, uuid}] = {engine::Intent::offer, to, "planned on " + to, false};
  Action stop;
  stop.kind = OrderKind::stop;
  stop.uuid = uuid;
  stop.node = from;
  stop.timeout = 60'000;
  stop.done = [this, uuid, to](const engine::OrderReply& reply) {
    if (reply.code != wire::OcfCode::success) return;
    Action start;
    start.uuid = uuid;
    start.node = to;
    start.timeout = 60'000;
    sim_.order(std::move(start));
  };
  sim_.order(std::move(stop));
}

void Scenario::do_kill_agent(const Statement& s) { sim_.kill_agents(node_at(s, 1).name); }

void Scenario::do_intent(const Statement& s) {
  const std::string& what = word_at(s, 3);
  engine::StopIntent intent{engine::Intent::stop, "", "scripted", what == "short-offer"};
  if (what == "keep") {
    intent.intent = engine::Intent::keep;
  } else if (what == "offer" || what == "short-offer" || what == "push") {
    intent.intent = what == "push" ? engine::Intent::push : engine::Intent::offer;
    intent.to = node_at(s, 4).name;
  } else if (what != "real") {
    wrong(s.line, "a stop can't mean '" + what + "'");
  }
  sim_.intents[{s.words[2], domain_at(s, 1)}] = intent;
}

void Scenario::do_may_stop(const Statement& s) { sim_.may_stop(node_at(s, 2).name, domain_at(s, 1)); }

void Scenario::do_judge(const Statement& s) {
  const std::string& what = word_at(s, 3);
  handoff::Judgement judgement = handoff::Judgement::stands;
  if (what == "real") {
    judgement = handoff::Judgement::real_stop;
  } else if (what == "take-back") {
    judgement = handoff::Judgement::take_back;
  } else if (what != "stands") {
    wrong(s.line, "an offer can't be judged '" + what + "'");
  }
  sim_.judgements[{s.words[2], domain_at(s, 1)}] = judgement;
  Node& node = node_at(s, 2);
  if (node.daemon) node.daemon->cluster_listener->configuration_changed();
}

void Scenario::do_by_hand(const Statement& s) { node_at(s, 2).libvirt.start_by_hand(domain_at(s, 1), s.words[1]); }

void Scenario::do_cut(const Statement& s) {
  for (Channel channel : channels_at(s, 3)) sim_.network.set_cut(channel, s.words[1], s.words[2], s.words[0] == "cut");
}

void Scenario::do_part(const Statement& s) {
  for (Channel channel : channels_at(s, 3)) {
    sim_.network.set_cut(channel, s.words[1], s.words[2], s.words[0] == "part");
    sim_.network.set_cut(channel, s.words[2], s.words[1], s.words[0] == "part");
  }
}

void Scenario::do_power(const Statement& s) {
  Node& node = node_at(s, 1);
  if (s.words[0] == "boot") return node.power_on();
  node.power_off(s.words[0] == "crash-written");
}

void Scenario::do_file(const Statement& s) {
  static const std::map<std::string, ConfigFile> files = {{"there", ConfigFile::there}, {"missing", ConfigFile::missing}, {"broken", ConfigFile::broken}};
  const auto file = files.find(word_at(s, 2));
  if (file == files.end()) wrong(s.line, "a file is there, missing or broken, not '" + word_at(s, 2) + "'");
  node_at(s, 1).file = file->second;
}

void Scenario::do_reinstall(const Statement& s) {
  Node& node = node_at(s, 1);
  node.power_off(false);
  ++node.installations;
  node.incarnation = 0;
  node.disk = {};
  node.power_on();
}

void Scenario::do_daemon(const Statement& s) {
  Node& node = node_at(s, 1);
  if (s.words[0] == "restart-daemon") {
    node.unsent_calls_die = false;
    node.kill_daemon(false);
    node.start_daemon();
  } else if (s.words[0] == "freeze-daemon") {
    node.freeze();
  } else if (s.words[0] == "thaw-daemon") {
    node.thaw();
  } else {
    node.unsent_calls_die = s.words[0] == "kill-daemon-unsent";
    node.kill_daemon(s.words[0] == "kill-daemon-written");
  }
}

void Scenario::do_libvirtd(const Statement& s) {
  Node& node = node_at(s, 1);
  if (s.words[0] == "kill-libvirtd") node.libvirt.kill();
  if (s.words[0] == "restart-libvirtd") node.libvirt.restart();
  if (s.words[0] == "hang-libvirtd") node.libvirt.hang();
  if (s.words[0] == "thaw-libvirtd") node.libvirt.thaw();
  if (s.words[0] == "lose-finish") sim_.lose_answer_of.insert(node.name);
}

void Scenario::do_guest(const Statement& s) {
  const DomainUuid uuid = domain_at(s, 1);
  Libvirt& libvirt = node_at(s, 2).libvirt;
  const auto found = libvirt.instances.find(uuid);
  if (found == libvirt.instances.end()) wrong(s.line, "it is not there at this moment");
  if (s.words[0] == "deaf-guest") found->second.deaf = true;
  if (s.words[0] == "kill-guest") libvirt.end(uuid, Libvirt::Cause::guest);
  if (s.words[0] == "crash-guest") libvirt.end(uuid, Libvirt::Cause::failed);
  if (s.words[0] == "poweroff-guest") libvirt.end(uuid, Libvirt::Cause::powered_off);
  if (s.words[0] == "destroy-guest") libvirt.end(uuid, Libvirt::Cause::by_hand);
  if (s.words[0] == "sick-guest") libvirt.sicken(uuid);
}

void Scenario::do_fence(const Statement& s) { sim_.cluster.fence(node_at(s, 1).name, "", [](Outcome) {}); }

void Scenario::do_cluster(const Statement& s) {
  const NodeName name = node_at(s, 1).name;
  if (s.words[0] == "stop-cluster") {
    sim_.cluster.leaving.insert(name);
    return;
  }
  sim_.cluster.leaving.erase(name);
  if (s.words[0] == "leave-cluster") {
    sim_.cluster.without_cluster.insert(name);
    sim_.cluster.forget_view(name);
  } else {
    sim_.cluster.without_cluster.erase(name);
  }
  sim_.cluster.update();
}

void Scenario::do_other_cpu(const Statement& s) { node_at(s, 1).cpu = node_at(s, 1).name; }
void Scenario::do_other_disk(const Statement& s) { node_at(s, 1).disk_of_guests = node_at(s, 1).name; }

void Scenario::do_disk(const Statement& s) { node_at(s, 1).disk.full = s.words[0] == "fill-disk"; }

void Scenario::do_clock(const Statement& s) {
  if (s.words[0] == "jump-clock") return sim_.jump_boot_clock(node_at(s, 1).name, time_of(s.line, word_at(s, 2)));
  // The wall clock can be set back, too.
  const bool back = word_at(s, 2).starts_with("-");
  const Time by = time_of(s.line, word_at(s, 2).substr(back ? 1 : 0));
  node_at(s, 1).wall_ahead += back ? -by : by;
}

void Scenario::do_message(const Statement& s) {
  MessageFault fault;
  fault.kind = s.words[0] == "lose"   ? MessageFault::Kind::lost
               : s.words[0] == "late" ? MessageFault::Kind::late
                                      : MessageFault::Kind::repeated;
  int times = 1;
  for (std::size_t i = 4; i < s.words.size(); ++i) {
    if (s.words[i].starts_with("x")) {
      times = std::stoi(s.words[i].substr(1));
    } else {
      fault.after = time_of(s.line, s.words[i]);
    }
  }
  faults_[{word_at(s, 1), node_at(s, 2).name, node_at(s, 3).name}] = {fault, times};
}

void Scenario::do_leave(const Statement& s) {
  Node& node = node_at(s, 1);
  if (!node.daemon) wrong(s.line, "its daemon is not running at this moment");
  if (s.words[0] == "drain") {
    node.daemon->engine->drain(Milliseconds{time_of(s.line, word_at(s, 2))},
                               [this, name = node.name] { sim_.log(name, "drained"); });
  } else {
    node.daemon->engine->say_farewell();
  }
}

void Scenario::do_forget(const Statement& s) {
  Node& node = node_at(s, 1);
  if (node.daemon) (void)node.daemon->engine->forget(node_at(s, 2).name);
}

}  // namespace migrationd::sim
