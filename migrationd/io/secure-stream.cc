// SPDX-License-Identifier: GPL-2.0-or-later
// TLS between memory and socket, for OpenSSL 3.
#include "migrationd/io/secure-stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr std::size_t inbox_size = 256 * 1024;
/// AES-GCM wants another key after 2^24.5 full records (RFC 8446, section 5.5), about 380 GB.
constexpr std::size_t key_lasts = std::size_t{32} << 30;

std::string openssl_text(const char* what) {
  char text[256] = "no reason was given";
  if (const unsigned long code = ERR_get_error(); code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return std::string(what) + ": " + text;
}

/// A daemon that ends a stream, and one that died, look the same from here.
std::string broken(int code) {
  return code == ECONNRESET || code == EPIPE ? "the other daemon ended it; its own log says why" : errno_text(code);
}

}  // namespace

struct SecureStream::Boxes {
  std::vector<char> in = std::vector<char>(inbox_size);
  std::size_t in_begin = 0, in_end = 0;
  std::vector<char> out;
  std::size_t out_begin = 0;

  static Boxes& of(BIO* bio) { return *static_cast<Boxes*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, int length) {
    Boxes& boxes = of(bio);
    BIO_clear_retry_flags(bio);
    const std::size_t count = std::min(boxes.in_end - boxes.in_begin, static_cast<std::size_t>(std::max(length, 0)));
    if (count == 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    std::memcpy(to, boxes.in.data() + boxes.in_begin, count);
    boxes.in_begin += count;
    return static_cast<int>(count);
  }
  static int write(BIO* bio, const char* from, int length) {
    Boxes& boxes = of(bio);
    BIO_clear_retry_flags(bio);
    boxes.out.insert(boxes.out.end(), from, from + length);
    return length;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "migrationd stream");
      if (method == nullptr || BIO_meth_set_read(method, read) != 1 || BIO_meth_set_write(method, write) != 1 ||
          BIO_meth_set_ctrl(method, control) != 1)
        return static_cast<BIO_METHOD*>(nullptr);
      return method;
    }();
    return made;
  }
};

SecureStream::SecureStream(Fd socket, SslHandle ssl) : socket_(std::move(socket)), boxes_(std::make_unique<Boxes>()), ssl_(std::move(ssl)) {
  BIO* bio = Boxes::method() != nullptr ? BIO_new(Boxes::method()) : nullptr;
  if (bio == nullptr) {
    ssl_.reset();  // every call says so
    return;
  }
  BIO_set_data(bio, boxes_.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
}

SecureStream::SecureStream(SecureStream&&) noexcept = default;
SecureStream& SecureStream::operator=(SecureStream&&) noexcept = default;
SecureStream::~SecureStream() = default;

Outcome SecureStream::write(std::string_view bytes) {
  if (!ssl_) return Error{"OpenSSL has no memory for another connection"};
  while (!bytes.empty()) {
    std::size_t count = 0;
    ERR_clear_error();
    if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &count) != 1) return Error{openssl_text("can't encrypt")};
    bytes.remove_prefix(count);
    since_new_key_ += count;
  }
  if (since_new_key_ >= key_lasts) {
    since_new_key_ = 0;
    if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) return Error{openssl_text("can't change the key")};
  }
  return Done{};
}

Outcome SecureStream::finish() {
  if (!ssl_) return Error{"OpenSSL has no memory for another connection"};
  ERR_clear_error();
  if (SSL_shutdown(ssl_.get()) < 0) return Error{openssl_text("can't end the connection in order")};
  return Done{};
}

std::size_t SecureStream::unsent() const { return boxes_->out.size() - boxes_->out_begin; }

Outcome SecureStream::send() {
  while (unsent() > 0) {
    const ssize_t count = ::send(fd(), boxes_->out.data() + boxes_->out_begin, unsent(), MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Done{};
      return Error{broken(errno)};
    }
    boxes_->out_begin += static_cast<std::size_t>(count);
  }
  boxes_->out.clear();
  boxes_->out_begin = 0;
  return Done{};
}

Result<bool> SecureStream::receive() {
  if (boxes_->in_begin == boxes_->in_end) boxes_->in_begin = boxes_->in_end = 0;
  if (boxes_->in_end == boxes_->in.size()) {  // a piece of a record at the end: to the front with it
    std::memmove(boxes_->in.data(), boxes_->in.data() + boxes_->in_begin, boxes_->in_end - boxes_->in_begin);
    boxes_->in_end -= boxes_->in_begin;
    boxes_->in_begin = 0;
  }
  for (;;) {
    const ssize_t count = ::recv(fd(), boxes_->in.data() + boxes_->in_end, boxes_->in.size() - boxes_->in_end, 0);
    if (count > 0) {
      boxes_->in_end += static_cast<std::size_t>(count);
      return true;
    }
    if (count < 0 && errno == EAGAIN) return false;
    if (count == 0 || errno != EINTR) return Error{broken(count == 0 ? ECONNRESET : errno)};
  }
}

Result<std::size_t> SecureStream::read(std::span<char> room) {
  if (!ssl_) return Error{"OpenSSL has no memory for another connection"};
  std::size_t filled = 0;
  while (filled < room.size() && !ended_) {
    std::size_t count = 0;
    ERR_clear_error();
    if (SSL_read_ex(ssl_.get(), room.data() + filled, room.size() - filled, &count) == 1) {
      filled += count;
      continue;
    }
    switch (SSL_get_error(ssl_.get(), 0)) {
      case SSL_ERROR_WANT_READ: {
        if (filled > 0) return filled;  // what is there goes on first
        const auto came = receive();
        if (!came.ok()) return Error{came.error()};
        if (!came.value()) return filled;
        break;
      }
      case SSL_ERROR_ZERO_RETURN:
        ended_ = true;
        break;
      default:
        return Error{openssl_text("what came can't be decrypted")};
    }
  }
  return filled;
}

}  // namespace migrationd::io
