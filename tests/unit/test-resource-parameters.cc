// SPDX-License-Identifier: GPL-2.0-or-later
// What an administrator may write into a resource, and what is refused instead of being ignored.
#include <doctest/doctest.h>

#include <string>

#include "migrationd/resource/duration.h"
#include "migrationd/resource/parameters.h"
#include "migrationd/resource/table.h"

using namespace migrationd;
using namespace migrationd::resource;
using namespace std::chrono_literals;

namespace {

std::map<std::string, std::string> with(std::map<std::string, std::string> given) {
  given.emplace("config", "/etc/vm/vm1.xml");
  return given;
}

std::string refusal(const std::map<std::string, std::string>& given) {
  const auto parsed = parse(given);
  return parsed ? "accepted" : parsed.error();
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("resource: durations are read as Pacemaker reads them") {
  CHECK(parse_duration("90").value() == 90s);
  CHECK(parse_duration("90s").value() == 90s);
  CHECK(parse_duration("2min").value() == 2min);
  CHECK(parse_duration("2 m").value() == 2min);
  CHECK(parse_duration("500ms").value() == 500ms);
  CHECK(parse_duration("500 MSEC").value() == 500ms);
  CHECK(parse_duration("1h").value() == 1h);
  CHECK(parse_duration("1999us").value() == 1ms);
  CHECK(parse_duration(" 0 ").value() == 0ms);
}

TEST_CASE("resource: what is no duration is refused with the reason") {
  for (const char* text : {"", "s", "-1s", "1.5s", "90 parsecs", "9223372036854775807h", "99999999999999999999", "2m 3s", "0x10"}) {
    CAPTURE(text);
    const auto duration = parse_duration(text);
    REQUIRE_FALSE(duration.ok());
    CHECK(mentions(duration.error(), "'" + std::string(text) + "' is not a duration"));
  }
}

TEST_CASE("resource: the defaults are those of the meta-data") {
  const auto parsed = parse(with({}));
  REQUIRE(parsed.ok());
  const Parameters& p = parsed.value();
  CHECK(p.hypervisor == find_row("hypervisor")->preset);
  CHECK(p.handoff == Handoff::automatic);
  CHECK(p.handoff_timeout == parse_duration(find_row("handoff_timeout")->preset).value());
  CHECK(p.start_timeout == parse_duration(find_row("start_timeout")->preset).value());
  CHECK(p.unfenced == Unfenced::refuse);
  CHECK_FALSE(p.force_stop);
  CHECK_FALSE(p.shutdown_timeout);
}

TEST_CASE("resource: every default of the table is itself accepted") {
  for (const Row& row : table()) {
    CAPTURE(row.name);
    CHECK(refusal(with({{std::string(row.name), row.name == "config" ? "/x" : std::string(row.preset)}})) == "accepted");
  }
}

TEST_CASE("resource: values arrive typed") {
  const auto parsed = parse(with({{"force_stop", "yes"},
                                  {"shutdown_timeout", "0"},
                                  {"shutdown_mode", "agent,acpi"},
                                  {"migration_transport", "tls"},
                                  {"migration_downtime", "300"},
                                  {"migration_speed", "100"},
                                  {"migrateport", "49152"},
                                  {"migrate_options", "--live --p2p --migrateuri=tcp://%n --unsafe"},
                                  {"handoff", "off"},
                                  {"handoff_timeout", "2min"},
                                  {"unfenced", "membership"}}));
  REQUIRE(parsed.ok());
  const Parameters& p = parsed.value();
  CHECK(p.force_stop);
  CHECK(p.shutdown_timeout == 0ms);
  CHECK(p.migration_transport == Transport::tls);
  CHECK(p.migration_downtime == 300ms);
  CHECK(p.migration_speed == 100);
  CHECK(p.migrateport == 49152);
  CHECK(p.migrate_options == "--live --p2p --unsafe");
  CHECK(p.migrateuri == "tcp://%n");
  CHECK(p.handoff == Handoff::off);
  CHECK(p.handoff_timeout == 2min);
  CHECK(p.unfenced == Unfenced::membership);
}

TEST_CASE("resource: what the cluster manager adds by itself is passed over") {
  CHECK(refusal(with({{"CRM_meta_timeout", "20000"}, {"crm_feature_set", "3.16.2"}, {"trace_ra", "1"}})) == "accepted");
}

TEST_CASE("resource: unknown names and values are refused, with the name in the reason") {
  CHECK(mentions(refusal(with({{"confg", "/x"}})), "parameter confg is unknown"));
  CHECK(mentions(refusal({{"name", "vm1"}}), "parameter config is missing"));
  const std::map<std::string, std::string> wrong{{"config", "vm1.xml"},
                                                 {"name", "a/b"},
                                                 {"hypervisor", "qemu"},
                                                 {"force_stop", "maybe"},
                                                 {"shutdown_mode", "acpi,magic"},
                                                 {"shutdown_timeout", "soon"},
                                                 {"migration_transport", "pigeon"},
                                                 {"migration_user", "root@elsewhere"},
                                                 {"migration_downtime", "-1"},
                                                 {"migration_speed", "1.5"},
                                                 {"migration_network_suffix", "/../x"},
                                                 {"migrateuri", "tcp://a b"},
                                                 {"migrateport", "65536"},
                                                 {"handoff", "maybe"},
                                                 {"handoff_timeout", "0"},
                                                 {"start_timeout", "1ms"},
                                                 {"unfenced", "yes"}};
  for (const auto& [name, value] : wrong) {
    CAPTURE(name);
    auto given = with({});
    given[name] = value;
    CHECK(mentions(refusal(given), "parameter " + name + "='" + value + "' is refused: "));
  }
}

TEST_CASE("resource: control characters are refused and never repeated") {
  const std::string text = refusal(with({{"name", "vm\n1"}}));
  CHECK(mentions(text, "parameter name="));
  CHECK(text.find('\n') == std::string::npos);
}

TEST_CASE("resource: a domain's name may have spaces, quotes and UTF-8") {
  CHECK(refusal(with({{"name", "böse \"vm\" 1"}})) == "accepted");
}

TEST_CASE("resource: what isn't implemented yet is refused, unless it says nothing") {
  for (const Row& row : table()) {
    if (row.comes_with.empty()) continue;
    CAPTURE(row.name);
    const std::string name(row.name);
    const std::string other = row.type == Type::boolean ? (row.preset == "0" || row.preset == "no" || row.preset == "false" ? "true" : "false")
                              : row.type == Type::integer ? "1"
                              : row.type == Type::choice  ? std::string(row.choices.substr(row.choices.find('|') + 1))
                                                          : "/some/thing";
    CHECK(mentions(refusal(with({{name, other}})), "not implemented yet, comes with " + std::string(row.comes_with)));
    CHECK(refusal(with({{name, ""}})) == "accepted");
  }
}

TEST_CASE("resource: on_poweroff is restart, unless the guest is to stay off") {
  CHECK_FALSE(parse(with({})).value().stay_off);
  CHECK_FALSE(parse(with({{"on_poweroff", "restart"}})).value().stay_off);
  CHECK(parse(with({{"on_poweroff", "stay-off"}})).value().stay_off);
  CHECK(refusal(with({{"on_poweroff", "stop"}})) != "accepted");
}

TEST_CASE("resource: post-copy is consented to only where the daemons carry the migration, in one stream") {
  CHECK(refusal(with({{"postcopy", "yes"}})) == "accepted");
  CHECK(refusal(with({{"postcopy", "0"}, {"migration_transport", "tls"}})) == "accepted");
  CHECK(refusal(with({{"postcopy", "yes"}, {"migration_transport", "migrationd"}})) == "accepted");
  for (const auto& [name, value] : std::map<std::string, std::string>{{"migration_transport", "tls"}, {"migrateuri", "tcp://%n"}, {"hypervisor", "xen:///system"}})
    CHECK(mentions(refusal(with({{"postcopy", "yes"}, {name, value}})), "postcopy=yes needs migration_transport=migrationd"));
  CHECK(mentions(refusal(with({{"postcopy", "yes"}, {"migrate_options", "--parallel"}})), "exclude each other"));
}

TEST_CASE("resource: the carried transport beside a way of libvirt's own is refused, by the name of that") {
  CHECK(refusal(with({{"migration_transport", "migrationd"}})) == "accepted");
  CHECK(refusal(with({{"migration_transport", "migrationd"}, {"migration_network_suffix", "-mig"}})) == "accepted");
  const std::map<std::string, std::string> others = {{"remoteuri", "qemu+ssh://%n/system"}, {"migrateuri", "tcp://%n"}, {"migrateport", "49152"},
                                                     {"migration_user", "mover"}, {"migrate_options", "--auto-converge --tunnelled"}};
  for (const auto& [name, value] : others) {
    CAPTURE(name);
    CHECK(mentions(refusal(with({{"migration_transport", "migrationd"}, {name, value}})), "contradict each other"));
    CHECK(mentions(refusal(with({{"migration_transport", "migrationd"}, {name, value}})), name));
    CHECK(refusal(with({{name, value}})) == "accepted");
    // A stop is carried out all the same.
    CHECK(mentions(good_parameters(with({{"migration_transport", "migrationd"}, {name, value}})).complaint, "contradict"));
  }
  CHECK(mentions(refusal(with({{"migration_transport", "migrationd"}, {"hypervisor", "xen:///system"}})), "qemu:///system only"));
}

TEST_CASE("resource: every parameter of VirtualDomain and Xen is known by name") {
  for (const char* name :
       {"config", "hypervisor", "force_stop", "migration_transport", "migration_user", "migration_downtime",
        "migration_speed", "migration_network_suffix", "migrateuri", "remoteuri", "migrate_options", "migrateport",
        "monitor_scripts", "autoset_utilization_cpu", "autoset_utilization_host_memory", "autoset_utilization_hv_memory",
        "unset_utilization_cpu", "unset_utilization_host_memory", "unset_utilization_hv_memory", "save_config_on_stop",
        "sync_config_on_stop", "snapshot", "backingfile", "stateless", "copyindirs", "shutdown_mode", "start_resources",
        "xmfile", "name", "shutdown_timeout", "shutdown_acpi", "allow_mem_management", "reserved_Dom0_memory",
        "node_ip_attribute"}) {
    CAPTURE(name);
    CHECK(find_row(name) != nullptr);
  }
}
