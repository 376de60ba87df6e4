// SPDX-License-Identifier: GPL-2.0-or-later
// save_config_on_stop and sync_config_on_stop: the file is replaced whole, by the same domain's definition only, and keeps
// what it is; and a node takes a definition from another only where its own cluster configuration says so.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include "libvirt-fixture.h"
#include "migrationd/io/pacemaker.h"
#include "migrationd/io/saved-definition.h"
#include "tests/unit/engine-stage.h"

using namespace migrationd;
using tests::EngineStage;
using tests::Order;
using tests::Scratch;
using tests::uuid;
using tests::write_file;

namespace {

std::string definition(const std::string& name, const DomainUuid& of, int memory, const std::string& more = "") {
  return "<domain type='test'>\n  <name>" + name + "</name>\n  <uuid>" + of.str() + "</uuid>\n  <memory>" + std::to_string(memory) +
         "</memory>\n" + more + "</domain>\n";
}

std::size_t files_in(const Scratch& scratch) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(scratch.path()), std::filesystem::directory_iterator()));
}

/// A node with vm1, which it holds and runs, or does not.
struct Node : EngineStage {
  explicit Node(handoff::Phase phase, const std::map<std::string, std::string>& parameters = {}) {
    handoff::State state;
    state.phase = phase;
    state.epoch = {7};
    if (phase != handoff::Phase::gone) shows("vm1", tests::Here::running);
    auto all = parameters;
    all["config"] = "/etc/vm1.xml";
    begin({{uuid, "vm1", "vm1", all, "<domain/>", state}});
    sent.clear();
  }
  void minute() {
    for (int ticks = 0; ticks < 60; ++ticks) all_timers();
  }
  std::vector<wire::Note> definitions_sent() const {
    std::vector<wire::Note> notes;
    for (const auto& [to, message] : sent)
      if (const auto* note = std::get_if<wire::Note>(&message); note != nullptr && !note->definition.empty()) notes.push_back(*note);
    return notes;
  }
};

const std::map<std::string, std::string> save{{"save_config_on_stop", "true"}};
const std::map<std::string, std::string> sync_too{{"sync_config_on_stop", "true"}};

}  // namespace

TEST_CASE("saved-definition: the file is replaced with its owner and mode, also behind a link, and nothing is left beside it") {
  Scratch scratch;
  write_file(scratch / "vm1.xml", definition("vm1", uuid, 1024));
  REQUIRE(::chmod((scratch / "vm1.xml").c_str(), 0640) == 0);
  if (::geteuid() == 0) REQUIRE(::chown((scratch / "vm1.xml").c_str(), 12, 34) == 0);
  std::filesystem::create_symlink("vm1.xml", scratch / "link.xml");
  struct stat before {}, after {};
  REQUIRE(::stat((scratch / "vm1.xml").c_str(), &before) == 0);

  const std::string next = definition("vm1", uuid, 2048);
  const auto saved = io::write_definition(scratch / "link.xml", uuid, next);
  REQUIRE(saved.ok());
  CHECK(saved.value().written);
  CHECK(tests::file_content(scratch / "vm1.xml") == next);
  CHECK(std::filesystem::is_symlink(scratch / "link.xml"));
  REQUIRE(::stat((scratch / "vm1.xml").c_str(), &after) == 0);
  CHECK(after.st_mode == before.st_mode);
  CHECK(after.st_uid == before.st_uid);
  CHECK(after.st_gid == before.st_gid);
  CHECK(after.st_ino != before.st_ino);  // a new file in its place, never half of one
  CHECK(files_in(scratch) == 2);
}

TEST_CASE("saved-definition: what says the same is not written") {
  Scratch scratch;
  const std::string old = "<!-- mine --><domain type='test'><name>vm1</name><uuid>" + uuid.str() + "</uuid><memory>1024</memory></domain>";
  write_file(scratch / "vm1.xml", old);
  const auto saved = io::write_definition(scratch / "vm1.xml", uuid, definition("vm1", uuid, 1024));
  REQUIRE(saved.ok());
  CHECK_FALSE(saved.value().written);
  CHECK(tests::file_content(scratch / "vm1.xml") == old);
}

TEST_CASE("saved-definition: nothing is written that is not surely the same domain's, or over what can't be read") {
  Scratch scratch;
  const DomainUuid other = *DomainUuid::parse("99999999-2222-4333-8444-555555555555");
  std::string old = definition("vm1", uuid, 1024), next = definition("vm1", uuid, 2048);
  std::string why;
  SUBCASE("the file is another domain's") { old = definition("vm1", other, 1024), why = other.str(); }
  SUBCASE("the definition is another domain's") { next = definition("vm1", other, 2048), why = other.str(); }
  SUBCASE("it was renamed") { next = definition("vm2", uuid, 2048), why = "called vm1"; }
  SUBCASE("the file is broken") { old = "<domain>", why = "broken XML"; }
  SUBCASE("the definition is half of one") { next.resize(next.size() / 2), why = "broken XML"; }
  SUBCASE("the definition is no domain's") { next = "<network><name>vm1</name></network>", why = "no domain's definition"; }
  write_file(scratch / "vm1.xml", old);
  const auto saved = io::write_definition(scratch / "vm1.xml", uuid, next);
  REQUIRE_FALSE(saved.ok());
  CHECK_MESSAGE(saved.error().find(why) != std::string::npos, saved.error());
  CHECK(tests::file_content(scratch / "vm1.xml") == old);
  CHECK(files_in(scratch) == 1);
  CHECK_FALSE(io::write_definition(scratch / "missing.xml", uuid, next).ok());
  CHECK(files_in(scratch) == 1);
}

TEST_CASE("saved-definition: of what another node sent only what is the guest's alone may differ") {
  Scratch scratch;
  const std::string disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/srv/vm1.img'/><target dev='vda'/></disk>";
  const std::string cd = "<disk type='file' device='cdrom'><source file='/srv/cd.iso'/><target dev='hda'/><readonly/></disk>";
  const std::string nic = "<interface type='bridge'><source bridge='br0'/></interface>";
  const auto with = [](const std::string& devices, const std::string& more) {
    return "<domain type='test' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>vm1</name><uuid>" + uuid.str() +
           "</uuid>" + more + "<devices>" + devices + "</devices></domain>";
  };
  const std::string memory = "<memory>1024</memory>";
  const std::string arguments = "<qemu:commandline><qemu:arg value='-foo'/></qemu:commandline>";
  const std::string os = "<os><type>hvm</type><kernel>/boot/vmlinuz</kernel></os>";
  const std::string file = scratch / "vm1.xml";
  const std::string old = with(disk + cd + nic, memory + os + arguments);
  write_file(file, old);
  const std::string same = memory + os + arguments;
  const std::string all = disk + cd + nic;
  const auto changed = [](std::string text, const std::string& from, const std::string& to) {
    REQUIRE(text.find(from) != std::string::npos);
    return text.replace(text.find(from), from.size(), to);
  };
  for (const std::string& xml :
       {with(all, memory + os + arguments + arguments), with(all, memory + os), with(all, same + "<seclabel type='none'/>"),
        with(all, memory + arguments + "<os><type>hvm</type><kernel>/etc/shadow</kernel></os>"),
        with(all, memory + arguments + "<os><type>hvm</type><kernel>/boot/vmlinuz</kernel><initrd>/etc/shadow</initrd></os>"),
        with(all, same + "<sysinfo type='fwcfg'><entry name='a' file='/etc/shadow'/></sysinfo>"),
        with(all, same + "<memoryBacking><source type='file'/></memoryBacking>"), with(all, same + "<idmap/>"), with(all, same + "<what-comes-later/>"),
        changed(old, "type='test'", "type='xen'"), with(all + "<emulator>/tmp/mine</emulator>", same),
        with(all + "<emulator>/usr/bin/qemu-system-../../../tmp/mine</emulator>", same), with(all + "<hostdev mode='subsystem' type='pci'/>", same),
        with(all + "<filesystem type='mount'><source dir='/'/></filesystem>", same), with(all + "<interface type='hostdev'/>", same),
        with(all + "<disk type='file' device='disk'><source file='/srv/new.img'/><target dev='vdb'/></disk>", same),
        with(all + "<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vdb'/></disk>", same),
        changed(old, "type='raw'", "type='qcow2'"), changed(old, "<readonly/>", ""), changed(old, "/srv/cd.iso", "/etc/shadow"), changed(old, "br0", "br1"),
        with(all + "<interface type='bridge'><source bridge='br0'/><script path='/tmp/mine'/></interface>", same),
        with(all + "<serial type='file'><source path='/etc/passwd'/></serial>", same), with(all + "<serial type='tcp'/>", same),
        with(all + "<channel type='unix'><source mode='bind' path='/run/mine'/></channel>", same),
        with(all + "<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng>", same),
        with(all + "<input type='evdev'><source dev='/dev/input/event0'/></input>", same),
        with(all + "<graphics type='vnc' listen='0.0.0.0'/>", same), with(all + "<graphics type='vnc'><listen type='address' address='0.0.0.0'/></graphics>", same),
        with(all + "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>", same),
        with(all + "<video><driver name='vhostuser'/></video>", same), with(all + "<what-comes-later/>", same)}) {
    CAPTURE(xml);
    const auto taken = io::take_definition(file, uuid, xml);
    REQUIRE_FALSE(taken.ok());
    CHECK_MESSAGE(taken.error().find("copy it by hand") != std::string::npos, taken.error());
    CHECK(tests::file_content(file) == old);
  }
  // What libvirt adds to what the file says, and what may be changed while a guest runs.
  const std::string saved = with(
      "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
      "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='/srv/vm1.img'/><target dev='vda' bus='virtio'/>"
      "<address type='pci' slot='0x05'/></disk><disk type='file' device='cdrom'><target dev='hdb'/><readonly/></disk>"
      "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><model type='virtio'/></interface>"
      "<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>"
      "<controller type='pci' index='0' model='pcie-root'/><serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial'/></console>"
      "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><input type='mouse' bus='ps2'/><memballoon model='virtio'/>"
      "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng><audio id='1' type='none'/>"
      "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics><video><model type='vga' vram='16384'/></video>",
      "<title>changed</title><memory unit='KiB'>2048</memory><currentMemory>1024</currentMemory><vcpu>3</vcpu>"
      "<os><type arch='x86_64' machine='pc'>hvm</type><kernel>/boot/vmlinuz</kernel><boot dev='hd'/></os><features><acpi/></features><cpu mode='custom'/>"
      "<clock offset='utc'/><on_poweroff>destroy</on_poweroff><seclabel type='dynamic' model='dac' relabel='yes'/>" + arguments);
  const auto taken = io::take_definition(file, uuid, saved);
  REQUIRE_MESSAGE(taken.ok(), taken.error());
  CHECK(taken.value().written);
}

TEST_CASE("saved-definition: what another node's libvirt shows of a running domain says the same as the file that it was started from") {
  Scratch scratch;
  const auto with = [](const std::string& devices) {
    return "<domain type='test'><name>vm1</name><uuid>" + uuid.str() + "</uuid><memory>1024</memory><devices>" + devices + "</devices></domain>";
  };
  const std::string file = scratch / "vm1.xml";
  write_file(file, with("<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='vm1'><host name='10.0.0.1' port='10809'/>"
                        "</source><target dev='vda'/></disk><serial type='file'><source path='/var/log/console' append='on'/></serial>"));
  const auto shown = [&](const std::string& tls, const std::string& log, const std::string& backing) {
    return with("<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='vm1' tls='" + tls + "' index='2'>"
                "<host name='10.0.0.1' port='10809'/></source>" + backing + "<target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>"
                "<serial type='file'><source path='/var/log/console' append='on'/><target type='isa-serial' port='0'/></serial>"
                "<console type='file'><source path='" + log + "' append='on'/><target type='serial' port='0'/></console>");
  };
  CHECK(io::take_definition(file, uuid, shown("no", "/var/log/console", "<backingStore/>")).ok());
  CHECK_FALSE(io::take_definition(file, uuid, shown("yes", "/var/log/console", "")).ok());
  CHECK_FALSE(io::take_definition(file, uuid, shown("no", "/etc/passwd", "")).ok());
  CHECK_FALSE(io::take_definition(file, uuid, shown("no", "/var/log/console", "<backingStore type='file'><source file='/etc/shadow'/></backingStore>")).ok());
}

TEST_CASE("saved-definition: libvirt's definition of what runs, and nothing when it does not run") {
  tests::LibvirtNode node;
  const std::string file = node.scratch / "vm1.xml";
  const std::string old = definition("vm1", node.vm, 1024);
  write_file(file, old);
  node.hypervisor.start();
  REQUIRE(node.seen(handoff::Here::running));
  std::optional<Result<engine::SavedDefinition>> saved;
  const auto save_now = [&] {
    saved.reset();
    node.hypervisor.save_definition(node.vm, file, [&](Result<engine::SavedDefinition> ended) { saved = std::move(ended); });
    REQUIRE(node.until([&] { return saved.has_value(); }));
  };
  SUBCASE("it runs") {
    save_now();
    REQUIRE_MESSAGE(saved->ok(), saved->error());
    CHECK(saved->value().written);
    CHECK(tests::file_content(file).find("<memory unit='KiB'>65536</memory>") != std::string::npos);
    save_now();
    CHECK_FALSE(saved->value().written);
  }
  SUBCASE("it is only defined") {
    node.define();
    ::virDomainDestroy(node.domain.get());
    save_now();
    REQUIRE_FALSE(saved->ok());
    CHECK(saved->error().find("does not run here") != std::string::npos);
    CHECK(tests::file_content(file) == old);
  }
}

TEST_CASE("saved-definition: saved before a real stop") {
  Node node(handoff::Phase::held, save);
  Order order = EngineStage::order(Order::Kind::stop, "vm1");
  order.parameters = {{"config", "/etc/vm1.xml"}, {"save_config_on_stop", "true"}, {"handoff", "off"}};
  node.give(order);
  REQUIRE(node.saves.size() == 1);
  CHECK(node.saves[0].first == "/etc/vm1.xml");
}

TEST_CASE("saved-definition: while it runs it is compared once a minute; without the parameter never") {
  Node wants(handoff::Phase::held, save), does_not(handoff::Phase::held), elsewhere(handoff::Phase::gone, save);
  for (Node* node : {&wants, &does_not, &elsewhere}) node->minute();
  CHECK(wants.saves.size() == 1);
  CHECK(does_not.saves.empty());
  CHECK(elsewhere.saves.empty());
}

TEST_CASE("saved-definition: the file of a resource that went to another agent is left alone") {
  Node node(handoff::Phase::held, save);
  node.of_another_agent = {"vm1"};
  node.minute();
  CHECK(node.saves.empty());
  node.of_another_agent.clear();
  node.minute();
  CHECK(node.saves.size() == 1);
  const auto answer = [](const std::string& provider) {
    return "vm1\t(ocf:" + provider + ":VirtualDomain):\t Started\nResource XML:\n<primitive id=\"vm1\" class=\"ocf\" provider=\"" + provider + "\" type=\"VirtualDomain\"/>\n";
  };
  CHECK(io::still_ours_in(answer("migrationd"), "vm1"));
  CHECK_FALSE(io::still_ours_in(answer("heartbeat"), "vm1"));
  CHECK_FALSE(io::still_ours_in(answer("migrationd"), "vm2"));
  CHECK_FALSE(io::still_ours_in("no answer", "vm1"));
}

TEST_CASE("saved-definition: the resources of a configuration, also in groups") {
  const auto all = io::resources_in("<resources><primitive id='vm1'/><group id='g'><primitive id='vm2'/></group></resources>");
  REQUIRE(all.ok());
  CHECK(all.value() == std::set<std::string>{"vm1", "vm2"});
  CHECK_FALSE(io::resources_in("").ok());
  CHECK_FALSE(io::resources_in("<cib/>").ok());
}

TEST_CASE("saved-definition: what could not be saved is said once") {
  Node node(handoff::Phase::held, save);
  for (int minutes = 0; minutes < 3; ++minutes) {
    node.minute();
    REQUIRE(node.saves.size() == 1);
    node.saves[0].second(Error{"the disk is full"});
    node.saves.clear();
    node.time = node.time + Milliseconds{60'000};
  }
  CHECK(std::count_if(node.alarms.begin(), node.alarms.end(), [](const auto& one) { return one.find("the disk is full") != std::string::npos; }) == 1);
}

TEST_CASE("saved-definition: sent to the others when it was written, and to who was away; not without the parameter") {
  Node node(handoff::Phase::held, sync_too), alone(handoff::Phase::held, save);
  for (Node* one : {&node, &alone}) {
    one->minute();
    one->saves.at(0).second(engine::SavedDefinition{true, "<domain/>"});
  }
  CHECK(alone.definitions_sent().empty());
  REQUIRE(node.definitions_sent().size() == 1);
  CHECK(node.definitions_sent()[0].resource == "vm1");
  CHECK(node.definitions_sent()[0].epoch == Epoch{7});

  node.sent.clear();
  node.minute();
  node.saves.at(1).second(engine::SavedDefinition{false, "<domain/>"});
  CHECK(node.definitions_sent().empty());
  node.peer_listener->link_changed("n2", true);
  node.minute();
  node.saves.at(2).second(engine::SavedDefinition{false, "<domain/>"});
  CHECK(node.definitions_sent().size() == 1);
}

TEST_CASE("saved-definition: taken from another node only by the word of this node's own cluster configuration") {
  const wire::Note note{uuid, "vm1", {7}, "vm1", "<domain>of the peer</domain>"};
  SUBCASE("the resource wants it: to the file that is configured here") {
    Node node(handoff::Phase::gone);
    node.configured["vm1"] = {{"config", "/srv/here.xml"}, {"sync_config_on_stop", "true"}};
    node.hears(note);
    REQUIRE(node.taken_definitions.size() == 1);
    CHECK(node.taken_definitions[0].uuid == uuid);
    CHECK(node.taken_definitions[0].file == "/srv/here.xml");
    CHECK(node.taken_definitions[0].xml == note.definition);
  }
  SUBCASE("the resource does not want it") {
    Node node(handoff::Phase::gone, sync_too);  // whatever it wanted once
    node.configured["vm1"] = {{"config", "/srv/here.xml"}, {"save_config_on_stop", "true"}};
    node.hears(note);
    CHECK(node.taken_definitions.empty());
  }
  SUBCASE("there is no such resource") {
    Node node(handoff::Phase::gone, sync_too);
    node.hears(note);
    CHECK(node.taken_definitions.empty());
  }
  SUBCASE("another had it since") {
    Node node(handoff::Phase::gone, sync_too);
    node.configured["vm1"] = {{"config", "/srv/here.xml"}, {"sync_config_on_stop", "true"}};
    wire::Note late = note;
    late.epoch = {6};
    node.hears(late);
    CHECK(node.taken_definitions.empty());
  }
  SUBCASE("it is held here, so ours is the newer one") {
    Node node(handoff::Phase::held, sync_too);
    node.configured["vm1"] = {{"config", "/srv/here.xml"}, {"sync_config_on_stop", "true"}};
    node.hears(note);
    CHECK(node.taken_definitions.empty());
  }
}

TEST_CASE("saved-definition: a resource's parameters in crm_resource's answer, or why they can't be told") {
  const auto answer = [](const std::string& provider, const std::string& inside) {
    return "vm1\t(ocf:" + provider + ":VirtualDomain):\t Started n1\nResource XML:\n<primitive id=\"vm1\" class=\"ocf\" provider=\"" + provider +
           "\" type=\"VirtualDomain\">\n  <instance_attributes id=\"a\">" + inside + "</instance_attributes>\n</primitive>\n";
  };
  const std::string config = "<nvpair id=\"c\" name=\"config\" value=\"/vm1.xml\"/>";
  const auto good = io::parameters_in(answer("migrationd", config), "vm1");
  REQUIRE(good.ok());
  CHECK(good.value() == std::map<std::string, std::string>{{"config", "/vm1.xml"}});
  CHECK_FALSE(io::parameters_in(answer("heartbeat", config), "vm1").ok());
  CHECK_FALSE(io::parameters_in(answer("migrationd", config), "vm2").ok());
  CHECK_FALSE(io::parameters_in(answer("migrationd", "<rule id=\"r\"/>" + config), "vm1").ok());
  CHECK_FALSE(io::parameters_in("", "vm1").ok());
}
