// SPDX-License-Identifier: GPL-2.0-or-later
// One TCP connection between two daemons, in either role: the TLS handshake, the two Hellos, then messages from the
// dialer to the acceptor, and the acceptor's Pongs back. Internal to node-link; includes Asio, so include it nowhere else.
//
// Whoever finds a reason to end it calls close(reason): all that waits on it then ends with that reason.
#pragma once

#include <array>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "migrationd/io/link-authentication.h"
#include "migrationd/io/node-link.h"
#include "migrationd/io/secure-stream.h"
#include "migrationd/wire/frame.h"
#include "migrationd/wire/peer-message.h"

namespace migrationd::io {

/// Why a connection ended; thrown by the coroutines of LinkConnection.
struct LinkFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Such as 192.0.2.1:6415 or [2001:db8::1]:6415.
std::string to_text(const boost::asio::ip::tcp::endpoint& endpoint);

/// A socket that takes only so many bytes until it's told that the sender is known: what OpenSSL keeps of an
/// unfinished handshake is bounded with it.
class BudgetSocket {
 public:
  using tcp = boost::asio::ip::tcp;
  using executor_type = tcp::socket::executor_type;
  using lowest_layer_type = tcp::socket::lowest_layer_type;

  explicit BudgetSocket(tcp::socket socket) : socket_(std::move(socket)) {}
  executor_type get_executor() { return socket_.get_executor(); }
  lowest_layer_type& lowest_layer() { return socket_.lowest_layer(); }
  const lowest_layer_type& lowest_layer() const { return socket_.lowest_layer(); }
  tcp::socket& socket() { return socket_; }
  void lift_limit() { limited_ = false; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return boost::asio::async_compose<Token, void(boost::system::error_code, std::size_t)>(
        [this, buffers, asked = false](auto& self, boost::system::error_code code = {}, std::size_t count = 0) mutable {
          if (!asked) {
            asked = true;
            socket_.async_read_some(buffers, std::move(self));
            return;
          }
          taken_ += count;
          if (limited_ && taken_ > wire::frame_limit_unauthenticated) code = boost::asio::error::message_size;
          self.complete(code, count);
        },
        token, socket_);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return socket_.async_write_some(buffers, std::forward<Token>(token));
  }

 private:
  tcp::socket socket_;
  bool limited_ = true;
  std::size_t taken_ = 0;
};

class LinkConnection : public std::enable_shared_from_this<LinkConnection> {
 public:
  using tcp = boost::asio::ip::tcp;

  /// `settings` must outlive it. `proof` says the role and, when dialing, whom we mean.
  LinkConnection(tcp::socket socket, const LinkSettings& settings, std::unique_ptr<LinkProof> proof);

  /// Connects (dialing only). Deadline: settings.times.connect.
  boost::asio::awaitable<void> connect(tcp::endpoint endpoint);
  /// TLS and the two Hellos. Deadline for all of it: settings.times.authenticate. Afterwards peer() and hello()
  /// are the other side's, proven and negotiated. Accepting: or a Carry came in the Hello's place, see carry().
  boost::asio::awaitable<void> authenticate();
  /// Accepting: the other side wants to use this connection for a stream; it waits for the answer.
  const std::optional<wire::Carry>& carry() const { return carry_; }
  /// Answers it. Nothing else is sent before that or after it.
  boost::asio::awaitable<void> answer(const wire::Carried& answer);
  /// Dialing, instead of authenticate(): TLS, the question and its answer, in the same time. Fails with the other side's refusal.
  boost::asio::awaitable<void> ask(wire::Carry carry);
  /// After answer() or ask(): the connection itself, for whoever carries the stream. This object is closed then.
  SecureStream release();
  /// The next message, accepting; Pings are answered here. Dialing: never returns, only takes the Pongs in and throws
  /// at the end. Only after authenticate().
  boost::asio::awaitable<wire::PeerMessage> receive();

  /// Queues it. Over the queue's limit the connection is closed: the peer doesn't read.
  void send(const wire::PeerMessage& message);
  /// Ends it; the first reason counts.
  void close(const std::string& reason);
  /// Sends what is queued, then says that nothing follows and waits for the other side to close.
  void finish();

  /// What it brought and nobody has heard yet is not to be heard any more.
  void silence() { silenced_ = true; }
  bool silenced() const { return silenced_; }

  bool closed() const { return closed_; }
  bool was_connected() const { return connected_; }
  const std::string& reason() const { return reason_; }
  const NodeName& peer() const { return proof_->peer(); }
  const wire::Hello& hello() const { return hello_; }
  const tcp::endpoint& endpoint() const { return endpoint_; }  ///< dialing: where to
  const std::string& credential() const { return proof_->credential(); }
  /// The other end, such as 192.0.2.1:6415.
  const std::string& remote() const { return remote_; }

 private:
  void arm(Milliseconds after, std::string reason);
  void disarm();
  void tick();
  void write_next();
  void queue(std::string bytes);
  void prepare_socket();
  boost::asio::awaitable<void> handshake();
  boost::asio::awaitable<void> write_alone(const wire::PeerMessage& message);
  void check_hello(const wire::Hello& hello);
  std::string handshake_failure(const boost::system::error_code& code) const;
  boost::asio::awaitable<wire::PeerMessage> read_message();
  [[noreturn]] void fail(const std::string& text);

  const LinkSettings& settings_;
  std::unique_ptr<LinkProof> proof_;
  boost::asio::ssl::stream<BudgetSocket> stream_;
  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer ticker_;
  wire::FrameParser parser_{wire::frame_limit_unauthenticated};
  std::array<char, 16384> chunk_;
  std::deque<std::string> queue_;
  std::size_t queued_ = 0;
  wire::Hello hello_;
  std::optional<wire::Carry> carry_;
  tcp::endpoint endpoint_;
  std::chrono::steady_clock::time_point heard_;
  std::uint64_t pings_ = 0;
  std::string remote_;
  std::string reason_;
  bool connected_ = false;
  bool closed_ = false;
  bool writing_ = false;
  bool finishing_ = false;
  bool silenced_ = false;
};

}  // namespace migrationd::io
