// SPDX-License-Identifier: GPL-2.0-or-later
// What the links between the daemons know of how two of them prove who they are: there is a way, and each handshake is a part
// in it. The ways are tls-psk (the shared key) and tls-certificate (X.509); a node has one of them, and never falls back to the other.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migrationd/base/ids.h"

namespace migrationd::io {

/// One side's part in one handshake. Kept by the connection for as long as its SSL lives.
class LinkProof {
 public:
  virtual ~LinkProof() = default;
  /// What the SSL is to be made from.
  virtual SSL_CTX& context() = 0;
  virtual bool attach(SSL* ssl) = 0;
  /// The handshake is over: `ssl` may outlive this.
  virtual void detach(SSL* ssl) = 0;
  /// After the handshake: why it does not prove that the other side is peer(); empty: it does.
  virtual std::string unproven(SSL* ssl) = 0;

  virtual bool dialing() const = 0;
  virtual const NodeName& self() const = 0;
  virtual const NodeName& peer() const = 0;        ///< accepting: empty until the handshake has told it
  virtual const std::string& credential() const = 0;  ///< what was used, for accepts(): after the handshake is proven
  virtual const std::string& refusal() const = 0;  ///< why this side refused the other, for the log
  /// What a handshake that the other side refused can mean, such as "it has another key file".
  virtual std::string suspicion() const = 0;
};

class LinkAuthentication {
 public:
  virtual ~LinkAuthentication() = default;
  /// Why no handshake can be made with it; empty: it's usable.
  virtual std::string unusable() const = 0;
  /// Names of what to dial with, one after another.
  virtual std::vector<std::string> credentials() const = 0;
  /// Whether a connection that this credential has authenticated may stay.
  virtual bool accepts(const std::string& credential) const = 0;
  /// `credential` is one of credentials().
  virtual std::unique_ptr<LinkProof> dial(const NodeName& self, const NodeName& peer, const std::string& credential) const = 0;
  virtual std::unique_ptr<LinkProof> accept(const NodeName& self, std::set<NodeName> known) const = 0;
};
using LinkAuthenticationPtr = std::shared_ptr<const LinkAuthentication>;

}  // namespace migrationd::io
