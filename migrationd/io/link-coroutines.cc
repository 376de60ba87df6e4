// SPDX-License-Identifier: GPL-2.0-or-later
// The conversations of NodeLink: accepting other nodes' connections and dialing them.
#include "migrationd/io/node-link-impl.h"

namespace migrationd::io {

// ---------------------------------------------------------------- accepting

asio::awaitable<void> NodeLink::Impl::accept(std::shared_ptr<tcp::acceptor> acceptor) {
  const auto self = shared_from_this();
  while (!stopped) {
    auto [code, socket] = co_await acceptor->async_accept(as_result);
    if (stopped || !acceptor->is_open()) co_return;
    if (code) {
      if (may_complain()) say(Level::warning, "can't accept a connection: " + code.message());
      asio::steady_timer breath(loop, settings.times.redial_first);  // out of descriptors, say
      co_await breath.async_wait(as_result);
      continue;
    }
    if (pending.size() >= settings.unauthenticated_most) {
      if (may_complain())
        say(Level::warning, "a connection was refused: " + std::to_string(pending.size()) +
                                " others have not said yet who they are; is something scanning this port?");
      continue;  // closes it
    }
    spawn(serve(std::move(socket)), "a connection from another node");
  }
}

/// Only so many complaints about strangers in ten seconds, so that they can't fill the log.
bool NodeLink::Impl::may_complain() {
  const auto now = std::chrono::steady_clock::now();
  if (now - complaints_from > std::chrono::seconds(10)) {
    const int untold = complaints - settings.complaints_most;
    if (untold > 0) say(Level::warning, std::to_string(untold) + " more connections failed or were refused");
    complaints_from = now;
    complaints = 0;
  }
  return ++complaints <= settings.complaints_most;
}

asio::awaitable<void> NodeLink::Impl::serve(tcp::socket socket) {
  const auto self = shared_from_this();
  std::set<NodeName> known;
  for (const auto& [name, peer] : peers) known.insert(name);
  const auto connection = std::make_shared<LinkConnection>(std::move(socket), settings, settings.authentication->accept(settings.self, std::move(known)));
  pending.insert(connection);
  // Also when something unforeseen is thrown, a slot must come back.
  const std::shared_ptr<void> slot(nullptr, [this, connection](void*) { pending.erase(connection); });
  PeerPtr peer;
  try {
    co_await connection->authenticate();
    pending.erase(connection);
    const auto it = peers.find(connection->peer());
    if (stopped || it == peers.end()) {
      connection->close("the node was taken out of the configuration");
      co_return;
    }
    if (connection->carry()) {
      co_await receive_stream(connection);
      co_return;
    }
    peer = it->second;
    accepted(connection);
    for (;;) {
      auto message = co_await connection->receive();
      if (peer->in != connection || connection->silenced()) break;
      deliver([name = peer->name, connection, installation = connection->hello().installation,
               message = std::move(message)](engine::PeerListener& listener) {
        if (!connection->silenced()) listener.received(name, installation, message);
      });
    }
  } catch (const LinkFailure& failure) {
    if (!stopped && peer && peer->in == connection)
      say(Level::info, "connection from " + peer->name + " ended: " + failure.what());
    else if (!stopped && !peer && may_complain())
      say(Level::warning, "a connection from " + connection->remote() + " was refused: " + failure.what());
  }
  connection->close("done");
  if (peer && peer->in == connection) {
    peer->in = nullptr;
    report(*peer);
    wake(*peer);
  }
}

/// Another node's stream: its local end is there before the answer, so that a later one can't overtake it.
asio::awaitable<void> NodeLink::Impl::receive_stream(ConnectionPtr connection) {
  const NodeName from = connection->peer();
  const wire::Carry carry = *connection->carry();
  std::string refusal = "streams are not carried to this node";
  std::unique_ptr<StreamEnd> end;
  if (receiver) {
    auto received = receiver->receive_stream(from, carry);
    refusal = received.ok() ? "" : received.error();
    if (received.ok()) end = std::move(received.value());
  }
  const wire::Carried answer{refusal};  // a temporary would be destroyed twice by GCC 12's coroutines
  co_await connection->answer(answer);
  if (end && !stopped) {
    end->begin(connection->release());
    co_return;
  }
  say(Level::warning, std::string("a stream (") + wire::to_string(carry.stream) + ") of " + from + " for domain " + carry.domain.str() +
                          " was refused: " + refusal);
  connection->finish();
}

// ---------------------------------------------------------------- dialing

asio::awaitable<void> NodeLink::Impl::dial_again_and_again(PeerPtr peer) {
  const auto self = shared_from_this();
  peer->pause_length = settings.times.redial_first;
  while (!stopped && !peer->gone) {
    peer->hinted = false;
    const bool was_up = co_await dial_all(peer);
    if (stopped || peer->gone) break;
    if (was_up) peer->pause_length = settings.times.redial_first;
    if (!peer->hinted) {
      peer->pause.expires_after(peer->pause_length);
      co_await peer->pause.async_wait(as_result);
    }
    if (!was_up) peer->pause_length = std::min(peer->pause_length * 2, settings.times.redial_most);
  }
}

asio::awaitable<std::vector<tcp::endpoint>> NodeLink::Impl::resolve(std::string address, std::string& failure) {
  std::vector<tcp::endpoint> endpoints;
  const auto parsed = parse_address(address);
  if (!parsed) {
    failure = "\"" + address + "\" is no address";
    co_return endpoints;
  }
  const auto port = parsed->port.value_or(settings.port);
  error_code numeric;
  const auto literal = asio::ip::make_address(parsed->host, numeric);
  if (!numeric) {
    endpoints.emplace_back(literal, port);
    co_return endpoints;
  }
  tcp::resolver resolver(loop);
  const auto [code, found] = co_await resolver.async_resolve(parsed->host, std::to_string(port), as_result);
  if (code) failure = "the address " + parsed->host + " is not known (" + code.message() + ")";
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  co_return endpoints;
}

/// Tries each address with each credential until one conversation was had; whether there was one.
asio::awaitable<bool> NodeLink::Impl::dial_all(PeerPtr peer) {
  const auto self = shared_from_this();
  const auto addresses = peer->addresses;
  std::string why = addresses.empty() ? "no address of it is known" : "";
  for (const std::string& address : addresses) {
    peer->dialed_address = address;
    std::string failure;
    const auto endpoints = co_await resolve(address, failure);
    for (const tcp::endpoint& endpoint : endpoints) {
      const auto authentication = settings.authentication;  // as it is now
      for (const std::string& credential : authentication->credentials()) {
        if (stopped || peer->gone) co_return false;
        auto connection = std::make_shared<LinkConnection>(tcp::socket(loop), settings, authentication->dial(settings.self, peer->name, credential));
        bool was_up = false;
        peer->dialing = connection;
        const std::string ended = co_await converse(peer, connection, endpoint, was_up);
        if (peer->dialing == connection) peer->dialing = nullptr;
        if (was_up) co_return true;
        failure = to_text(endpoint) + ": " + ended;
        if (!connection->was_connected()) break;  // another credential makes no difference
      }
    }
    if (!failure.empty()) why += (why.empty() ? "" : "; ") + failure;
  }
  troubled(*peer, why);
  co_return false;
}

asio::awaitable<SecureStream> NodeLink::Impl::dial_stream(PeerPtr peer, tcp::endpoint endpoint, std::string credential, wire::Carry carry) {
  const auto connection = std::make_shared<LinkConnection>(tcp::socket(loop), settings, settings.authentication->dial(settings.self, peer->name, credential));
  co_await connection->connect(endpoint);
  co_await connection->ask(std::move(carry));
  co_return connection->release();
}

/// Only one attempt: who carries a migration's stream rather fails soon than connects twice.
asio::awaitable<void> NodeLink::Impl::open_stream(PeerPtr peer, std::string via, wire::Carry carry,
                                                  std::function<void(Result<SecureStream>)> done) {
  const auto self = shared_from_this();
  std::string failure = "there is no link to " + peer->name;
  std::optional<SecureStream> opened;
  if (const ConnectionPtr link = peer->out) {
    std::vector<tcp::endpoint> endpoints = {link->endpoint()};
    if (!via.empty()) endpoints = co_await resolve(via, failure);
    const std::string credential = link->credential();
    for (const tcp::endpoint& endpoint : endpoints) {
      if (!settings.authentication->accepts(credential) || opened || stopped) break;
      try {
        opened = co_await dial_stream(peer, endpoint, credential, carry);
      } catch (const LinkFailure& problem) {
        failure = peer->name + " (" + to_text(endpoint) + "): " + problem.what();
      }
    }
  }
  if (stopped) co_return;
  if (opened) {
    done(std::move(*opened));
  } else {
    done(Error{failure});
  }
}

/// From connecting to the end; returns why it ended.
asio::awaitable<std::string> NodeLink::Impl::converse(PeerPtr peer, ConnectionPtr connection, tcp::endpoint endpoint,
                                                      bool& was_up) {
  std::string why;
  try {
    co_await connection->connect(endpoint);
    co_await connection->authenticate();
    if (stopped || peer->gone) {
      connection->close("this daemon stops, or the node was taken out of the configuration");
      co_return connection->reason();
    }
    was_up = true;
    peer->dialing = nullptr;
    peer->trouble.clear();
    peer->out = connection;
    if (peer->in && !same_life(peer->in->hello(), connection->hello()))
      peer->in->close("the daemon of " + peer->name + " was restarted");
    report(*peer);
    for (;;) co_await connection->receive();
  } catch (const LinkFailure& failure) {
    why = failure.what();
  }
  connection->close(why);
  if (peer->out == connection) {
    peer->out = nullptr;
    if (!stopped) say(Level::info, "connection to " + peer->name + " ended: " + why);
    report(*peer);
    check_finished();
  }
  co_return why;
}

}  // namespace migrationd::io
