// SPDX-License-Identifier: GPL-2.0-or-later
// Where a node's certificates are: libvirt's own places, unless the configuration says otherwise.
#pragma once

#include <string>

namespace migrationd::io {

/// Absolute paths; the defaults are libvirt's.
struct CertificateFiles {
  std::string ca = "/etc/pki/CA/cacert.pem";
  std::string revoked = "/etc/pki/CA/cacrl.pem";  ///< may be missing
  std::string server_certificate = "/etc/pki/libvirt/servercert.pem";
  std::string server_key = "/etc/pki/libvirt/private/serverkey.pem";
  std::string client_certificate = "/etc/pki/libvirt/clientcert.pem";
  std::string client_key = "/etc/pki/libvirt/private/clientkey.pem";
};

}  // namespace migrationd::io
