// SPDX-License-Identifier: GPL-2.0-or-later
// The links to the other nodes' daemons. Each daemon dials every other node and sends only over the connection that
// it has dialed itself; it receives only over those that it has accepted. So there are two connections per pair of nodes
// and no tie to break:
//
//        node a                                node b
//      dialed   ---- a's messages, Pings --->   accepted
//               <--- Hello, Pongs -----------
//      accepted <--- b's messages, Pings ----   dialed
//               ---- Hello, Pongs ---------->
//
// A link counts as up while both stand and both lead to the same life of the other daemon (installation and
// incarnation). Each connection is watched by itself, with the Ping and the Pong of that same connection: a Pong over
// the other one could hide that this one is dead.
//
// Single-threaded: all calls and callbacks on the thread that runs the io_context.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"
#include "migrationd/io/address.h"
#include "migrationd/io/link-authentication.h"
#include "migrationd/io/secure-stream.h"

namespace boost::asio {
class io_context;
}

namespace migrationd::io {

/// This release's version of the peers' protocol, and the oldest it still speaks.
inline constexpr int link_protocol = 1;
inline constexpr int link_protocol_oldest = 1;

/// Tests make them shorter.
struct LinkTimes {
  Milliseconds connect{3000};        ///< for a TCP connection to one address
  Milliseconds authenticate{10000};  ///< for TLS and the Hellos
  Milliseconds keepalive{1000};      ///< between two Pings
  Milliseconds silence{5000};        ///< nothing heard for so long: the connection is dead. Also TCP_USER_TIMEOUT
  Milliseconds redial_first{200};    ///< pause after the first failure; doubled with each further one ...
  Milliseconds redial_most{2000};    ///< ... up to this
};

struct LinkSettings {
  NodeName self;
  /// Where to accept: addresses of this node (a port in them goes before `port`), or names, which stand for all that
  /// they resolve to but loopback, unless that is all. Empty: all addresses.
  std::vector<std::string> listen;
  /// Where to accept, and where to dial when a node's address has no port. 0: any free one (tests).
  std::uint16_t port = default_port;
  /// Ours; its `protocol` is the highest version that we speak.
  wire::Hello hello;
  /// How the nodes prove who they are.
  LinkAuthenticationPtr authentication;
  LinkTimes times;
  std::size_t unauthenticated_most = 32;          ///< connections at once
  int complaints_most = 5;                        ///< log lines about strangers in ten seconds
  std::size_t queue_limit = 16 * 1024 * 1024;     ///< bytes that wait to be sent to one node
};

/// The local end of a stream that another node wants to have carried to this one; destroyed without begin(): nothing came of it.
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;
  /// The other end; once.
  virtual void begin(SecureStream remote) = 0;
};

/// Takes such streams. Called on the loop.
class StreamReceiver {
 public:
  virtual ~StreamReceiver() = default;
  /// The local end of a stream that `from`, authenticated, asks for. Error: it is refused; the other node is told why.
  virtual Result<std::unique_ptr<StreamEnd>> receive_stream(const NodeName& from, const wire::Carry& carry) = 0;
};

class NodeLink : public engine::Peers {
 public:
  /// `loop` and `log` must outlive it.
  NodeLink(boost::asio::io_context& loop, LinkSettings settings, engine::Log& log);
  ~NodeLink() override;  ///< as stop()

  /// Binds and accepts from now on. An error names the address and what is in the way. Blocks only while a name in
  /// `listen` is looked up.
  Outcome start();
  /// The other nodes, each with its addresses in the order to try. May be called again at any time: links to nodes that are gone are
  /// closed, new ones are dialed. An entry of our own name is left out.
  void set_nodes(const std::map<NodeName, std::vector<std::string>>& nodes);
  /// New handshakes use it; connections that it does not accept any more, because their key was dropped or their certificate revoked, are closed.
  void set_authentication(LinkAuthenticationPtr authentication);
  /// Something says that `node` is there again (it became a member): dial now instead of after the pause.
  void hint(const NodeName& node);
  /// Where it accepts, such as 127.0.0.1:6415.
  std::vector<std::string> listening() const;
  /// Why there is no dialed connection to `node`; empty when there is one, or nothing was tried yet.
  std::string trouble(const NodeName& node) const;

  /// Where other nodes' streams go; null: they are refused. It must outlive this object, or be taken back before.
  void receive_streams(StreamReceiver* receiver);
  /// Opens a connection of its own for a stream to `to`, by the address and key of the link there, or to the host `via` when that is not
  /// empty. Called back exactly once, unless this object is stopped before; error: why not.
  void open_stream(const NodeName& to, const std::string& via, const wire::Carry& carry, std::function<void(Result<SecureStream>)> done);

  /// Closes all at once; what is queued is lost. Nothing is called back any more, and run() of the loop may return.
  void stop();
  /// Sends what is queued (a Farewell) and waits until the others have read it, at most `limit`; then as stop(), then `done`.
  void finish(Milliseconds limit, std::function<void()> done);

  // engine::Peers
  void listen(engine::PeerListener* listener) override;
  void send(const NodeName& to, const wire::PeerMessage& message) override;
  bool linked(const NodeName& node) const override;
  std::string boot_id(const NodeName& node) const override;
  void drop(const NodeName& node) override;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace migrationd::io
