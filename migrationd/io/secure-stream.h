// SPDX-License-Identifier: GPL-2.0-or-later
// An authenticated TLS connection to another daemon that has left the event loop, to carry a stream in a thread of its
// own. Bytes pass in large pieces: what is written is encrypted into an outbox and sent with few system calls, what is
// received lies in an inbox until it is read. The socket is non-blocking; one thread at a time.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "migrationd/base/result.h"
#include "migrationd/io/fd.h"

namespace migrationd::io {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslHandle = std::unique_ptr<SSL, SslDeleter>;

class SecureStream {
 public:
  /// `ssl`: its handshake is over, and nothing of it is buffered anywhere else.
  SecureStream(Fd socket, SslHandle ssl);
  SecureStream(SecureStream&&) noexcept;
  SecureStream& operator=(SecureStream&&) noexcept;
  ~SecureStream();

  int fd() const { return socket_.get(); }
  /// Encrypts all of it into the outbox. Error: OpenSSL refuses.
  Outcome write(std::string_view bytes);
  /// Nothing is written any more: tells the other side so, behind what was written.
  Outcome finish();
  /// Bytes that wait to be sent.
  std::size_t unsent() const;
  /// Sends what the socket takes now. Error: the connection is broken.
  Outcome send();
  /// Decrypts what has come, at most `room`; 0: nothing now, or nothing any more (ended()). Error: the connection is broken, or
  /// not a byte more of it can be trusted.
  Result<std::size_t> read(std::span<char> room);
  /// The other side said that it writes no more, and all of it was read.
  bool ended() const { return ended_; }

 private:
  struct Boxes;
  Result<bool> receive();  ///< whether anything came
  Fd socket_;
  std::unique_ptr<Boxes> boxes_;  ///< what the SSL's BIO works on
  SslHandle ssl_;
  std::size_t since_new_key_ = 0;  ///< bytes
  bool ended_ = false;
};

}  // namespace migrationd::io
