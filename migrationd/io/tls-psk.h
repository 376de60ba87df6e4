// SPDX-License-Identifier: GPL-2.0-or-later
// How two daemons prove to each other who they are: TLS 1.3 with an external pre-shared key and (EC)DHE (RFC 8446,
// section 2.2), and nothing else: no certificates, no tickets, no early data, no key exchange without (EC)DHE.
//
// The key in the key file is the cluster's, the same on all nodes. The pre-shared key of one connection is derived
// from it with HKDF-SHA256 (RFC 5869), the name of the node that dials and the name of the one that accepts as
// context (as RFC 9258 does with its importer). So the handshake only succeeds when both sides mean the same two
// nodes in the same two roles: a connection can't be taken for one to another node, nor be mirrored back.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migrationd/base/ids.h"
#include "migrationd/io/key-file.h"
#include "migrationd/io/link-authentication.h"

namespace migrationd::io {

/// Names a key without giving anything of it away: 16 hexadecimal digits, derived from it.
std::string key_id(const Key& key);

/// The pre-shared key of a connection that `dialer` makes to `acceptor`.
Key link_psk(const Key& key, const NodeName& dialer, const NodeName& acceptor);

/// One side's part in one handshake. Kept by the connection for as long as its SSL lives.
struct PskPart {
  bool dialing = false;
  NodeName self;
  NodeName peer;             ///< dialing: whom we mean; accepting: filled in by the handshake, empty till then
  std::vector<Key> keys;     ///< dialing: the one to use; accepting: those that are accepted
  std::set<NodeName> known;  ///< accepting: the configured nodes
  std::string used_key;      ///< id of the key that was agreed on
  std::string refusal;       ///< accepting: why the dialer's offer was refused, for the log

  std::string identity{};    ///< dialing: what is offered; must stay where it is during the handshake
};

struct SslContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextDeleter>;

/// A context for both roles; null when OpenSSL refuses (its error queue says why).
SslContext make_psk_context();

/// Ties `part` to `ssl`, which was made from make_psk_context(). `part` must outlive `ssl`.
bool attach(SSL* ssl, PskPart& part);

/// The handshake is over: `ssl` may outlive its part.
void detach(SSL* ssl);

/// After a handshake: whether the pre-shared key, and not something else, authenticated it.
bool authenticated_by_psk(SSL* ssl);

/// One or two keys; the first is dialed with, the second when the other node doesn't have the first yet.
LinkAuthenticationPtr authentication_by_key(std::vector<Key> keys);

}  // namespace migrationd::io
