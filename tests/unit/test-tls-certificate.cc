// SPDX-License-Identifier: GPL-2.0-or-later
// Certificates instead of the shared key: who is let in, and that every refusal says why. The certificates are made with the
// openssl command in a scratch directory; the handshakes run between two memory buffers.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <string>

#include "migrationd/io/tls-certificate.h"
#include "tests/unit/pki-fixture.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {

io::Certificates read(const io::CertificateFiles& files, const std::string& self) {
  auto read = io::read_certificates(files, self);
  REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error()));
  return std::move(read.value());
}
std::string refused(const io::CertificateFiles& files, const std::string& self) {
  const auto read = io::read_certificates(files, self);
  return read.ok() ? "" : read.error();
}
bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Pair {
  Pair(SSL_CTX* dialing, SSL_CTX* accepting) : d(SSL_new(dialing)), a(SSL_new(accepting)) {
    BIO *one = nullptr, *other = nullptr;
    REQUIRE(BIO_new_bio_pair(&one, 0, &other, 0) == 1);
    SSL_set_bio(d, one, one);
    SSL_set_bio(a, other, other);
    SSL_set_connect_state(d);
    SSL_set_accept_state(a);
  }
  ~Pair() { SSL_free(d), SSL_free(a); }
  /// Both sides finished their handshake.
  bool shake() {
    int one = 0, other = 0;
    for (int i = 0; i < 20; ++i) one = SSL_do_handshake(d), other = SSL_do_handshake(a);
    return one == 1 && other == 1;
  }
  SSL *d, *a;
};

struct Meeting {
  io::CertificatePart dialer{.dialing = true, .self = "alpha", .peer = "beta", .known = {}, .refusal = {}};
  io::CertificatePart acceptor{.dialing = false, .self = "beta", .peer = {}, .known = {"alpha", "gamma"}, .refusal = {}};
  bool meet(const io::Certificates& from, const io::Certificates& to) {
    Pair pair(from.dialing.get(), to.accepting.get());
    REQUIRE((io::attach(pair.d, dialer) && io::attach(pair.a, acceptor)));
    return pair.shake() && io::authenticated_by_certificate(pair.d) && io::authenticated_by_certificate(pair.a);
  }
};

}  // namespace

TEST_CASE("tls-certificate: two nodes of one CA know each other, by subjectAltName or by common name") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  const auto alpha = read(ca.sign("alpha", "DNS:alpha"), "alpha"), beta = read(ca.sign("beta", ""), "beta");
  Meeting meeting;
  CHECK(meeting.meet(alpha, beta));
  CHECK(meeting.acceptor.peer == "alpha");
}

TEST_CASE("tls-certificate: another name, another node meant, oneself, a wildcard and two names at once are refused") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  const auto alpha = read(ca.sign("alpha", "DNS:alpha"), "alpha"), beta = read(ca.sign("beta", "DNS:beta"), "beta");
  const auto delta = read(ca.sign("delta", "DNS:delta"), "delta"), both = read(ca.sign("both", "DNS:alpha,DNS:gamma"), "alpha");
  {
    Meeting meeting;
    CHECK_FALSE(meeting.meet(delta, beta));
    CHECK(says(meeting.acceptor.refusal, "none of this cluster's configured nodes"));
  }
  {
    Meeting meeting;
    meeting.acceptor.self = "beta";
    CHECK_FALSE(meeting.meet(alpha, delta));
    CHECK(says(meeting.dialer.refusal, "is not that of beta"));
  }
  {
    Meeting meeting;
    meeting.dialer.peer = "gamma";
    CHECK_FALSE(meeting.meet(alpha, beta));
    CHECK(says(meeting.acceptor.refusal, "means to speak to another node"));
  }
  {
    Meeting meeting;
    CHECK_FALSE(meeting.meet(beta, beta));
    CHECK(says(meeting.acceptor.refusal, "this node itself"));
  }
  {
    Meeting meeting;
    CHECK_FALSE(meeting.meet(both, beta));
    CHECK(says(meeting.acceptor.refusal, "for both alpha and gamma"));
  }
  CHECK(says(refused(ca.sign("wild", "DNS:*.example.org"), "wild.example.org"), "does not have the name of this node"));
  CHECK(says(refused(ca.sign("long", "DNS:alpha.example.org"), "alpha"), "does not have the name of this node"));
}

TEST_CASE("tls-certificate: another CA and a revoked certificate are refused") {
  Scratch scratch;
  const Authority ca(scratch, "ca"), other(scratch, "other");
  const auto files = ca.sign("alpha", "DNS:alpha"), beta_files = ca.sign("beta", "DNS:beta");
  const auto alpha = read(files, "alpha"), stranger = read(other.sign("alpha", "DNS:alpha"), "alpha");
  {
    Meeting meeting;
    CHECK_FALSE(meeting.meet(stranger, read(beta_files, "beta")));
    CHECK(says(meeting.dialer.refusal, "all nodes need certificates of the same CA"));
  }
  ca.revoke(files.client_certificate);
  Meeting meeting;
  CHECK_FALSE(meeting.meet(alpha, read(beta_files, "beta")));
  CHECK(says(meeting.acceptor.refusal, "certificate revoked"));
  CHECK(says(refused(files, "alpha"), "certificate revoked"));
}

TEST_CASE("tls-certificate: a CA below the one that the nodes trust will do, unless it is revoked") {
  Scratch scratch;
  const Authority ca(scratch, "ca"), below(scratch, "below", &ca);
  const auto files = below.sign("alpha", "DNS:alpha"), beta_files = ca.sign("beta", "DNS:beta");
  const auto alpha = read(files, "alpha");
  {
    Meeting meeting;
    CHECK(meeting.meet(alpha, read(beta_files, "beta")));
  }
  // A list of the upper CA says nothing of what the lower one has signed, so that one's is needed, too.
  const auto other = ca.sign("other", "DNS:other");
  ca.revoke(other.client_certificate);
  CHECK(says(refused(files, "alpha"), "have none of the CA that signed it"));
  below.revoke(below.sign("gamma", "DNS:gamma").client_certificate);
  run("cat " + below.in + "/crl.pem >> " + ca.in + "/crl.pem");
  {
    Meeting meeting;
    CHECK(meeting.meet(read(files, "alpha"), read(beta_files, "beta")));
  }
  // The lower one may also stand beside the upper one at each node.
  run("cp " + ca.in + "/ca.pem " + ca.in + "/alone.pem; cat " + below.in + "/ca.pem >> " + ca.in + "/ca.pem");
  {
    Meeting meeting;
    CHECK(meeting.meet(read(files, "alpha"), read(beta_files, "beta")));
  }
  run("mv " + ca.in + "/alone.pem " + ca.in + "/ca.pem");
  run("cp " + ca.in + "/crl.pem " + ca.in + "/before.pem");
  ca.revoke(below.in + "/ca.pem");
  run("cat " + below.in + "/crl.pem >> " + ca.in + "/crl.pem");
  Meeting meeting;
  CHECK_FALSE(meeting.meet(alpha, read(beta_files, "beta")));
  CHECK(says(meeting.acceptor.refusal, "certificate revoked"));
  run("rm " + ca.in + "/crl.pem");
  run("head -c -40 " + ca.in + "/before.pem > " + ca.in + "/crl.pem");
  CHECK_MESSAGE(says(refused(files, "alpha"), "can't be read as PEM"), refused(files, "alpha"));
}

TEST_CASE("tls-certificate: a link that stands ends at a reload when what it was authenticated with is revoked, and only then") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  const auto alpha = ca.sign("alpha", "DNS:alpha"), beta = ca.sign("beta", "DNS:beta"), gamma = ca.sign("gamma", "DNS:gamma"),
             delta = ca.sign("delta", "DNS:delta");
  const auto a = io::authentication_by_certificate(read(alpha, "alpha")), b = io::authentication_by_certificate(read(beta, "beta"));
  const auto dialing = a->dial("alpha", "beta", a->credentials().front());
  const auto accepting = b->accept("beta", {"alpha", "gamma"});
  Pair pair(&dialing->context(), &accepting->context());
  REQUIRE((dialing->attach(pair.d) && accepting->attach(pair.a)));
  REQUIRE(pair.shake());
  REQUIRE((dialing->unproven(pair.d).empty() && accepting->unproven(pair.a).empty()));
  // Any node's word after a reload.
  const auto accepts = [&](const std::string& credential) { return io::authentication_by_certificate(read(delta, "delta"))->accepts(credential); };
  CHECK(accepts(accepting->credential()));
  CHECK(accepts(dialing->credential()));
  CHECK_FALSE(accepts("server\n" + accepting->credential().substr(7)));
  CHECK_FALSE(accepts("client\n" + dialing->credential().substr(7)));
  CHECK_FALSE(accepts("client\n"));
  CHECK_FALSE(accepts(""));
  ca.revoke(gamma.client_certificate);
  CHECK(accepts(accepting->credential()));
  CHECK(accepts(dialing->credential()));
  ca.revoke(alpha.client_certificate);
  CHECK_FALSE(accepts(accepting->credential()));
  CHECK(accepts(dialing->credential()));
  ca.revoke(beta.server_certificate);
  CHECK_FALSE(accepts(dialing->credential()));
}

TEST_CASE("tls-certificate: the shared key and certificates never meet, nor does an older TLS") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  const auto beta = read(ca.sign("beta", "DNS:beta"), "beta");
  const auto key = io::make_psk_context();
  io::Key same;
  same.fill(1);
  io::CertificatePart certificate{.dialing = false, .self = "beta", .peer = {}, .known = {"alpha"}, .refusal = {}};
  {
    io::PskPart part{.dialing = true, .self = "alpha", .peer = "beta", .keys = {same}, .known = {}, .used_key = {}, .refusal = {}};
    Pair pair(key.get(), beta.accepting.get());
    REQUIRE((io::attach(pair.d, part) && io::attach(pair.a, certificate)));
    CHECK_FALSE(pair.shake());
    CHECK(says(certificate.refusal, "has the shared key where this node has certificates"));
  }
  {
    io::PskPart part{.dialing = false, .self = "alpha", .peer = {}, .keys = {same}, .known = {"beta"}, .used_key = {}, .refusal = {}};
    io::CertificatePart dialer{.dialing = true, .self = "beta", .peer = "alpha", .known = {}, .refusal = {}};
    Pair pair(beta.dialing.get(), key.get());
    REQUIRE((io::attach(pair.d, dialer) && io::attach(pair.a, part)));
    CHECK_FALSE(pair.shake());
  }
  const io::SslContext old(SSL_CTX_new(TLS_client_method()));
  REQUIRE(SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION) == 1);
  Pair pair(old.get(), beta.accepting.get());
  REQUIRE(io::attach(pair.a, certificate));
  CHECK_FALSE(pair.shake());
}

TEST_CASE("tls-certificate: files that can't be used are named, with the reason") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  const auto good = ca.sign("alpha", "DNS:alpha"), beta = ca.sign("beta", "DNS:beta");
  CHECK(says(refused(ca.sign("old", "DNS:old", "-startdate 20200101000000Z -enddate 20200102000000Z"), "old"), "certificate has expired: renew it"));
  auto files = good;
  files.server_certificate = scratch / "nothing";
  CHECK(says(refused(files, "alpha"), files.server_certificate + " is missing"));
  files = good;
  files.client_key = beta.client_key;
  CHECK(says(refused(files, "alpha"), beta.client_key + " is not that of the certificate " + good.client_certificate));
  files = good;
  std::swap(files.server_certificate, files.client_certificate);
  std::swap(files.server_key, files.client_key);
  CHECK(says(refused(files, "alpha"), "make a server certificate for accepting"));
  REQUIRE(::chmod(good.server_key.c_str(), 0640) == 0);
  CHECK(says(refused(good, "alpha"), "do chmod 0600 " + good.server_key));
}
