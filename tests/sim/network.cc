// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/network.h"

#include "tests/sim/node.h"
#include "tests/sim/simulation.h"

namespace migrationd::sim {

namespace {
struct KindOf {
  std::string operator()(const wire::Hello&) const { return "hello"; }
  std::string operator()(const wire::Claim&) const { return "claim"; }
  std::string operator()(const wire::Withdraw&) const { return "withdraw"; }
  std::string operator()(const wire::Given&) const { return "given"; }
  std::string operator()(const wire::Released&) const { return "released"; }
  std::string operator()(const wire::Gone&) const { return "gone"; }
  std::string operator()(const wire::Wait&) const { return "wait"; }
  std::string operator()(const wire::Acknowledged&) const { return "acknowledged"; }
  std::string operator()(const wire::Invite&) const { return "invite"; }
  std::string operator()(const wire::Refusal&) const { return "refusal"; }
  std::string operator()(const wire::Note&) const { return "note"; }
  std::string operator()(const wire::AskReady&) const { return "ask-ready"; }
  std::string operator()(const wire::Ready&) const { return "ready"; }
  std::string operator()(const wire::Farewell&) const { return "farewell"; }
  std::string operator()(const wire::Carry&) const { return "carry"; }
  std::string operator()(const wire::Carried&) const { return "carried"; }
  std::string operator()(const wire::Ping&) const { return "ping"; }
  std::string operator()(const wire::Pong&) const { return "pong"; }
  std::string operator()(const wire::SwitchingOver&) const { return "switching-over"; }
  std::string operator()(const wire::Defined&) const { return "defined"; }
  std::string operator()(const wire::AskDefinition&) const { return "ask-definition"; }
};
}  // namespace

std::string Network::kind_of(const wire::PeerMessage& message) { return std::visit(KindOf{}, message); }

void Network::set_cut(Channel channel, const NodeName& from, const NodeName& to, bool cut) {
  if (cut) {
    cuts_.emplace(channel, from, to);
  } else {
    cuts_.erase({channel, from, to});
  }
  sim_.disturb();
  update();
  sim_.paths_changed();
  sim_.cluster.update();
}

void Network::heal_all() {
  sim_.disturb();
  cuts_.clear();
  update();
  sim_.paths_changed();
  sim_.cluster.update();
}

bool Network::cut_either_way(const Pair& pair) const {
  return cut(Channel::peers, pair.first, pair.second) || cut(Channel::peers, pair.second, pair.first);
}

std::uint64_t Network::wanted(const Pair& pair) const {
  const Node* a = sim_.node(pair.first);
  const Node* b = sim_.node(pair.second);
  if (!a->daemon || !b->daemon || cut_either_way(pair)) return 0;
  return a->daemon->life * 100'000 + b->daemon->life;
}

void Network::update() {
  const auto names = sim_.node_names();
  for (const NodeName& a : names) {
    for (const NodeName& b : names) {
      if (!(a < b)) continue;
      const Pair pair{a, b};
      Link& link = links_[pair];
      const std::uint64_t want = wanted(pair);
      if (link.changing || (link.up && want == link.lives) || (!link.up && want == 0)) continue;
      link.changing = true;
      Time after = sim_.settings.reconnect;
      if (link.up) {  // a daemon that died closes its sockets; a node that died, or a cut, says nothing
        const bool silent = cut_either_way(pair) || !sim_.node(a)->powered || !sim_.node(b)->powered;
        after = silent ? sim_.settings.link_timeout : sim_.settings.latency;
      }
      sim_.queue.after(after, [this, pair] { look(pair); });
    }
  }
}

void Network::look(const Pair& pair) {
  Link& link = links_[pair];
  link.changing = false;
  const std::uint64_t want = wanted(pair);
  if (link.up && want != link.lives) {
    set_up(pair, false, 0);
  } else if (!link.up && want != 0) {
    set_up(pair, true, want);
  }
  update();
}

void Network::set_up(const Pair& pair, bool up, std::uint64_t lives) {
  links_[pair].up = up;
  links_[pair].lives = lives;
  for (const auto& [here, there] : {std::pair{pair.first, pair.second}, std::pair{pair.second, pair.first}}) {
    Node* node = sim_.node(here);
    if (!node->daemon) continue;
    sim_.to_daemon(0, node->daemon, [this, node, there = there, up] {
      if (!node->daemon || !node->daemon->peer_listener) return;
      if (up) node->daemon->linked_boots[there] = there + "-" + std::to_string(sim_.node(there)->boots);
      node->daemon->peer_listener->link_changed(there, up);
    });
  }
}

bool Network::linked(const NodeName& a, const NodeName& b) const {
  const auto found = links_.find(pair_of(a, b));
  return found != links_.end() && found->second.up;
}

void Network::send(const NodeName& from, const NodeName& to, const wire::PeerMessage& message) {
  const std::string kind = kind_of(message);
  if (!linked(from, to)) return;
  sim_.step("send " + kind + " " + from + ">" + to);
  MessageFault done;
  if (fault) done = fault(kind, from, to);
  const std::string installation = sim_.node(from)->installation();
  const std::uint64_t lives = links_[pair_of(from, to)].lives;
  const Time latency = sim_.settings.latency;
  if (cut(Channel::peers, from, to)) return;
  const auto arrive = [this, from, installation, to, message, kind] { deliver(from, installation, to, message, kind); };
  switch (done.kind) {
    case MessageFault::Kind::lost:
      return;
    case MessageFault::Kind::late:
      sim_.queue.after(latency + done.after, arrive);
      return;
    case MessageFault::Kind::repeated:
      sim_.queue.after(latency + done.after, arrive);
      break;
    case MessageFault::Kind::none:
      break;
  }
  sim_.queue.after(latency, [this, from, to, lives, arrive] {
    const Link& link = links_[pair_of(from, to)];
    if (link.up && link.lives == lives && !cut(Channel::peers, from, to)) arrive();
  });
}

void Network::deliver(const NodeName& from, const std::string& installation, const NodeName& to,
                      const wire::PeerMessage& message, const std::string& kind) {
  Node* node = sim_.node(to);
  if (!node->daemon || !linked(from, to)) return;
  sim_.to_daemon(0, node->daemon, [this, node, from, installation, message, kind, to] {
    if (!node->daemon || !node->daemon->peer_listener) return;
    node->daemon->peer_listener->received(from, installation, message);
    sim_.step("received " + kind + " " + from + ">" + to);
  });
}

}  // namespace migrationd::sim
