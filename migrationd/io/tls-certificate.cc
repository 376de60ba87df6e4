// SPDX-License-Identifier: GPL-2.0-or-later
// The certificates' part of TLS, for OpenSSL 3. A key is checked and read through one descriptor, so that it can't be
// exchanged in between.
#include "migrationd/io/tls-certificate.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <vector>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr std::size_t size_limit = 1024 * 1024;
constexpr unsigned host_flags = X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

struct BioDeleter { void operator()(BIO* bio) const { BIO_free(bio); } };
struct X509Deleter { void operator()(X509* certificate) const { X509_free(certificate); } };
struct CrlDeleter { void operator()(X509_CRL* list) const { X509_CRL_free(list); } };
struct KeyDeleter { void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); } };
struct JudgeDeleter { void operator()(X509_STORE_CTX* judge) const { X509_STORE_CTX_free(judge); } };
using Bio = std::unique_ptr<BIO, BioDeleter>;
using Certificate = std::unique_ptr<X509, X509Deleter>;
struct ChainDeleter { void operator()(STACK_OF(X509)* chain) const { sk_X509_free(chain); } };
using Chain = std::unique_ptr<STACK_OF(X509), ChainDeleter>;  ///< does not own what is in it
using Crl = std::unique_ptr<X509_CRL, CrlDeleter>;
using PrivateKey = std::unique_ptr<EVP_PKEY, KeyDeleter>;

/// The file's content; nothing: there is no such file.
Result<std::optional<std::string>> content_of(const std::string& path, const std::string& what, bool secret) {
  const std::string file = "the " + what + " " + path;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::optional<std::string>();
  if (!fd) return Error{"can't open " + file + ": " + errno_text(errno)};
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error{"can't examine " + file + ": " + errno_text(errno)};
  if (!S_ISREG(status.st_mode)) return Error{file + " is not a regular file"};
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return Error{file + " belongs to another user, who could change it: do chown root " + path};
  if (secret && (status.st_mode & 077))
    return Error{file + " can be read or changed by others than its owner: do chmod 0600 " + path +
                 ", and make another key if somebody may have read it"};
  if (status.st_mode & 022) return Error{file + " can be changed by others than its owner: do chmod go-w " + path};
  auto content = read_all(fd, size_limit, file);
  if (!content.ok()) return Error{content.error()};
  return std::optional(std::move(content.value()));
}

Result<Bio> open_needed(const std::string& path, const std::string& what, bool secret, std::string& keep) {
  auto content = content_of(path, what, secret);
  if (!content.ok()) return Error{content.error()};
  if (!content.value())
    return Error{"the " + what + " " + path + " is missing: make it (see migrationd(8)), or name another in migrationd.conf"};
  keep = std::move(*content.value());
  return Bio(BIO_new_mem_buf(keep.data(), static_cast<int>(keep.size())));
}

/// No terminal is asked for a passphrase.
int no_passphrase(char*, int, int, void*) { return -1; }

/// X509_check_host takes a leading dot for "any host below", and an empty name for none at all.
bool is_of(X509* certificate, const NodeName& node) {
  return !node.empty() && node.front() != '.' &&
         X509_check_host(certificate, node.data(), node.size(), host_flags, nullptr) == 1;
}

std::string subject(X509* certificate) {
  char text[256] = "?";
  if (certificate != nullptr) X509_NAME_oneline(X509_get_subject_name(certificate), text, sizeof text);
  return text;
}

/// What to do about an error of OpenSSL's verification.
std::string remedy(int code) {
  switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return ": renew it";
    case X509_V_ERR_CERT_NOT_YET_VALID: return ": correct the clocks";
    case X509_V_ERR_CERT_REVOKED: return ": make another key and certificate";
    case X509_V_ERR_CRL_HAS_EXPIRED: return ": renew the list of revoked certificates on every node";
    case X509_V_ERR_UNABLE_TO_GET_CRL: return ": the lists of revoked certificates have none of the CA that signed it";
    case X509_V_ERR_INVALID_PURPOSE: return ": make a server certificate for accepting and a client certificate for dialing";
    default: return ": all nodes need certificates of the same CA";
  }
}

int part_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}
CertificatePart* part_of(const SSL* ssl) { return static_cast<CertificatePart*>(SSL_get_ex_data(ssl, part_index())); }

/// Accepting: the one configured node whose certificate this is; empty with `refusal` set when it's not acceptable.
NodeName dialer(CertificatePart& part, X509* certificate) {
  if (is_of(certificate, part.self)) {
    part.refusal = "it shows a certificate of " + part.self + ", which is this node itself: either this node's own address stands in its "
                   "list of nodes, or two nodes have the same certificate";
    return {};
  }
  NodeName found;
  for (const NodeName& node : part.known) {
    if (!is_of(certificate, node)) continue;
    if (!found.empty()) {
      part.refusal = "its certificate (" + subject(certificate) + ") is for both " + found + " and " + node + ": make one for each node";
      return {};
    }
    found = node;
  }
  if (found.empty())
    part.refusal = "its certificate (" + subject(certificate) + ") has the name of none of this cluster's configured nodes";
  return found;
}

/// Of the CA that signed a node's certificate there must be a list where there are lists at all; of those above it, there may be.
bool is_no_fault(X509_STORE_CTX* store) {
  const bool nothing = X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL && X509_STORE_CTX_get_error_depth(store) > 0;
  if (nothing) X509_STORE_CTX_set_error(store, X509_V_OK);
  return nothing;
}

int tolerate(int good, X509_STORE_CTX* store) noexcept { return good == 1 || is_no_fault(store) ? 1 : 0; }

/// X509_V_OK, or why the first of `shown` is none of this node's CAs' for a side that accepts (`server`) or dials; the others are those
/// between. Nothing: OpenSSL has no memory.
std::optional<int> judge_alone(SSL_CTX* context, const std::vector<Certificate>& shown, bool server) {
  const std::unique_ptr<X509_STORE_CTX, JudgeDeleter> store(X509_STORE_CTX_new());
  const Chain between(sk_X509_new_null());
  if (!store || !between || shown.empty()) return std::nullopt;
  for (const Certificate& one : shown)
    if (one != shown.front() && sk_X509_push(between.get(), one.get()) == 0) return std::nullopt;
  if (X509_STORE_CTX_init(store.get(), SSL_CTX_get_cert_store(context), shown.front().get(), between.get()) != 1 ||
      X509_STORE_CTX_set_default(store.get(), server ? "ssl_server" : "ssl_client") != 1)
    return std::nullopt;
  X509_STORE_CTX_set_verify_cb(store.get(), tolerate);
  if (X509_verify_cert(store.get()) == 1) return X509_V_OK;
  return X509_STORE_CTX_get_error(store.get());
}

/// All that the text has, in its order.
std::vector<Certificate> certificates_in(BIO* bio) {
  std::vector<Certificate> found;
  while (X509* one = PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr)) found.emplace_back(one);
  const bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;  // nothing follows
  ERR_clear_error();
  if (!whole) found.clear();
  return found;
}

// Exceptions must not pass through OpenSSL.
int judge(int good, X509_STORE_CTX* store) noexcept try {
  const auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  CertificatePart* part = ssl != nullptr ? part_of(ssl) : nullptr;
  if (part == nullptr) return 0;
  X509* shown = X509_STORE_CTX_get_current_cert(store);
  if (good != 1 && is_no_fault(store)) return 1;
  if (good != 1) {
    const int code = X509_STORE_CTX_get_error(store);
    part->refusal = "its certificate (" + subject(shown) + ") is refused: " + X509_verify_cert_error_string(code) + remedy(code);
    return 0;
  }
  if (X509_STORE_CTX_get_error_depth(store) != 0) return 1;
  if (part->dialing) {
    if (is_of(shown, part->peer)) return 1;
    part->refusal = "its certificate (" + subject(shown) + ") is not that of " + part->peer +
                    ": correct the addresses of the nodes, or make a certificate with that name";
  } else if (part->peer = dialer(*part, shown); !part->peer.empty()) {
    return 1;
  }
  X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
  return 0;
} catch (const std::exception&) {
  return 0;
}

int whom_it_means(SSL* ssl, int* alert, void*) noexcept try {
  CertificatePart* part = part_of(ssl);
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  if (part == nullptr) return SSL_TLSEXT_ERR_ALERT_FATAL;
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  part->meant = name != nullptr && name == part->self;
  if (part->meant) return SSL_TLSEXT_ERR_OK;
  part->refusal = name == nullptr
                      ? "it does not say which node it means: it is no migrationd, or has the shared key where this node has certificates"
                      : "it means to speak to another node, but this is " + part->self + ": correct the addresses of the nodes there";
  return SSL_TLSEXT_ERR_ALERT_FATAL;
} catch (const std::exception&) {
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

struct Ca {
  std::vector<Certificate> certificates;
  std::vector<Crl> revoked;  ///< empty: there is no list
};

Result<Ca> read_ca(const CertificateFiles& files) {
  Ca ca;
  std::string text;
  auto bio = open_needed(files.ca, "CA certificate", false, text);
  if (!bio.ok()) return Error{bio.error()};
  ca.certificates = certificates_in(bio.value().get());
  if (ca.certificates.empty()) return Error{"the CA certificate " + files.ca + " can't be read as PEM: copy it again from the CA"};
  auto list = content_of(files.revoked, "list of revoked certificates", false);
  if (!list.ok()) return Error{list.error()};
  if (list.value()) {
    const Bio from(BIO_new_mem_buf(list.value()->data(), static_cast<int>(list.value()->size())));
    while (X509_CRL* one = PEM_read_bio_X509_CRL(from.get(), nullptr, no_passphrase, nullptr)) ca.revoked.emplace_back(one);
    const bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (ca.revoked.empty() || !whole) return Error{"the list of revoked certificates " + files.revoked + " can't be read as PEM: copy it again from the CA"};
  }
  return ca;
}

/// As the other side will judge it, so that a node doesn't start only to be refused by all.
Outcome judge_own(SSL_CTX* context, const std::vector<Certificate>& own, const std::string& path, bool dialing, const NodeName& self) {
  const std::optional<int> code = judge_alone(context, own, !dialing);
  if (!code) return Error{"OpenSSL has no memory to judge " + path};
  if (*code != X509_V_OK) return Error{"the certificate " + path + " is unusable: " + X509_verify_cert_error_string(*code) + remedy(*code)};
  if (!is_of(own.front().get(), self))
    return Error{"the certificate " + path + " (" + subject(own.front().get()) + ") does not have the name of this node, " + self +
                 ": make one with that name as subjectAltName DNS"};
  return Done{};
}

Result<SslContext> make_context(const CertificateFiles& files, const Ca& ca, bool dialing, const NodeName& self) {
  const std::string& certificate_path = dialing ? files.client_certificate : files.server_certificate;
  const std::string& key_path = dialing ? files.client_key : files.server_key;
  std::string text, secret;
  auto bio = open_needed(certificate_path, "certificate", false, text);
  if (!bio.ok()) return Error{bio.error()};
  const std::vector<Certificate> own = certificates_in(bio.value().get());
  if (own.empty()) return Error{"the certificate " + certificate_path + " can't be read as PEM: copy it again from the CA"};
  bio = open_needed(key_path, "private key", true, secret);
  if (!bio.ok()) return Error{bio.error()};
  const PrivateKey key(PEM_read_bio_PrivateKey(bio.value().get(), nullptr, no_passphrase, nullptr));
  OPENSSL_cleanse(secret.data(), secret.size());
  if (!key) return Error{"the private key " + key_path + " can't be read as PEM without a passphrase: write it again without one"};
  if (X509_check_private_key(own.front().get(), key.get()) != 1)
    return Error{"the private key " + key_path + " is not that of the certificate " + certificate_path + ": copy both again"};

  SslContext context(SSL_CTX_new(dialing ? TLS_client_method() : TLS_server_method()));
  SSL_CTX* raw = context.get();
  X509_STORE* store = raw != nullptr ? SSL_CTX_get_cert_store(raw) : nullptr;
  if (raw == nullptr || SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1 || SSL_CTX_set_ciphersuites(raw, cipher_suites) != 1 ||
      SSL_CTX_set_num_tickets(raw, 0) != 1 || SSL_CTX_set_max_early_data(raw, 0) != 1 ||
      SSL_CTX_set_recv_max_early_data(raw, 0) != 1)
    return Error{"OpenSSL can't be set up for TLS 1.3 with certificates: check the version (3.0 or later) and openssl.cnf"};
  for (const Certificate& one : ca.certificates)
    if (X509_STORE_add_cert(store, one.get()) != 1) return Error{"OpenSSL refuses the CA certificate " + files.ca};
  for (const Crl& list : ca.revoked)
    if (X509_STORE_add_crl(store, list.get()) != 1 || X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
      return Error{"OpenSSL refuses the list of revoked certificates " + files.revoked};
  // Before OpenSSL takes it, whose own refusal says less.
  if (auto good = judge_own(raw, own, certificate_path, dialing, self); !good.ok()) return Error{good.error()};
  if (SSL_CTX_use_certificate(raw, own.front().get()) != 1 || SSL_CTX_use_PrivateKey(raw, key.get()) != 1)
    return Error{"OpenSSL refuses the certificate " + certificate_path + ": its key may be too short for openssl.cnf"};
  for (const Certificate& between : own)
    if (between != own.front() && SSL_CTX_add1_chain_cert(raw, between.get()) != 1) return Error{"OpenSSL refuses a CA in " + certificate_path};
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge);
  if (!dialing) SSL_CTX_set_tlsext_servername_callback(raw, whom_it_means);
  return context;
}

}  // namespace

Result<Certificates> read_certificates(const CertificateFiles& files, const NodeName& self) {
  ERR_clear_error();
  auto ca = read_ca(files);
  if (!ca.ok()) return Error{ca.error()};
  auto accepting = make_context(files, ca.value(), false, self);
  if (!accepting.ok()) return Error{accepting.error()};
  auto dialing = make_context(files, ca.value(), true, self);
  if (!dialing.ok()) return Error{dialing.error()};
  ERR_clear_error();
  return Certificates{std::move(dialing.value()), std::move(accepting.value())};
}

bool attach(SSL* ssl, CertificatePart& part) {
  return SSL_set_ex_data(ssl, part_index(), &part) == 1 &&
         (!part.dialing || SSL_set_tlsext_host_name(ssl, part.peer.c_str()) == 1);
}

void detach_certificate(SSL* ssl) { SSL_set_ex_data(ssl, part_index(), nullptr); }

bool authenticated_by_certificate(SSL* ssl) {
  const CertificatePart* part = part_of(ssl);
  X509* shown = SSL_get0_peer_certificate(ssl);
  return part != nullptr && shown != nullptr && (part->dialing || part->meant) && SSL_version(ssl) == TLS1_3_VERSION &&
         SSL_session_reused(ssl) == 0 && SSL_get_verify_result(ssl) == X509_V_OK && is_of(shown, part->peer);
}

namespace {

/// Before a handshake; afterwards the credential is what the other side has shown: its role, and its certificates as PEM.
const std::string certificate_word = "certificate";
const std::string server_word = "server\n";
const std::string client_word = "client\n";

/// Its own certificate first, then those between it and the CA.
std::string shown_by_peer(SSL* ssl) {
  const Bio bio(BIO_new(BIO_s_mem()));
  X509* own = SSL_get0_peer_certificate(ssl);
  if (!bio || own == nullptr || PEM_write_bio_X509(bio.get(), own) != 1) return {};
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    X509* one = sk_X509_value(chain, i);
    if (X509_cmp(one, own) != 0 && PEM_write_bio_X509(bio.get(), one) != 1) return {};
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

class CertificateProof : public LinkProof {
 public:
  CertificateProof(SSL_CTX* context, CertificatePart part) : context_(context), part_(std::move(part)) { SSL_CTX_up_ref(context); }
  SSL_CTX& context() override { return *context_; }
  bool attach(SSL* ssl) override { return io::attach(ssl, part_); }
  void detach(SSL* ssl) override { io::detach_certificate(ssl); }
  std::string unproven(SSL* ssl) override {
    if (!authenticated_by_certificate(ssl)) return "the handshake was not made with certificates";
    credential_ = (part_.dialing ? server_word : client_word) + shown_by_peer(ssl);
    return "";
  }
  bool dialing() const override { return part_.dialing; }
  const NodeName& self() const override { return part_.self; }
  const NodeName& peer() const override { return part_.peer; }
  const std::string& credential() const override { return credential_; }
  const std::string& refusal() const override { return part_.refusal; }
  std::string suspicion() const override { return "it does not accept our certificate, or has the shared key instead (authentication = key)"; }

 private:
  SslContext context_;
  CertificatePart part_;
  std::string credential_ = certificate_word;
};

class CertificateAuthentication : public LinkAuthentication {
 public:
  explicit CertificateAuthentication(Certificates certificates) : certificates_(std::move(certificates)) {}
  std::string unusable() const override { return certificates_.dialing && certificates_.accepting ? "" : "there are no certificates"; }
  std::vector<std::string> credentials() const override { return {certificate_word}; }
  /// What another shows is judged again, as it may be revoked by now.
  bool accepts(const std::string& credential) const override {
    if (credential == certificate_word) return true;
    const bool server = credential.starts_with(server_word);
    if (!server && !credential.starts_with(client_word)) return false;
    const Bio bio(BIO_new_mem_buf(credential.data(), static_cast<int>(credential.size())));
    SSL_CTX* context = server ? certificates_.dialing.get() : certificates_.accepting.get();
    return bio && judge_alone(context, certificates_in(bio.get()), server) == X509_V_OK;
  }
  std::unique_ptr<LinkProof> dial(const NodeName& self, const NodeName& peer, const std::string&) const override {
    CertificatePart part;
    part.dialing = true;
    part.self = self;
    part.peer = peer;
    return std::make_unique<CertificateProof>(certificates_.dialing.get(), std::move(part));
  }
  std::unique_ptr<LinkProof> accept(const NodeName& self, std::set<NodeName> known) const override {
    CertificatePart part;
    part.self = self;
    part.known = std::move(known);
    return std::make_unique<CertificateProof>(certificates_.accepting.get(), std::move(part));
  }

 private:
  Certificates certificates_;
};

}  // namespace

LinkAuthenticationPtr authentication_by_certificate(Certificates certificates) {
  return std::make_shared<CertificateAuthentication>(std::move(certificates));
}

}  // namespace migrationd::io
