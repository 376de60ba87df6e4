// SPDX-License-Identifier: GPL-2.0-or-later
// Of libvirt's RPC only what a migration needs passes, whole and unchanged, wherever it is cut.
#include <doctest/doctest.h>

#include <optional>
#include <vector>

#include "migrationd/wire/libvirt-rpc.h"
#include "rpc-bytes.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {

struct Guarded {
  std::vector<wire::MigrationCall> judged;
  std::string refuse;
  int prepared = 0;
  std::string to_server, to_client;
  wire::LibvirtRpcGuard guard{[this](const wire::MigrationCall& call) -> Outcome {
                                judged.push_back(call);
                                return refuse.empty() ? Outcome(Done{}) : Error{refuse};
                              },
                              [this] { ++prepared; }};

  std::string client(const std::string& bytes) {
    const auto passed = guard.from_client(bytes, to_server);
    return passed ? "" : passed.error();
  }
  std::string server(const std::string& bytes) {
    const auto passed = guard.from_server(bytes, to_client);
    return passed ? "" : passed.error();
  }
};

const std::string prepare = rpc(prepare3_params, migration_arguments({{"destination_xml", "<domain/>"}, {"migrate_uri", "unix:///x"}}, 0x20), 7);
const std::string finish = rpc(finish3_params, migration_arguments({{"destination_name", "vm1"}}, 0x20) + word(0), 8);
const std::string prepared = rpc(prepare3_params, opaque("cookie") + opaque("uri"), 7, 1);

}  // namespace

TEST_CASE("libvirt rpc: a whole peer-to-peer migration passes, cut at every byte") {
  std::string all;
  for (std::uint32_t procedure : {66U, 1U, 60U, 360U}) all += rpc(procedure, opaque("qemu:///system"));
  all += rpc(1, "", 0, 2, 0x6b656570) + prepare;
  for (std::size_t at = 0; at <= all.size(); at += 3) {
    Guarded guarded;
    CHECK(guarded.client(all.substr(0, at)) == "");
    CHECK(guarded.client(all.substr(at)) == "");
    CHECK(guarded.to_server == all);
  }
  Guarded guarded;
  for (const char one : all) CHECK(guarded.client(std::string(1, one)) == "");
  CHECK(guarded.to_server == all);
  for (const char one : prepared) CHECK(guarded.server(std::string(1, one)) == "");
  CHECK(guarded.to_client == prepared);
  CHECK(guarded.prepared == 1);
  CHECK(guarded.client(finish + rpc(2)) == "");
  REQUIRE(guarded.judged.size() == 2);
  CHECK(guarded.judged[0].kind == wire::MigrationCall::Kind::prepare);
  CHECK(guarded.judged[0].texts.at("destination_xml") == "<domain/>");
  CHECK(guarded.judged[0].flags == 0x20);
  CHECK(guarded.judged[1].kind == wire::MigrationCall::Kind::finish);
  CHECK(guarded.judged[1].texts.at("destination_name") == "vm1");
}

TEST_CASE("libvirt rpc: what the judge makes of the flags is what passes, and the rest is as it was") {
  wire::LibvirtRpcGuard guard{[](wire::MigrationCall& call) -> Outcome {
                                if (call.kind == wire::MigrationCall::Kind::finish) call.flags = call.cancelled ? 0x01020304 : 0x21;
                                return Done{};
                              },
                              [] {}};
  const auto finishes = [](std::uint32_t flags, std::uint32_t cancelled) {
    return rpc(finish3_params, migration_arguments({{"destination_name", "vm1"}}, flags) + word(cancelled), 8);
  };
  std::string out, answer;
  REQUIRE(guard.from_client(prepare, out).ok());
  REQUIRE(guard.from_server(prepared, answer).ok());
  CHECK(out == prepare);
  out.clear();
  for (const char one : finishes(0x20, 0) + finishes(0x20, 1)) REQUIRE(guard.from_client(std::string(1, one), out).ok());
  CHECK(out == finishes(0x21, 0) + finishes(0x01020304, 1));
}

TEST_CASE("libvirt rpc: every other procedure, program and type is refused, and nothing of it passes") {
  for (std::uint32_t procedure = 0; procedure < 500; ++procedure) {
    if (procedure == 1 || procedure == 2 || procedure == 60 || procedure == 66 || procedure == 360 || procedure == 361 ||
        procedure == prepare3_params || procedure == finish3_params)
      continue;
    CAPTURE(procedure);
    Guarded guarded;
    CHECK(guarded.client(rpc(procedure)).find("is none that a migration needs") != std::string::npos);
    CHECK(guarded.to_server == "");
  }
  for (const std::string& message : {rpc(1, "", 1, 3), rpc(1, "", 1, 4), rpc(1, "", 1, 1), rpc(1, "", 1, 0, 0x20008087), rpc(1, "", 1, 0, 0x6b656570)}) {
    Guarded guarded;
    CHECK(guarded.client(message) != "");
    CHECK(guarded.to_server == "");
  }
}

TEST_CASE("libvirt rpc: what the judge refuses does not pass") {
  Guarded guarded;
  guarded.refuse = "another domain";
  CHECK(guarded.client(prepare) == "DomainMigratePrepare3Params: another domain");
  CHECK(guarded.to_server == "");
}

TEST_CASE("libvirt rpc: one prepare, and a finish only after its answer") {
  Guarded early;
  CHECK(early.client(finish).find("before anything was prepared") != std::string::npos);
  Guarded unanswered;
  CHECK(unanswered.client(prepare) == "");
  CHECK(unanswered.client(finish).find("before anything was prepared") != std::string::npos);
  Guarded twice;
  CHECK(twice.client(prepare) == "");
  CHECK(twice.client(prepare).find("a second") == 0);
  // The answer to something else is not the prepare's.
  Guarded other;
  CHECK(other.client(prepare) == "");
  CHECK(other.server(rpc(60, "", 7, 1) + rpc(prepare3_params, "", 6, 1) + rpc(prepare3_params, "", 7, 2)) == "");
  CHECK(other.prepared == 0);
  CHECK(other.server(prepared + prepared) == "");
  CHECK(other.prepared == 1);
}

TEST_CASE("libvirt rpc: what is not libvirt's RPC is refused at once") {
  CHECK(Guarded().client(std::string(28, '\0')) == "this is not libvirt's RPC");
  CHECK(Guarded().client("GET / HTTP/1.1\r\nHost: somewhere.example\r\n\r\n").find("a message of") == 0);
  CHECK(Guarded().client(word(0x7fffffff) + std::string(24, 'x')).find("a message of 2147483647 bytes") == 0);
  CHECK(Guarded().server(word(3) + std::string(24, 'x')) != "");
}

TEST_CASE("libvirt rpc: arguments that are cut off, unknown or doubled are refused or told apart") {
  const std::string body = migration_arguments({{"destination_xml", "<domain/>"}}, 0x20);
  for (std::size_t size = 0; size < body.size(); ++size) {
    Guarded guarded;
    CAPTURE(size);
    CHECK(guarded.client(rpc(prepare3_params, body.substr(0, size))) != "");
    CHECK(guarded.judged.empty());
  }
  CHECK(Guarded().client(rpc(prepare3_params, word(65) + std::string(4000, '\0'))).find("more parameters") != std::string::npos);
  CHECK(Guarded().client(rpc(prepare3_params, word(1) + opaque("x") + word(9) + word(0) + opaque("") + word(0))).find("unknown type") != std::string::npos);
  Guarded guarded;
  const std::string twice = word(2) + opaque("migrate_uri") + word(7) + opaque("unix:///x") + opaque("migrate_uri") + word(7) + opaque("tcp://y") + opaque("") + word(0);
  CHECK(guarded.client(rpc(prepare3_params, twice)) == "");
  CHECK(guarded.judged.at(0).texts.at("migrate_uri") == "unix:///x\ntcp://y");
}
