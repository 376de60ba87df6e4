// SPDX-License-Identifier: GPL-2.0-or-later
// One connection between two daemons.
#include "migrationd/io/link-connection.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "migrationd/wire/peer-codec.h"

namespace migrationd::io {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

std::string seconds(Milliseconds time) {
  const auto count = time.count();
  return count % 1000 == 0 ? std::to_string(count / 1000) + " s" : std::to_string(count) + " ms";
}

std::string ended_text(const error_code& code) {
  if (code == asio::error::eof || code == asio::ssl::error::stream_truncated) return "the other side closed the connection";
  if (code == asio::error::message_size) return "more than 16 KiB came before the other side had said who it is";
  return code.message();
}

asio::ssl::stream<BudgetSocket> make_stream(asio::ip::tcp::socket socket, SSL_CTX& context) {
  // Asio's context frees what it's given: give it a reference of its own.
  SSL_CTX_up_ref(&context);
  asio::ssl::context shared(&context);
  return {BudgetSocket(std::move(socket)), shared};
}
}  // namespace

std::string to_text(const asio::ip::tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

LinkConnection::LinkConnection(tcp::socket socket, const LinkSettings& settings, std::unique_ptr<LinkProof> proof)
    : settings_(settings),
      proof_(std::move(proof)),
      stream_(make_stream(std::move(socket), proof_->context())),
      deadline_(stream_.get_executor()),
      ticker_(stream_.get_executor()),
      heard_(std::chrono::steady_clock::now()) {
  if (!proof_->attach(stream_.native_handle())) close("OpenSSL has no memory for another connection");
  if (!proof_->dialing()) prepare_socket();
}

void LinkConnection::prepare_socket() {
  error_code ignored;
  auto& socket = stream_.next_layer().socket();
  socket.set_option(tcp::no_delay(true), ignored);
  // tcp(7): unacknowledged data for so long breaks the connection, also when nobody is sending anything new.
  const auto limit = static_cast<unsigned int>(settings_.times.silence.count());
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
  remote_ = to_text(socket.remote_endpoint(ignored));
  connected_ = true;
}

void LinkConnection::close(const std::string& reason) {
  if (closed_) return;
  closed_ = true;
  reason_ = reason;
  error_code ignored;
  stream_.next_layer().socket().close(ignored);
  deadline_.cancel();
  ticker_.cancel();
}

void LinkConnection::fail(const std::string& text) {
  close(text);
  throw LinkFailure(reason_);
}

void LinkConnection::arm(Milliseconds after, std::string reason) {
  deadline_.expires_after(after);
  deadline_.async_wait([weak = weak_from_this(), reason = std::move(reason)](const error_code& code) {
    const auto self = weak.lock();
    // A wait that was on its way when it was disarmed is known by the new expiry.
    if (code || !self || self->deadline_.expiry() > std::chrono::steady_clock::now()) return;
    self->close(reason);
  });
}

void LinkConnection::disarm() { deadline_.expires_at(std::chrono::steady_clock::time_point::max()); }

asio::awaitable<void> LinkConnection::connect(tcp::endpoint endpoint) {
  auto& socket = stream_.next_layer().socket();
  endpoint_ = endpoint;
  arm(settings_.times.connect, "no TCP connection within " + seconds(settings_.times.connect));
  const auto [code] = co_await socket.async_connect(endpoint, as_result);
  if (code || closed_) fail("no TCP connection: " + code.message());
  disarm();
  prepare_socket();
}

std::string LinkConnection::handshake_failure(const error_code& code) const {
  if (!proof_->refusal().empty()) return proof_->refusal();
  if (!proof_->dialing() && !proof_->peer().empty())
    return "the handshake with " + proof_->peer() + " failed though it seemed to be that node: " + ended_text(code);
  if (code.category() == asio::error::get_ssl_category() && proof_->dialing())
    return "the other side refused our handshake (" + code.message() + "): " + proof_->suspicion() + ", or it is not the node " +
           proof_->peer() + ", or it does not have " + proof_->self() + " among its nodes; its own log says which";
  return "the handshake failed: " + ended_text(code);
}

asio::awaitable<void> LinkConnection::handshake() {
  arm(settings_.times.authenticate,
      "the other side did not say who it is within " + seconds(settings_.times.authenticate));
  const auto role = proof_->dialing() ? asio::ssl::stream_base::client : asio::ssl::stream_base::server;
  const auto [code] = co_await stream_.async_handshake(role, as_result);
  if (code || closed_) fail(handshake_failure(code));
  if (const std::string why = proof_->unproven(stream_.native_handle()); !why.empty()) fail(why);
}

asio::awaitable<void> LinkConnection::authenticate() {
  const auto self = shared_from_this();
  co_await handshake();
  if (proof_->dialing()) queue(wire::frame(wire::encode(settings_.hello)));
  auto first = co_await read_message();
  if (auto* carry = std::get_if<wire::Carry>(&first); carry && !proof_->dialing()) {
    carry_ = std::move(*carry);
    disarm();
    co_return;
  }
  const auto* hello = std::get_if<wire::Hello>(&first);
  if (!hello) fail(std::string("a ") + wire::kind(first) + " message came where a hello was due");
  check_hello(*hello);
  // From here on the other side may send at full size: it does so at the earliest when it has our Hello.
  parser_.set_limit(wire::frame_limit);
  stream_.next_layer().lift_limit();
  if (!proof_->dialing()) queue(wire::frame(wire::encode(settings_.hello)));
  disarm();
  heard_ = std::chrono::steady_clock::now();
  tick();
}

asio::awaitable<void> LinkConnection::ask(wire::Carry carry) {
  const auto self = shared_from_this();
  co_await handshake();
  co_await write_alone(carry);
  const auto answer = co_await read_message();
  const auto* carried = std::get_if<wire::Carried>(&answer);
  if (!carried) fail(std::string("a ") + wire::kind(answer) + " message came where the answer was due whether the stream is carried");
  if (!carried->why.empty()) fail(carried->why);
  disarm();
}

asio::awaitable<void> LinkConnection::answer(const wire::Carried& answer) {
  const auto self = shared_from_this();
  arm(settings_.times.authenticate, "the other side did not take the answer within " + seconds(settings_.times.authenticate));
  co_await write_alone(answer);
  disarm();
}

asio::awaitable<void> LinkConnection::write_alone(const wire::PeerMessage& message) {
  const std::string bytes = wire::frame(wire::encode(message));
  const auto [code, count] = co_await asio::async_write(stream_, asio::buffer(bytes), as_result);
  if (code || closed_) fail(ended_text(code));
}

SecureStream LinkConnection::release() {
  SSL* ssl = stream_.native_handle();
  SSL_up_ref(ssl);  // Asio's stream frees its own
  proof_->detach(ssl);
  error_code ignored;
  auto& socket = stream_.next_layer().socket();
  // It would also count a reader that takes nothing for a while, such as a disk that stalls. That the other node is gone is told by the
  // link, whose daemon answers all the time.
  const unsigned int none = 0;
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof none);
  SecureStream released(Fd(socket.release(ignored)), SslHandle(ssl));
  close("it carries a stream now");
  return released;
}

void LinkConnection::check_hello(const wire::Hello& hello) {
  hello_ = hello;
  hello_.protocol = std::min(hello.protocol, settings_.hello.protocol);
  if (hello_.protocol < link_protocol_oldest)
    fail("it speaks only version " + std::to_string(hello.protocol) + " of the protocol, " + settings_.self +
         " speaks " + std::to_string(link_protocol_oldest) + " to " + std::to_string(settings_.hello.protocol) +
         ": update " + proof_->peer());
  if (hello.installation == settings_.hello.installation)
    fail("node " + proof_->peer() + " has the same installation UUID as " + settings_.self +
         ": it is this very daemon or a copy of its disk; on the copy, remove the state directory of migrationd");
}

asio::awaitable<wire::PeerMessage> LinkConnection::read_message() {
  for (;;) {
    auto payload = parser_.next();
    if (!payload.ok()) fail(payload.error());
    if (payload.value()) {
      auto message = wire::decode_peer(*payload.value());
      if (!message.ok()) fail(message.error());
      co_return std::move(message.value());
    }
    const auto [code, count] = co_await stream_.async_read_some(asio::buffer(chunk_), as_result);
    // In TLS 1.3 the dialer hears only after its handshake that its certificate was refused (RFC 8446, section 4.4.2).
    if (code && proof_->dialing() && hello_.installation.empty() && code.category() == asio::error::get_ssl_category())
      fail(handshake_failure(code));
    if (code || closed_) fail(ended_text(code));
    heard_ = std::chrono::steady_clock::now();
    parser_.feed({chunk_.data(), count});
  }
}

asio::awaitable<wire::PeerMessage> LinkConnection::receive() {
  const auto self = shared_from_this();
  for (;;) {
    auto message = co_await read_message();
    if (proof_->dialing()) {
      if (std::holds_alternative<wire::Pong>(message)) continue;
      fail(std::string("a ") + wire::kind(message) + " message came back on a connection that we have dialed");
    }
    if (const auto* ping = std::get_if<wire::Ping>(&message)) {
      send(wire::Pong{ping->number});
      continue;
    }
    if (std::holds_alternative<wire::Hello>(message) || std::holds_alternative<wire::Pong>(message) ||
        std::holds_alternative<wire::Carry>(message) || std::holds_alternative<wire::Carried>(message))
      fail(std::string("a ") + wire::kind(message) + " message came where it has no place");
    co_return message;
  }
}

void LinkConnection::tick() {
  if (closed_) return;
  if (std::chrono::steady_clock::now() - heard_ >= settings_.times.silence)
    return close("nothing was heard for " + seconds(settings_.times.silence));
  if (proof_->dialing() && !finishing_) send(wire::Ping{++pings_});
  ticker_.expires_after(settings_.times.keepalive);
  ticker_.async_wait([weak = weak_from_this()](const error_code& code) {
    if (const auto self = weak.lock(); self && !code) self->tick();
  });
}

void LinkConnection::send(const wire::PeerMessage& message) {
  if (closed_ || finishing_) return;
  queue(wire::frame(wire::encode(message)));
}

void LinkConnection::queue(std::string bytes) {
  if (queued_ + bytes.size() > settings_.queue_limit)
    return close("more than " + std::to_string(settings_.queue_limit) + " bytes wait to be sent: the other side does not read");
  queued_ += bytes.size();
  queue_.push_back(std::move(bytes));
  if (!writing_) write_next();
}

void LinkConnection::write_next() {
  if (closed_) return;
  if (queue_.empty()) {
    error_code ignored;
    // The other side reads to the end and closes; closing here could make the kernel drop what it hasn't read.
    if (finishing_) stream_.next_layer().socket().shutdown(tcp::socket::shutdown_send, ignored);
    return;
  }
  writing_ = true;
  asio::async_write(stream_, asio::buffer(queue_.front()),
                    [self = shared_from_this()](const error_code& code, std::size_t) {
                      self->writing_ = false;
                      if (code) return self->close(ended_text(code));
                      if (self->closed_) return;
                      self->queued_ -= self->queue_.front().size();
                      self->queue_.pop_front();
                      self->write_next();
                    });
}

void LinkConnection::finish() {
  if (closed_ || finishing_) return;
  finishing_ = true;
  if (!writing_) write_next();
}

}  // namespace migrationd::io
