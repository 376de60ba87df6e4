// SPDX-License-Identifier: GPL-2.0-or-later
// The definitions that a node keeps of all domains, in files: whole, private, of the right domain, and never in place of a
// file that is there.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <boost/asio/io_context.hpp>

#include "migrationd/engine/definition-keeper.h"
#include "migrationd/io/configuration-check.h"
#include "migrationd/io/kept-definitions.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");
const std::string file = uuid.str() + ".xml";

std::string xml_of(const std::string& name, const std::string& id = uuid.str()) {
  return "<domain type=\"qemu\"><name>" + name + "</name><uuid>" + id + "</uuid><memory>1024</memory></domain>";
}

struct Node {
  tests::Scratch scratch;
  std::string state = scratch / "state";
  boost::asio::io_context loop;
  KeptDefinitions definitions{loop, state};

  engine::KeptDefinition vm1(const std::string& name = "vm1") {
    return {uuid, name, "r1", scratch / "vm1.xml", "alpha", Epoch{7}, 3, definitions.digest(xml_of(name)), xml_of(name)};
  }
  Outcome keep(const engine::KeptDefinition& definition) {
    std::optional<Outcome> ended;
    definitions.keep_definition(definition, [&](Outcome outcome) { ended = std::move(outcome); });
    loop.restart();
    loop.run();
    REQUIRE(ended);
    return *ended;
  }
  std::string path() const { return state + "/definitions/" + file; }
  std::string content() const {
    std::ifstream in(path());
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  void write(const std::string& text) { std::ofstream(path(), std::ios::trunc) << text; }
  std::string refused() {
    const LoadedDefinitions loaded = load_definitions(state);
    CHECK(loaded.kept.empty());
    return loaded.refused.empty() ? "" : loaded.refused.front();
  }
};

}  // namespace

TEST_CASE("kept definitions: one comes back as it was, from a file for root alone that is XML") {
  Node node;
  engine::KeptDefinition one = node.vm1("--><x/> ü & <vm>");
  one.xml = "<domain type=\"qemu\"><name>--&gt;&lt;x/&gt; ü &amp; &lt;vm&gt;</name><uuid>" + uuid.str() + "</uuid><memory>1024</memory></domain>";
  one.digest = node.definitions.digest(one.xml);
  REQUIRE(node.keep(one).ok());
  struct stat status {};
  REQUIRE(::stat(node.path().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  const LoadedDefinitions loaded = load_definitions(node.state);
  CHECK(loaded.refused.empty());
  REQUIRE(loaded.kept.size() == 1);
  const engine::KeptDefinition& back = loaded.kept.front();
  CHECK(back.uuid == one.uuid);
  CHECK(back.name == one.name);
  CHECK(back.resource == one.resource);
  CHECK(back.config == one.config);
  CHECK(back.origin == one.origin);
  CHECK(back.epoch == one.epoch);
  CHECK(back.version == one.version);
  CHECK(back.xml == one.xml);
  CHECK(parse_domain_xml(node.content(), "the file").ok());
}

TEST_CASE("kept definitions: what is not whole, not ours or another domain's is refused, and the rest is read") {
  Node node;
  REQUIRE(node.keep(node.vm1()).ok());
  const std::string good = node.content();
  node.write(good.substr(0, good.size() - 1));
  CHECK(node.refused().find("checksum") != std::string::npos);
  std::string other = good;
  other[good.find("definition 1") + 11] = '2';
  node.write(other);
  CHECK(node.refused().find("version 2") != std::string::npos);
  node.write("");
  CHECK(node.refused().find("no definition") != std::string::npos);
  node.write(std::string(engine::kept_definition_limit + 100'000, ' '));
  CHECK(node.refused().find("larger") != std::string::npos);
  std::filesystem::remove(node.path());
  std::filesystem::create_symlink("/etc/passwd", node.path());
  CHECK(node.refused().find("can't open") != std::string::npos);
  std::filesystem::remove(node.path());
  ::mkfifo(node.path().c_str(), 0600);
  CHECK(node.refused().find("regular") != std::string::npos);
  std::filesystem::remove(node.path());
  node.write(good);
  std::filesystem::rename(node.path(), node.state + "/definitions/1b7e4c1a-90ab-4cde-8f01-23456789abcd.xml");
  CHECK(node.refused().find("another domain's") != std::string::npos);
  std::ofstream(node.state + "/definitions/passwd") << "x";
  REQUIRE(node.keep(node.vm1()).ok());
  const LoadedDefinitions loaded = load_definitions(node.state);
  CHECK(loaded.kept.size() == 1);
  CHECK(loaded.refused.size() == 2);
}

TEST_CASE("kept definitions: a definition is of the domain that it is said to be, by UUID, name and digest") {
  Node node;
  CHECK(node.definitions.examine(node.vm1()).ok());
  engine::KeptDefinition wrong = node.vm1();
  wrong.name = "vm2";
  CHECK(node.definitions.examine(wrong).error().find("called vm1") != std::string::npos);
  wrong = node.vm1();
  wrong.uuid = *DomainUuid::parse("1b7e4c1a-90ab-4cde-8f01-23456789abcd");
  CHECK_FALSE(node.definitions.examine(wrong).ok());
  wrong = node.vm1();
  wrong.xml += " ";
  CHECK(node.definitions.examine(wrong).error().find("digest") != std::string::npos);
  wrong.xml = "<domain>";
  wrong.digest = node.definitions.digest(wrong.xml);
  CHECK_FALSE(node.definitions.examine(wrong).ok());
}

TEST_CASE("kept definitions: one takes the place of a missing file only") {
  Node node;
  const engine::KeptDefinition one = node.vm1();
  REQUIRE(node.keep(one).ok());
  const auto validated = [&](const std::string& resource) {
    return validate({{"config", one.config}}, "qemu:///system", {node.state, resource}).code;
  };
  CHECK(kept_instead_of(node.state, "r1", one.config));
  CHECK_FALSE(kept_instead_of(node.state, "r2", one.config));
  CHECK_FALSE(kept_instead_of(node.state, "r1", one.config + "2"));
  CHECK(validated("r1") == wire::OcfCode::success);
  CHECK(validated("r2") == wire::OcfCode::not_installed);
  std::ofstream(one.config) << "<domain>";
  CHECK_FALSE(kept_instead_of(node.state, "r1", one.config));
  CHECK(validated("r1") == wire::OcfCode::not_installed);
  std::filesystem::remove(one.config);
  std::filesystem::create_symlink("nowhere", one.config);
  CHECK_FALSE(kept_instead_of(node.state, "r1", one.config));
  CHECK(validated("r1") == wire::OcfCode::not_installed);
}
