// SPDX-License-Identifier: GPL-2.0-or-later
// The pre-shared key's part of TLS, for OpenSSL 3.
#include "migrationd/io/tls-psk.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <stdexcept>
#include <string_view>
#include <tuple>

#include "migrationd/wire/peer-codec.h"

namespace migrationd::io {

namespace {

constexpr std::string_view identity_word = "migrationd1";
// TLS_AES_128_GCM_SHA256 (RFC 8446, appendix B.4): the hash of the pre-shared key is SHA-256.
constexpr unsigned char psk_cipher[2] = {0x13, 0x01};
// OpenSSL wants one for every session when it verifies, though none is ever kept.
constexpr unsigned char session_context[] = {'m', 'd', '1'};
constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

struct KdfDeleter { void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); } };
struct KdfContextDeleter { void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); } };
struct SessionDeleter { void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); } };

/// HKDF-SHA256 (RFC 5869), 32 bytes. Throws only when OpenSSL itself doesn't work.
Key hkdf(const Key& key, std::string info) {
  std::unique_ptr<EVP_KDF, KdfDeleter> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  std::unique_ptr<EVP_KDF_CTX, KdfContextDeleter> context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  char digest[] = "SHA256";
  char salt[] = "migrationd node link";
  Key input = key, output;
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, input.data(), input.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof salt - 1),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  if (!context || EVP_KDF_derive(context.get(), output.data(), output.size(), params) != 1)
    throw std::runtime_error("OpenSSL can't do HKDF with SHA-256: its default provider is missing or switched off");
  return output;
}

int part_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

PskPart* part_of(SSL* ssl) { return static_cast<PskPart*>(SSL_get_ex_data(ssl, part_index())); }

std::unique_ptr<SSL_SESSION, SessionDeleter> session_for(SSL* ssl, const Key& psk) {
  std::unique_ptr<SSL_SESSION, SessionDeleter> session(SSL_SESSION_new());
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, psk_cipher);
  if (!session || !cipher || SSL_SESSION_set1_master_key(session.get(), psk.data(), psk.size()) != 1 ||
      SSL_SESSION_set1_id_context(session.get(), session_context, sizeof session_context) != 1 ||
      SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1)
    return nullptr;
  return session;
}

// Exceptions must not pass through OpenSSL.
int offer(SSL* ssl, const EVP_MD*, const unsigned char** id, size_t* id_length, SSL_SESSION** session) noexcept try {
  PskPart* part = part_of(ssl);
  *session = nullptr;
  if (!part || !part->dialing || part->keys.empty()) return 0;
  part->used_key = key_id(part->keys.front());
  part->identity = std::string(identity_word) + " " + part->self + " " + part->peer + " " + part->used_key;
  auto made = session_for(ssl, link_psk(part->keys.front(), part->self, part->peer));
  if (!made) return 0;
  *id = reinterpret_cast<const unsigned char*>(part->identity.data());
  *id_length = part->identity.size();
  *session = made.release();
  return 1;
} catch (const std::exception&) {
  return 0;
}

/// The key that an offer of this identity is to be judged by; null with `refusal` set when it's not acceptable.
const Key* judge(PskPart& part, std::string_view identity) {
  std::vector<std::string> words;
  std::size_t from = 0;
  while (words.size() < 5) {
    const auto blank = identity.find(' ', from);
    words.emplace_back(identity.substr(from, blank == identity.npos ? blank : blank - from));
    if (blank == identity.npos) break;
    from = blank + 1;
  }
  if (words.size() != 4 || words[0] != identity_word || !wire::valid_node_name(words[1]) ||
      !wire::valid_node_name(words[2]) || words[3].size() != 16) {
    part.refusal = "it offers no identity of a migrationd";
    return nullptr;
  }
  const auto& [word, dialer, acceptor, id] = std::tie(words[0], words[1], words[2], words[3]);
  if (dialer == part.self) {
    part.refusal = "it says that it is " + dialer + ", which is this node itself: either this node's own address stands "
                   "in its list of nodes, or two nodes have the same name";
    return nullptr;
  }
  if (acceptor != part.self) {
    part.refusal = "node " + dialer + " means to speak to " + acceptor + ", but this is " + part.self +
                   ": correct the addresses of the nodes on " + dialer;
    return nullptr;
  }
  if (!part.known.contains(dialer)) {
    part.refusal = "it says that it is " + dialer + ", which is none of this cluster's configured nodes";
    return nullptr;
  }
  for (const Key& key : part.keys) {
    if (key_id(key) != id) continue;
    part.peer = dialer;
    part.used_key = id;
    part.refusal.clear();
    return &key;
  }
  part.refusal = "node " + dialer + " has another key (it offers the one named " +
                 (id.find_first_not_of("0123456789abcdef") == id.npos ? id : std::string("?")) +
                 "): copy the key file from one node to all others";
  return nullptr;
}

int find(SSL* ssl, const unsigned char* identity, size_t length, SSL_SESSION** session) noexcept try {
  *session = nullptr;
  PskPart* part = part_of(ssl);
  if (!part || part->dialing) return 0;
  // Without a session the handshake goes on to certificates, of which there are none: it fails with an alert.
  const Key* key = judge(*part, {reinterpret_cast<const char*>(identity), length});
  if (!key) return 1;
  *session = session_for(ssl, link_psk(*key, part->peer, part->self)).release();
  return *session ? 1 : 0;
} catch (const std::exception&) {
  return 0;
}

}  // namespace

std::string key_id(const Key& key) {
  constexpr const char* digits = "0123456789abcdef";
  const Key derived = hkdf(key, "migrationd1 key id");
  std::string text;
  for (std::size_t i = 0; i < 8; ++i) {
    text += digits[derived[i] >> 4];
    text += digits[derived[i] & 15];
  }
  return text;
}

Key link_psk(const Key& key, const NodeName& dialer, const NodeName& acceptor) {
  // Names hold no NUL, so that two different pairs of names can't give the same context.
  std::string info = "migrationd1 link psk";
  info.append(1, '\0').append("dialer ").append(dialer).append(1, '\0').append("acceptor ").append(acceptor);
  return hkdf(key, info);
}

SslContext make_psk_context() {
  SslContext context(SSL_CTX_new(TLS_method()));
  if (!context) return nullptr;
  SSL_CTX* raw = context.get();
  if (SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1 || SSL_CTX_set_ciphersuites(raw, cipher_suites) != 1 ||
      SSL_CTX_set_num_tickets(raw, 0) != 1 || SSL_CTX_set_max_early_data(raw, 0) != 1 ||
      SSL_CTX_set_recv_max_early_data(raw, 0) != 1)
    return nullptr;
  // SSL_OP_ALLOW_NO_DHE_KEX stays off: psk_dhe_ke is the only mode.
  SSL_CTX_clear_options(raw, SSL_OP_ALLOW_NO_DHE_KEX);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  // No certificate is trusted, so one that is shown instead of the key never passes.
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_session_id_context(raw, session_context, sizeof session_context) != 1) return nullptr;
  SSL_CTX_set_psk_use_session_callback(raw, offer);
  SSL_CTX_set_psk_find_session_callback(raw, find);
  return context;
}

bool attach(SSL* ssl, PskPart& part) { return SSL_set_ex_data(ssl, part_index(), &part) == 1; }

void detach(SSL* ssl) { SSL_set_ex_data(ssl, part_index(), nullptr); }

bool authenticated_by_psk(SSL* ssl) {
  const PskPart* part = part_of(ssl);
  return part && !part->peer.empty() && SSL_version(ssl) == TLS1_3_VERSION && SSL_session_reused(ssl) == 1 &&
         !SSL_get0_peer_certificate(ssl);
}

namespace {

class PskProof : public LinkProof {
 public:
  PskProof(SSL_CTX* context, PskPart part) : context_(context), part_(std::move(part)) { SSL_CTX_up_ref(context); }
  SSL_CTX& context() override { return *context_; }
  bool attach(SSL* ssl) override { return io::attach(ssl, part_); }
  void detach(SSL* ssl) override { io::detach(ssl); }
  std::string unproven(SSL* ssl) override { return authenticated_by_psk(ssl) ? "" : "the handshake was not made with the shared key"; }
  bool dialing() const override { return part_.dialing; }
  const NodeName& self() const override { return part_.self; }
  const NodeName& peer() const override { return part_.peer; }
  const std::string& credential() const override { return part_.used_key; }
  const std::string& refusal() const override { return part_.refusal; }
  std::string suspicion() const override { return "it has another key file, or certificates instead of the key (authentication = certificate)"; }

 private:
  SslContext context_;
  PskPart part_;
};

class PskAuthentication : public LinkAuthentication {
 public:
  explicit PskAuthentication(std::vector<Key> keys) : keys_(std::move(keys)), context_(make_psk_context()) {}
  std::string unusable() const override {
    if (!context_) return "OpenSSL can't be set up for TLS 1.3 with a pre-shared key: check the version (3.0 or later) and openssl.cnf";
    return keys_.empty() ? "there is no key for the links to the other nodes" : "";
  }
  std::vector<std::string> credentials() const override {
    std::vector<std::string> ids;
    for (const Key& key : keys_) ids.push_back(key_id(key));
    return ids;
  }
  bool accepts(const std::string& credential) const override {
    for (const Key& key : keys_)
      if (key_id(key) == credential) return true;
    return false;
  }
  std::unique_ptr<LinkProof> dial(const NodeName& self, const NodeName& peer, const std::string& credential) const override {
    PskPart part;
    part.dialing = true;
    part.self = self;
    part.peer = peer;
    for (const Key& key : keys_)
      if (key_id(key) == credential) part.keys = {key};
    return std::make_unique<PskProof>(context_.get(), std::move(part));
  }
  std::unique_ptr<LinkProof> accept(const NodeName& self, std::set<NodeName> known) const override {
    PskPart part;
    part.self = self;
    part.keys = keys_;
    part.known = std::move(known);
    return std::make_unique<PskProof>(context_.get(), std::move(part));
  }

 private:
  std::vector<Key> keys_;
  SslContext context_;
};

}  // namespace

LinkAuthenticationPtr authentication_by_key(std::vector<Key> keys) { return std::make_shared<PskAuthentication>(std::move(keys)); }

}  // namespace migrationd::io
