// SPDX-License-Identifier: GPL-2.0-or-later
// A certificate authority for one test case, made with the openssl command in a scratch directory.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "migrationd/io/tls-certificate.h"
#include "tests/unit/scratch.h"

namespace migrationd::tests {

inline void run(const std::string& command) { REQUIRE_MESSAGE(std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0, command); }

/// A CA and what it has signed.
struct Authority {
  /// `above`: signs its certificate, and is the one that the nodes trust; null: itself.
  explicit Authority(const Scratch& scratch, const std::string& name, const Authority* above = nullptr)
      : in(scratch / name), trusted(above != nullptr ? above->trusted : in) {
    std::filesystem::create_directory(in);
    const std::string make = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name + " -keyout " + in + "/ca.key";
    if (above == nullptr) {
      run(make + " -x509 -days 2 -out " + in + "/ca.pem");
    } else {
      write_file(in + "/ca.ext", "basicConstraints=critical,CA:true\n");
      run(make + " -out " + in + "/ca.req");
      run("openssl ca -batch -notext -config " + above->in + "/ca.cnf -extfile " + in + "/ca.ext -in " + in + "/ca.req -out " + in + "/ca.pem");
    }
    write_file(in + "/index", "");
    write_file(in + "/ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=" + in + "/index\nserial=" + in + "/serial\nnew_certs_dir=" + in +
                                   "\nunique_subject=no\ndefault_md=sha256\ndefault_days=2\ndefault_crl_days=2\npolicy=p\ncertificate=" + in + "/ca.pem\nprivate_key=" + in +
                                   "/ca.key\n[p]\ncommonName=supplied\n");
    write_file(in + "/serial", "01\n");
  }
  /// Both pairs of a node; `names`: subjectAltName, or empty: the common name alone.
  io::CertificateFiles sign(const std::string& node, const std::string& names, const std::string& time = "") const {
    for (const std::string role : {"server", "client"}) {
      const std::string base = in + "/" + node + "-" + role;
      write_file(base + ".ext", "extendedKeyUsage=" + role + "Auth\n" + (names.empty() ? "" : "subjectAltName=" + names + "\n"));
      run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + node + " -keyout " + base + ".key -out " + base + ".req");
      run("chmod 600 " + base + ".key");
      run("openssl ca -batch -notext -config " + in + "/ca.cnf -extfile " + base + ".ext " + time + " -in " + base + ".req -out " + base + ".pem");
      if (trusted != in) run("cat " + in + "/ca.pem >> " + base + ".pem");
    }
    const std::string base = in + "/" + node;
    return {trusted + "/ca.pem", trusted + "/crl.pem", base + "-server.pem", base + "-server.key", base + "-client.pem", base + "-client.key"};
  }
  void revoke(const std::string& file) const {
    run("openssl ca -config " + in + "/ca.cnf -revoke " + file);
    run("openssl ca -config " + in + "/ca.cnf -gencrl -out " + in + "/crl.pem");
  }
  std::string in;
  std::string trusted;  ///< of the CA whose certificate the nodes have
};

}  // namespace migrationd::tests
