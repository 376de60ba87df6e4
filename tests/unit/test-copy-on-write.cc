// SPDX-License-Identifier: GPL-2.0-or-later
// backingfile, stateless and copyindirs: which programs make the disk, when none does, and that half of one never takes the
// place of a whole one. The programs are stand-ins; the real ones are the lab's.
#include <doctest/doctest.h>

#include <signal.h>
#include <sys/stat.h>

#include <future>
#include <sstream>

#include "migrationd/io/copy-on-write.h"
#include "migrationd/io/order-intake.h"
#include "migrationd/resource/parameters.h"
#include "tests/unit/libvirt-fixture.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using tests::file_content;
using tests::Scratch;
using tests::write_file;

namespace {

/// qemu-img and virt-copy-in that note what they were asked; the first makes its last argument.
struct Programs {
  Scratch scratch;
  std::string path = ::getenv("PATH");
  Programs() {
    program("qemu-img", R"(case $1 in info) echo '{"format": "raw"}';; create) for last; do :; done; echo disk >"$last";; esac)");
    program("virt-copy-in", ":");
    ::setenv("PATH", (scratch.path() + ":" + path).c_str(), 1);
  }
  ~Programs() { ::setenv("PATH", path.c_str(), 1); }
  void program(const std::string& name, const std::string& does) {
    write_file(scratch / name, "#!/bin/sh\necho \"" + name + " $*\" >>" + (scratch / "asked") + "\n" + does + "\n");
    std::filesystem::permissions(scratch / name, std::filesystem::perms::owner_all);
  }
  std::vector<std::string> asked() {
    std::istringstream text(file_content(scratch / "asked"));
    std::filesystem::remove(scratch / "asked");
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
  std::string image() const { return scratch / "vm1.qcow2"; }
  std::string xml() const {
    return "<domain type='qemu'><name>vm1</name><memory>1024</memory><devices><disk type='file'><source file='" + image() +
           "'/><target dev='vda'/></disk></devices></domain>";
  }
  Result<std::string> make(bool anew, std::vector<std::string> copied_in = {}) {
    return io::make_disk({"/srv/golden.raw", image(), anew, std::move(copied_in)}, xml(), Milliseconds{10'000});
  }
};

}  // namespace

TEST_CASE("copy-on-write: made on top of the backing image, whose format is told, and only where it is missing") {
  Programs programs;
  const auto made = programs.make(false);
  REQUIRE_MESSAGE(made.ok(), made.error());
  CHECK(programs.asked() == std::vector<std::string>{"qemu-img info --output=json /srv/golden.raw",
                                                     "qemu-img create -q -f qcow2 -b /srv/golden.raw -F raw " + programs.image() + ".new"});
  CHECK(file_content(programs.image()) == "disk\n");
  CHECK_FALSE(std::filesystem::exists(programs.image() + ".new"));

  write_file(programs.image(), "what the guest wrote");
  const auto kept = programs.make(false);
  REQUIRE(kept.ok());
  CHECK(kept.value().empty());
  CHECK(programs.asked().empty());
  CHECK(file_content(programs.image()) == "what the guest wrote");
}

TEST_CASE("copy-on-write: stateless makes it anew, with what is to be copied into it") {
  Programs programs;
  write_file(programs.image(), "what the guest wrote");
  const auto made = programs.make(true, {"/srv/etc", "/srv/with-dash"});
  REQUIRE_MESSAGE(made.ok(), made.error());
  CHECK(programs.asked().back() == "virt-copy-in -a " + programs.image() + ".new /srv/etc /srv/with-dash /");
  CHECK(file_content(programs.image()) == "disk\n");
}

TEST_CASE("copy-on-write: what fails leaves the old disk as it was, and is said") {
  Programs programs;
  write_file(programs.image(), "what the guest wrote");
  std::string why;
  SUBCASE("the backing image") { programs.program("qemu-img", "echo 'no such image' >&2; exit 1"), why = "no such image"; }
  SUBCASE("an answer that is none") { programs.program("qemu-img", "echo nonsense"), why = "does not tell its format"; }
  SUBCASE("the copying") { programs.program("virt-copy-in", "echo 'no room in it' >&2; exit 1"), why = "no room in it"; }
  const auto made = programs.make(true, {"/srv/etc"});
  REQUIRE_FALSE(made.ok());
  CHECK_MESSAGE(made.error().find(why) != std::string::npos, made.error());
  CHECK(file_content(programs.image()) == "what the guest wrote");
  CHECK_FALSE(std::filesystem::exists(programs.image() + ".new"));
}

TEST_CASE("copy-on-write: all of it has the start's time, and the old disk stays when that is too short") {
  Programs programs;
  write_file(programs.image(), "what the guest wrote");
  programs.program("virt-copy-in", "exec sleep 100");
  const auto begun = std::chrono::steady_clock::now();
  const auto made = io::make_disk({"/srv/golden.raw", programs.image(), true, {"/srv/etc"}, "", Milliseconds{700}}, programs.xml(), Milliseconds{50'000});
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds{20});
  REQUIRE_FALSE(made.ok());
  CHECK_MESSAGE(made.error().find("give the operation start a longer timeout") != std::string::npos, made.error());
  CHECK(file_content(programs.image()) == "what the guest wrote");
  CHECK_FALSE(std::filesystem::exists(programs.image() + ".new"));
}

TEST_CASE("copy-on-write: where the storage is not mounted no new disk is made") {
  Programs programs;
  const std::string config = programs.scratch / "vm1.xml";
  const auto make = [&](bool anew) {
    return io::make_disk({"/srv/golden.raw", programs.image(), anew, {}, config}, programs.xml(), Milliseconds{10'000});
  };
  for (const bool anew : {false, true}) {
    const auto made = make(anew);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().find(config) != std::string::npos);
    CHECK(made.error().find("mounted") != std::string::npos);
  }
  CHECK(programs.asked().empty());
  CHECK_FALSE(std::filesystem::exists(programs.image()));
  write_file(config, "<domain/>");
  CHECK(make(false).ok());
  CHECK(std::filesystem::exists(programs.image()));
}

TEST_CASE("copy-on-write: a boot that is given up kills the program it is at, and leaves the old disk") {
  Programs programs;
  write_file(programs.image(), "what the guest wrote");
  const std::string begun = programs.scratch / "begun";
  REQUIRE(::mkfifo(begun.c_str(), 0600) == 0);
  programs.program("virt-copy-in", "echo $$ >" + begun + "; exec sleep 300");
  std::stop_source boot;
  auto made = std::async(std::launch::async, [&] {
    return io::make_disk({"/srv/golden.raw", programs.image(), true, {"/srv/etc"}}, programs.xml(), Milliseconds{300'000}, boot.get_token());
  });
  const pid_t program = std::stoi(file_content(begun));
  boot.request_stop();
  REQUIRE(made.wait_for(std::chrono::seconds(10)) == std::future_status::ready);
  const auto end = made.get();
  REQUIRE_FALSE(end.ok());
  CHECK(end.error().find("given up") != std::string::npos);
  CHECK(::kill(program, 0) < 0);
  CHECK(file_content(programs.image()) == "what the guest wrote");
  CHECK_FALSE(std::filesystem::exists(programs.image() + ".new"));
}

TEST_CASE("copy-on-write: a stop or a destroy ends the boot that is making a disk, and nothing is created after it") {
  Programs programs;
  const std::string begun = programs.scratch / "begun";
  programs.program("virt-copy-in", ": >" + begun + "; exec sleep 300");
  tests::LibvirtNode node(false);
  node.hypervisor.start();
  REQUIRE(node.until([&] { return node.log.has("is connected"); }));
  const std::string disk = "<devices><disk type='file'><source file='" + programs.image() + "'/><target dev='vda'/></disk></devices></domain>";
  std::string xml = node.xml();
  xml.replace(xml.find("</domain>"), std::string::npos, disk);
  engine::Definition definition{node.vm, "vm1", xml, 0};
  definition.disk = engine::CopyOnWrite{"/srv/golden.raw", programs.image(), false, {"/srv/etc"}};
  std::optional<Outcome> booted;
  node.hypervisor.boot(definition, [&](Outcome outcome) { booted = outcome; });
  REQUIRE(node.until([&] { return std::filesystem::exists(begun); }));
  SUBCASE("a stop") { node.hypervisor.ask_shutdown(node.vm, "", [](Outcome) {}); }
  SUBCASE("a destroy") { node.hypervisor.destroy(node.vm, [](Outcome) {}); }
  REQUIRE(node.until([&] { return booted.has_value(); }));
  REQUIRE_FALSE(booted->ok());
  CHECK(booted->error().find("given up") != std::string::npos);
  CHECK(node.look().here == handoff::Here::absent);
  CHECK_FALSE(std::filesystem::exists(programs.image()));
}

TEST_CASE("copy-on-write: a definition without that disk is refused before anything is made") {
  Programs programs;
  const auto made = io::make_disk({"/srv/golden.raw", "/srv/other.qcow2", true, {}}, programs.xml(), Milliseconds{10'000});
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().find("has no disk with that file") != std::string::npos);
  CHECK(programs.asked().empty());
}

TEST_CASE("copy-on-write: the disk lies beside the file of config, and the parameters belong together") {
  const auto disk = [](std::map<std::string, std::string> given) {
    given["config"] = "/srv/v1.2/vm1.new.xml";
    return io::policy_reader({})(given).value().disk;
  };
  CHECK_FALSE(disk({}).has_value());
  const auto made = disk({{"backingfile", "/srv/golden.raw"}, {"stateless", "yes"}, {"copyindirs", " /srv/etc  /srv/root "}});
  REQUIRE(made.has_value());
  CHECK(made->image == "/srv/v1.2/vm1.qcow2");
  CHECK(made->backing == "/srv/golden.raw");
  CHECK(made->beside == "/srv/v1.2/vm1.new.xml");
  CHECK(made->anew);
  CHECK(made->copied_in == std::vector<std::string>{"/srv/etc", "/srv/root"});

  const auto refused = [](std::map<std::string, std::string> given) {
    given["config"] = "/vm1.xml";
    const auto parsed = resource::parse(given);
    return parsed.ok() ? std::string() : parsed.error();
  };
  CHECK(refused({{"stateless", "yes"}}).find("need backingfile") != std::string::npos);
  CHECK(refused({{"copyindirs", "/srv"}}).find("need backingfile") != std::string::npos);
  CHECK(refused({{"backingfile", "golden.raw"}}).find("absolute path") != std::string::npos);
  CHECK(refused({{"backingfile", "/g"}, {"copyindirs", "/srv srv"}}).find("absolute path") != std::string::npos);
}
