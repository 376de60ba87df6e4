// SPDX-License-Identifier: GPL-2.0-or-later
// A configuration that isn't understood is refused with its line, never half taken.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include "migrationd/io/config-file.h"
#include "migrationd/resource/parameters.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {
std::string refusal(const std::string& content) {
  const auto config = parse_config(content, "x.conf");
  return config.ok() ? "accepted" : config.error();
}
bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("config-file: an empty file means the defaults") {
  const auto config = parse_config("\n  # nothing\n\t\n", "x.conf");
  REQUIRE(config.ok());
  CHECK(config.value().cluster == ClusterKind::automatic);
  CHECK(config.value().port == 6415);
  CHECK(config.value().unfenced == Unfenced::refuse);
  CHECK(config.value().handoff_timeout == Milliseconds(120'000));
  CHECK(config.value().start_timeout == Milliseconds(90'000));
  CHECK(config.value().key == "/etc/migrationd/key");
}

TEST_CASE("config-file: every key is taken") {
  const auto parsed = parse_config(
      "cluster = none\nnode_name = alpha\nnode = alpha 192.0.2.1 [2001:db8::1]:7000\nnode=beta beta.example.org # b\n"
      "port = 7000\r\nlisten = 192.0.2.1 2001:db8::1\nkey = /k\nstate_dir = /s\nruntime_dir = /r\nunfenced = membership\n"
      "migration_transport = ssh\nhandoff = off\nhandoff_timeout = 2 min\nstart_timeout = 1500ms\nlog_level = debug\n"
      "log_target = file:/var/log/m.log\nlibvirt_uri = xen:///system\n",
      "x.conf");
  REQUIRE_MESSAGE(parsed.ok(), (parsed.ok() ? "" : parsed.error()));
  const Config& config = parsed.value();
  CHECK(config.cluster == ClusterKind::none);
  CHECK(config.node_name == "alpha");
  CHECK(config.nodes == std::map<NodeName, std::vector<std::string>>{{"alpha", {"192.0.2.1", "[2001:db8::1]:7000"}},
                                                                     {"beta", {"beta.example.org"}}});
  CHECK(config.port == 7000);
  CHECK(config.listen == std::vector<std::string>{"192.0.2.1", "2001:db8::1"});
  CHECK(config.key == "/k");
  CHECK(config.state_dir == "/s");
  CHECK(config.runtime_dir == "/r");
  CHECK(config.unfenced == Unfenced::membership);
  CHECK(config.migration_transport == "ssh");
  CHECK(config.handoff == Handoff::off);
  CHECK(config.handoff_timeout == Milliseconds(120'000));
  CHECK(config.start_timeout == Milliseconds(1500));
  CHECK(config.log_level == LogLevel::debug);
  CHECK(config.log_target == LogTarget::file);
  CHECK(config.log_file == "/var/log/m.log");
  CHECK(config.libvirt_uri == "xen:///system");
  CHECK(parse_config("listen = any", "x").value().listen_everywhere);
}

TEST_CASE("config-file: an error names the line, the value and what is allowed") {
  CHECK(refusal("\nclutser = auto\n").starts_with("x.conf:2: the key \"clutser\" is unknown; known are alert_agent, "));
  CHECK(refusal("cluster = foo") ==
        "x.conf:1: \"foo\" is no value for \"cluster\": it must be one of auto, pacemaker, heartbeat, none");
  CHECK(says(refusal("port = 7\nunfenced = refuse\nport = 8"), "x.conf:3: \"port\" was given already in line 1"));
  CHECK(refusal("libvirt_uri = qemu:///system\nlibvirt_uri = xen:///system") ==
        "x.conf:2: \"libvirt_uri\" was given already in line 1: remove one of the two; a daemon serves one hypervisor");
  CHECK(says(refusal("[section]"), "x.conf:1: there are no sections"));
  CHECK(says(refusal("what is this"), "x.conf:1: this is no line"));
  CHECK(says(refusal(std::string("port\0 = 7", 9)), "no text file"));
}

TEST_CASE("config-file: bad values are refused") {
  for (const char* line : {"port = 0", "port = 65536", "port = 6415x", "port =", "port = -1", "key = relative/key", "key =",
                           "start_timeout = 0", "start_timeout = 999ms", "start_timeout = 2 weeks", "start_timeout = -5s",
                           "handoff_timeout = 25h", "handoff_timeout = 99999999999999999999", "handoff = maybe",
                           "listen = any 192.0.2.1", "listen =", "listen = a/b", "log_target = file:relative",
                           "log_level = loud", "libvirt_uri = qemu", "migration_transport = pigeon", "unfenced = yes",
                           "node_name = two words", "node_name =", "cluster = none\nnode = alpha",
                           "cluster = none\nnode = alpha 192.0.2.1:0", "cluster = none\nnode = alpha a:b:c/d",
                           "cluster = none\nnode = a 192.0.2.1\nnode = a 192.0.2.2"}) {
    CAPTURE(line);
    CHECK(refusal(line).starts_with("x.conf:"));
  }
}

TEST_CASE("config-file: a transport is taken here exactly when a resource may name it") {
  for (const char* word : {"", "ssh", "tls", "tcp", "unix", "migrationd", "pigeon", "TLS"}) {
    CAPTURE(word);
    const auto config = parse_config(std::string("migration_transport = ") + word, "x");
    const auto resource = migrationd::resource::parse({{"config", "/x"}, {"migration_transport", word}});
    CHECK(config.ok() == resource.ok());
    if (config.ok()) CHECK(config.value().migration_transport == word);
  }
  CHECK(says(refusal("migration_transport = unix"), "it must be one of migrationd, ssh, tls, tcp"));
}

TEST_CASE("config-file: of a broken file the lines that are right still count where a stop must work") {
  tests::Scratch scratch;
  tests::write_file(scratch / "c", "port = nonsense\nstate_dir = /s\nruntime_dir = relative\n\nwhat\n");
  const auto rest = read_rest_of_config_file(scratch / "c");
  CHECK(rest.config.state_dir == "/s");
  CHECK(rest.config.runtime_dir == "/run/migrationd");
  CHECK(says(rest.complaint, "c:1: \"nonsense\" is no value for \"port\""));
  CHECK(read_rest_of_config_file(scratch / "no").complaint.empty());
  CHECK(says(read_rest_of_config_file(scratch.path()).complaint, "is a directory"));
  ::chmod((scratch / "c").c_str(), 0666);
  CHECK(read_rest_of_config_file(scratch / "c").config.state_dir == "/var/lib/migrationd");
}

TEST_CASE("config-file: nodes go with cluster = none, and only with it") {
  CHECK(says(refusal("node = alpha 192.0.2.1"), "x.conf:1: \"node\" only goes with \"cluster = none\""));
  CHECK(says(refusal("port = 1\ncluster = none"), "x.conf:2: with \"cluster = none\" the nodes must be listed"));
}

TEST_CASE("config-file: the file itself may be wrong, too") {
  tests::Scratch scratch;
  const auto error = [](const Result<Config>& config) { return config.ok() ? std::string("accepted") : config.error(); };
  CHECK(error(read_config_file(scratch / "no", false)) == "accepted");
  CHECK(says(error(read_config_file(scratch / "no", true)), "No such file"));
  CHECK(says(error(read_config_file(scratch.path(), false)), "is a directory"));
  tests::write_file(scratch / "c", "port = 7000\n");
  CHECK(error(read_config_file(scratch / "c", true)) == "accepted");
  CHECK(read_config_file(scratch / "c", true).value().port == 7000);
  ::chmod((scratch / "c").c_str(), 0666);
  CHECK(says(error(read_config_file(scratch / "c", true)), "chmod go-w"));
  tests::write_file(scratch / "d", std::string(2 * 1024 * 1024, '#'));
  CHECK(says(error(read_config_file(scratch / "d", true)), "larger than"));
}

TEST_CASE("config-file: alert agents, each with the recipients below it") {
  const auto parsed = parse_config("alert_agent = /a\nalert_recipient = ann@example.org\nalert_recipient = two words\nalert_agent = /b\n", "x.conf");
  REQUIRE(parsed.ok());
  const auto& agents = parsed.value().alert_agents;
  REQUIRE(agents.size() == 2);
  CHECK(agents[0].path == "/a");
  CHECK(agents[0].recipients == std::vector<std::string>{"ann@example.org", "two words"});
  CHECK(agents[1].path == "/b");
  CHECK(agents[1].recipients.empty());
  CHECK(says(refusal("alert_recipient = ann\nalert_agent = /a\n"), "x.conf:1: "));
  CHECK(says(refusal("alert_recipient = ann\n"), "belongs to the alert_agent above it"));
  CHECK(says(refusal("alert_agent = mail.sh\n"), "absolute path"));
  CHECK(says(refusal("alert_agent = /a\nalert_recipient =\n"), "alert_recipient"));
}
