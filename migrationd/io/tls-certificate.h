// SPDX-License-Identifier: GPL-2.0-or-later
// How two daemons prove to each other who they are with X.509: TLS 1.3, certificates on both sides from one CA, and nothing
// else: no pre-shared key, no tickets, no early data. The files are libvirt's own by default.
//
// A node shows its server certificate when it accepts and its client certificate when it dials, and OpenSSL checks that
// each has the purpose of its role. The dialer names the node that it means in the server name (RFC 6066, section 3), so
// that the handshake binds both names and both roles: a connection can't be taken for one to another node.
//
// A certificate is a node's when it has the node's name as the cluster names it: as a subjectAltName DNS, or as the common name when there is
// none. Wildcards don't count, nor does the first label of a longer name: alpha.example.org and alpha.example.net are two hosts.
#pragma once

#include <openssl/ssl.h>

#include <set>
#include <string>

#include "migrationd/base/ids.h"
#include "migrationd/base/result.h"
#include "migrationd/io/certificate-files.h"
#include "migrationd/io/tls-psk.h"

namespace migrationd::io {

/// What was in the files when they were read.
struct Certificates {
  SslContext dialing;
  SslContext accepting;
};

/// Reads the files and judges this node's own certificates as another node would. The error says which file, why, and what to do.
Result<Certificates> read_certificates(const CertificateFiles& files, const NodeName& self);

/// One side's part in one handshake. Kept by the connection for as long as its SSL lives.
struct CertificatePart {
  bool dialing = false;
  NodeName self;
  NodeName peer;             ///< dialing: whom we mean; accepting: filled in by the handshake, empty till then
  std::set<NodeName> known;  ///< accepting: the configured nodes
  std::string refusal;       ///< why the other side was refused, for the log

  bool meant = false;        ///< accepting: the dialer means this node
};

/// Ties `part` to `ssl`, which was made from the context of its role. `part` must outlive `ssl`, or be detached.
bool attach(SSL* ssl, CertificatePart& part);
/// The handshake is over: `ssl` may outlive its part.
void detach_certificate(SSL* ssl);
/// After a handshake: whether the certificate of `peer`, and not something else, authenticated it.
bool authenticated_by_certificate(SSL* ssl);

LinkAuthenticationPtr authentication_by_certificate(Certificates certificates);

}  // namespace migrationd::io
