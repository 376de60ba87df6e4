// SPDX-License-Identifier: GPL-2.0-or-later
// Keeps one dialed and one accepted connection to each other node: setting up, changing and ending it. What goes on
// meanwhile is in link-coroutines.cc.
#include "migrationd/io/node-link.h"

#include <boost/asio/ip/v6_only.hpp>

#include "migrationd/io/node-link-impl.h"
#include "migrationd/io/own-address.h"
#include "migrationd/wire/peer-codec.h"

namespace migrationd::io {

namespace {
std::string cannot_listen(const std::string& where, const error_code& code) {
  return "can't listen on " + where + ": " + code.message() +
         (code == asio::error::address_in_use ? "; another program, or another migrationd, has this port: see ss -ltnp"
                                              : "; is it an address of this node? See \"listen\" in migrationd.conf");
}
}  // namespace

error_code NodeLink::Impl::listen_at(tcp::endpoint where) {
  error_code code, ignored;
  auto acceptor = std::make_shared<tcp::acceptor>(loop);
  acceptor->open(where.protocol(), code);
  if (!code) acceptor->set_option(tcp::acceptor::reuse_address(true), code);
  if (where.address().is_v6()) acceptor->set_option(asio::ip::v6_only(!where.address().is_unspecified()), ignored);
  if (!code) acceptor->bind(where, code);
  if (!code) acceptor->listen(asio::socket_base::max_listen_connections, code);
  if (!code) acceptors.push_back(acceptor);
  return code;
}

/// At each address that the name has; one that this node does not have is passed over if there is another.
Outcome NodeLink::Impl::listen_at_name(const std::string& address) {
  const auto parsed = parse_address(address);
  if (!parsed) return Error{"can't listen on \"" + address + "\": this is no address"};
  const auto found = addresses_of(parsed->host, real_network());
  if (found.empty()) return Error{"can't listen on " + address + ": the name is not known"};
  error_code not_numeric;
  asio::ip::make_address(parsed->host, not_numeric);
  if (not_numeric && found.front().is_loopback()) {
    reachable = false;
    alarm(AlarmKind::not_reachable, Subject::daemon(), "listen: the name " + parsed->host + " stands for " + found.front().to_string() +
                          " only, which no other node reaches: give it its real address in /etc/hosts, or write "
                          "listen = ADDRESS in migrationd.conf");
  }
  std::string missing;
  bool listening = false;
  for (const auto& one : found) {
    const tcp::endpoint endpoint(one, parsed->port.value_or(settings.port));
    const error_code code = listen_at(endpoint);
    if (code == asio::error::address_in_use) return Error{cannot_listen(to_text(endpoint), code)};
    if (code) missing += (missing.empty() ? "" : "; ") + cannot_listen(to_text(endpoint), code);
    listening = listening || !code;
  }
  if (!listening) return Error{missing};
  if (!missing.empty()) say(Level::warning, missing);
  return Done{};
}

Outcome NodeLink::Impl::start() {
  if (!wire::valid_node_name(settings.self)) return Error{"\"" + settings.self + "\" can't be a node's name: it's empty, too long or has blanks"};
  if (!settings.authentication) return Error{"there is nothing to prove to the other nodes who this one is"};
  if (const std::string why = settings.authentication->unusable(); !why.empty()) return Error{why};
  if (settings.listen.empty()) {
    error_code code = listen_at({tcp::v6(), settings.port});
    // a kernel without IPv6
    if (code == asio::error::address_family_not_supported) code = listen_at({tcp::v4(), settings.port});
    if (code) return Error{cannot_listen(to_text({tcp::v6(), settings.port}), code)};
  }
  for (const std::string& address : settings.listen) {
    if (auto listening = listen_at_name(address); !listening) return listening;
  }
  // A daemon before this one may have raised it.
  if (reachable) log.clear(AlarmKind::not_reachable, Subject::daemon(), "it listens where the other nodes may reach it");
  for (const auto& acceptor : acceptors) spawn(accept(acceptor), "accepting connections");
  return Done{};
}

// ---------------------------------------------------------------- the outside

NodeLink::NodeLink(asio::io_context& loop, LinkSettings settings, engine::Log& log)
    : impl_(std::make_shared<Impl>(loop, std::move(settings), log)) {}

NodeLink::~NodeLink() {
  impl_->listener = nullptr;
  impl_->abandoned = true;
  impl_->stop();
}

Outcome NodeLink::start() {
  auto started = impl_->start();
  if (!started.ok()) impl_->acceptors.clear();
  return started;
}

void NodeLink::set_nodes(const std::map<NodeName, std::vector<std::string>>& nodes) {
  Impl& impl = *impl_;
  if (impl.stopped) return;
  for (auto it = impl.peers.begin(); it != impl.peers.end();) {
    if (nodes.contains(it->first)) {
      ++it;
      continue;
    }
    impl.drop(*it->second, "the node was taken out of the configuration");
    it = impl.peers.erase(it);
  }
  for (const auto& [name, addresses] : nodes) {
    if (name == impl.settings.self) continue;
    if (!wire::valid_node_name(name)) {
      impl.alarm(AlarmKind::nodes_unknown, Subject::node(name), "no link to \"" + name + "\": that can't be a node's name");
      continue;
    }
    auto& peer = impl.peers[name];
    const bool fresh = !peer;
    if (fresh) peer = std::make_shared<Peer>(impl.loop, name);
    if (!fresh && peer->addresses == addresses) continue;
    peer->addresses = addresses;
    if (fresh) {
      impl.spawn(impl.dial_again_and_again(peer), "dialing " + name);
      continue;
    }
    const bool kept = std::find(addresses.begin(), addresses.end(), peer->dialed_address) != addresses.end();
    for (const auto& connection : {peer->dialing, peer->out})
      if (connection && !kept) connection->close("the node's addresses changed");
    impl.wake(*peer);
  }
}

void NodeLink::set_authentication(LinkAuthenticationPtr authentication) {
  Impl& impl = *impl_;
  impl.settings.authentication = std::move(authentication);
  for (const auto& [name, peer] : impl.peers) {
    for (const auto& connection : {peer->out, peer->in})
      if (connection && !impl.settings.authentication->accepts(connection->credential())) connection->close("its key or certificate counts no more");
    if (peer->dialing && peer->dialing != peer->out) peer->dialing->close("the keys or certificates changed meanwhile");
    impl.wake(*peer);
  }
  for (const auto& connection : impl.pending) connection->close("the keys changed meanwhile");
}

void NodeLink::hint(const NodeName& node) {
  const auto it = impl_->peers.find(node);
  if (it != impl_->peers.end()) impl_->wake(*it->second);
}

std::vector<std::string> NodeLink::listening() const {
  std::vector<std::string> addresses;
  error_code ignored;
  for (const auto& acceptor : impl_->acceptors) addresses.push_back(to_text(acceptor->local_endpoint(ignored)));
  return addresses;
}

std::string NodeLink::trouble(const NodeName& node) const {
  const auto it = impl_->peers.find(node);
  return it == impl_->peers.end() ? "" : it->second->trouble;
}

void NodeLink::receive_streams(StreamReceiver* receiver) { impl_->receiver = receiver; }

void NodeLink::open_stream(const NodeName& to, const std::string& via, const wire::Carry& carry,
                           std::function<void(Result<SecureStream>)> done) {
  const auto it = impl_->peers.find(to);
  if (it == impl_->peers.end() || impl_->stopped) {
    asio::post(impl_->loop, [self = impl_, to, done = std::move(done)] {
      if (!self->abandoned) done(Error{to + " is none of this cluster's configured nodes"});
    });
    return;
  }
  impl_->spawn(impl_->open_stream(it->second, via, carry, std::move(done)), "opening a stream to " + to);
}

void NodeLink::stop() { impl_->stop(); }

void NodeLink::finish(Milliseconds limit, std::function<void()> done) {
  Impl& impl = *impl_;
  for (const auto& acceptor : impl.acceptors) {
    error_code ignored;
    acceptor->close(ignored);
  }
  for (const auto& [name, peer] : impl.peers) {
    peer->gone = true;  // not dialed again
    peer->pause.cancel();
    if (peer->dialing) peer->dialing->close("this daemon stops");
    if (peer->out) peer->out->finish();
  }
  impl.finish_timer.expires_after(limit);
  impl.finish_timer.async_wait([self = impl_, done = std::move(done)](const error_code&) {
    self->stop();
    if (!self->abandoned) done();
  });
  impl.finishing = true;
  impl.check_finished();
}

void NodeLink::listen(engine::PeerListener* listener) { impl_->listener = listener; }

void NodeLink::send(const NodeName& to, const wire::PeerMessage& message) {
  const auto it = impl_->peers.find(to);
  if (it == impl_->peers.end() || !it->second->out) return;
  if (wire::encode(message).size() > wire::frame_limit)
    return impl_->alarm(AlarmKind::message_too_large, Subject::node(to), std::string("a ") + wire::kind(message) + " message for " + to +
                                        " is larger than 4 MiB and was not sent: the domain's definition is too large");
  it->second->out->send(message);
}

void NodeLink::drop(const NodeName& node) {
  const auto it = impl_->peers.find(node);
  if (it == impl_->peers.end()) return;
  for (const auto& connection : {it->second->out, it->second->in}) {
    if (!connection) continue;
    connection->silence();
    connection->close("the node is proven absent");
  }
}

bool NodeLink::linked(const NodeName& node) const {
  const auto it = impl_->peers.find(node);
  return it != impl_->peers.end() && impl_->is_up(*it->second);
}

std::string NodeLink::boot_id(const NodeName& node) const {
  const auto it = impl_->peers.find(node);
  return it != impl_->peers.end() ? it->second->boot_id : std::string();
}

}  // namespace migrationd::io
