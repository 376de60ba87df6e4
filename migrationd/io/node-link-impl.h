// SPDX-License-Identifier: GPL-2.0-or-later
// What NodeLink is inside: the nodes, their connections and the coroutines that keep them. Internal to
// node-link; includes Asio, so include it nowhere else.
//
// Coroutines: one per listening address (accept), one per connection that came in (serve), one per node
// (dial_again_and_again), one per stream that is being set up (open_stream). Each holds the Impl, ends by itself once `stopped` is set and its socket or timer is
// closed, and has a completion handler that logs what nobody expected.
#pragma once

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <set>

#include "migrationd/io/link-connection.h"
#include "migrationd/io/node-link.h"

namespace migrationd::io {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Level = engine::Log::Level;
using ConnectionPtr = std::shared_ptr<LinkConnection>;

inline constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

struct Peer {
  Peer(asio::io_context& loop, NodeName name) : name(std::move(name)), pause(loop) {}
  NodeName name;
  std::vector<std::string> addresses;
  asio::steady_timer pause;   ///< before the next dial
  Milliseconds pause_length{0};
  bool gone = false;          ///< taken out of the configuration
  bool hinted = false;        ///< skip the pause that comes
  bool reported = false;      ///< what link_changed said last
  std::string boot_id;        ///< of the Hello with which it was linked last
  std::string dialed_address; ///< of `out` or of what is to become it
  ConnectionPtr dialing;      ///< not authenticated yet
  ConnectionPtr out, in;      ///< authenticated
  std::string trouble;        ///< why there's no `out`, as logged last
};
using PeerPtr = std::shared_ptr<Peer>;

inline bool same_life(const wire::Hello& one, const wire::Hello& other) {
  return one.installation == other.installation && one.incarnation == other.incarnation;
}


struct NodeLink::Impl : std::enable_shared_from_this<Impl> {
  Impl(asio::io_context& loop, LinkSettings settings, engine::Log& log)
      : loop(loop), log(log), settings(std::move(settings)), finish_timer(loop) {}

  void say(Level level, const std::string& text) { log.write(level, "", text); }
  void alarm(AlarmKind kind, const Subject& subject, const std::string& text) { log.raise(kind, subject, text); }

  template <class Coroutine>
  void spawn(Coroutine&& coroutine, std::string what) {
    asio::co_spawn(loop, std::forward<Coroutine>(coroutine),
                   [self = shared_from_this(), what = std::move(what)](std::exception_ptr error) {
                     try {
                       if (error) std::rethrow_exception(error);
                     } catch (const std::exception& e) {
                       if (!self->stopped) self->alarm(AlarmKind::internal_error, Subject::daemon(), what + " ended unexpectedly: " + e.what());
                     }
                   });
  }

  // ---- callbacks: always from the loop, one after another, in the order of what happened ----

  void deliver(std::function<void(engine::PeerListener&)> call) {
    calls.push_back(std::move(call));
    asio::post(loop, [self = shared_from_this()] {
      if (self->calls.empty()) return;
      const auto next = std::move(self->calls.front());
      self->calls.pop_front();
      if (!self->stopped && self->listener) next(*self->listener);
    });
  }

  bool is_up(const Peer& peer) const { return peer.out && peer.in && same_life(peer.out->hello(), peer.in->hello()); }

  void report(Peer& peer) {
    const bool up = is_up(peer);
    if (up == peer.reported) return;
    peer.reported = up;
    if (up) peer.boot_id = peer.out->hello().boot_id;
    say(Level::notice, up ? "link to " + peer.name + ": up (" + peer.out->remote() + ")" : "link to " + peer.name + ": down");
    deliver([name = peer.name, up](engine::PeerListener& listener) { listener.link_changed(name, up); });
  }

  // ---- accepting ----

  Outcome start();
  error_code listen_at(tcp::endpoint where);
  Outcome listen_at_name(const std::string& address);
  asio::awaitable<void> accept(std::shared_ptr<tcp::acceptor> acceptor);
  asio::awaitable<void> serve(tcp::socket socket);
  bool may_complain();

  void accepted(const ConnectionPtr& connection) {
    Peer& peer = *peers.at(connection->peer());
    if (peer.in) {
      peer.in->close("the node dialed again");
      peer.in = nullptr;
      report(peer);
    }
    peer.in = connection;
    if (peer.out && !same_life(peer.out->hello(), connection->hello()))
      peer.out->close("the daemon of " + peer.name + " was restarted");
    report(peer);
    wake(peer);
  }

  // ---- dialing ----

  asio::awaitable<void> dial_again_and_again(PeerPtr peer);
  asio::awaitable<bool> dial_all(PeerPtr peer);
  asio::awaitable<std::vector<tcp::endpoint>> resolve(std::string address, std::string& failure);
  asio::awaitable<void> open_stream(PeerPtr peer, std::string via, wire::Carry carry, std::function<void(Result<SecureStream>)> done);
  asio::awaitable<SecureStream> dial_stream(PeerPtr peer, tcp::endpoint endpoint, std::string credential, wire::Carry carry);
  asio::awaitable<void> receive_stream(ConnectionPtr connection);
  asio::awaitable<std::string> converse(PeerPtr peer, ConnectionPtr connection, tcp::endpoint endpoint, bool& was_up);

  void wake(Peer& peer) {
    if (peer.out || peer.dialing) return;
    peer.hinted = true;
    peer.pause.cancel();
  }

  void troubled(Peer& peer, const std::string& why) {
    if (peer.trouble == why || stopped || peer.gone) return;
    peer.trouble = why;
    say(Level::warning, "no link to " + peer.name + ": " + why + "; tried again all the time");
  }

  void drop(Peer& peer, const std::string& why) {
    peer.gone = true;
    peer.pause.cancel();
    for (const auto& connection : {peer.dialing, peer.out, peer.in})
      if (connection) connection->close(why);
    // Their coroutines take them out later; for everybody else they're gone now.
    peer.out = peer.in = nullptr;
    report(peer);
  }

  /// The last reader may have gone: then finish() waits no longer.
  void check_finished() {
    const auto open = [](const auto& entry) { return entry.second->out != nullptr; };
    if (finishing && std::none_of(peers.begin(), peers.end(), open)) finish_timer.cancel();
  }

  void stop() {
    if (stopped) return;
    stopped = true;
    finish_timer.cancel();
    error_code ignored;
    for (const auto& acceptor : acceptors) acceptor->close(ignored);
    for (const auto& [name, peer] : peers) drop(*peer, "this daemon stops");
    for (const auto& connection : pending) connection->close("this daemon stops");
    calls.clear();
  }

  asio::io_context& loop;
  engine::Log& log;
  LinkSettings settings;
  engine::PeerListener* listener = nullptr;
  StreamReceiver* receiver = nullptr;
  std::map<NodeName, PeerPtr> peers;
  std::vector<std::shared_ptr<tcp::acceptor>> acceptors;
  std::set<ConnectionPtr> pending;  ///< accepted, not authenticated yet
  std::deque<std::function<void(engine::PeerListener&)>> calls;
  asio::steady_timer finish_timer;
  std::chrono::steady_clock::time_point complaints_from{};
  int complaints = 0;
  bool finishing = false;
  bool stopped = false;
  bool reachable = true;   ///< nothing speaks against it that the others reach this node
  bool abandoned = false;  ///< the NodeLink is gone: call nobody
};

}  // namespace migrationd::io
