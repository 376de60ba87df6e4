// SPDX-License-Identifier: GPL-2.0-or-later
// LibvirtHypervisor on libvirt's test driver, whose domains live in this process, with an emulator that is a real
// process: named and numbered as libvirt's QEMU driver does it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include <doctest/doctest.h>

#include "migrationd/io/libvirt-hypervisor.h"
#include "scratch.h"
#include "watched-calls.h"

namespace migrationd::tests {

/// A process that calls itself qemu-system-test and has the domain's UUID on its command line.
class StandInEmulator {
 public:
  StandInEmulator(const Scratch& scratch, const std::string& name, const DomainUuid& uuid) {
    const std::string program = scratch / "qemu-system-test";
    std::filesystem::copy_file("/bin/sh", program, std::filesystem::copy_options::overwrite_existing);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    io::Fd input(ends[0]);
    life_ = io::Fd(ends[1]);
    const std::string text = uuid.str();
    const char* words[] = {program.c_str(), "-c", "read end", "-uuid", text.c_str(), nullptr};
    char* none[] = {nullptr};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, input.get(), 0);
    const int failed = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, const_cast<char**>(words), none);
    ::posix_spawn_file_actions_destroy(&actions);
    REQUIRE(failed == 0);
    std::filesystem::create_directories(scratch / "pids");
    write_file((scratch / "pids") + "/" + name + ".pid", std::to_string(pid_));
  }
  StandInEmulator(const StandInEmulator&) = delete;
  StandInEmulator& operator=(const StandInEmulator&) = delete;
  ~StandInEmulator() { end(); }
  void end() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  io::Fd life_;  ///< it ends by itself when we do
  pid_t pid_ = 0;
};

struct LibvirtNode {
  explicit LibvirtNode(bool with_domain = true) : connection(::virConnectOpen("test:///default"), ::virConnectClose) {
    REQUIRE(connection);
    if (with_domain) create();
  }
  LibvirtNode(const LibvirtNode&) = delete;
  LibvirtNode& operator=(const LibvirtNode&) = delete;
  ~LibvirtNode() {
    hypervisor.stop();
    if (domain) ::virDomainDestroy(domain.get());
    if (defined) ::virDomainUndefine(defined.get());
  }
  std::string xml() const {
    return "<domain type='test'><name>vm1</name><uuid>" + vm.str() +
           "</uuid><memory unit='KiB'>65536</memory><os><type>hvm</type></os></domain>";
  }
  void create() {
    domain.reset(::virDomainCreateXML(connection.get(), xml().c_str(), 0));
    REQUIRE(domain);
  }
  /// As virsh define; undefined again at the end.
  void define() {
    defined.reset(::virDomainDefineXML(connection.get(), xml().c_str()));
    REQUIRE(defined);
  }
  /// Runs the loop until it is so; at most 10 s.
  bool until(const std::function<bool()>& so) {
    auto work = boost::asio::make_work_guard(loop);
    for (const auto ends = std::chrono::steady_clock::now() + std::chrono::seconds(10); !so();) {
      if (std::chrono::steady_clock::now() > ends) return false;
      loop.run_one_for(std::chrono::milliseconds(100));
    }
    return true;
  }
  engine::DomainView look() const { return hypervisor.look(vm); }
  bool seen(handoff::Here here) {
    return until([&] { return look().here == here; });
  }

  struct Kept : engine::Log {
    void write(Level, const std::string&, const std::string& text) override { lines.push_back(text); }
    bool has(const std::string& part) const {
      return std::any_of(lines.begin(), lines.end(), [&](const auto& line) { return line.find(part) != std::string::npos; });
    }
    std::vector<std::string> lines;
  };

  const DomainUuid vm = *DomainUuid::parse("11111111-2222-4333-8444-555555555555");
  Scratch scratch;
  std::unique_ptr<virConnect, int (*)(virConnectPtr)> connection;
  io::DomainHandle domain;
  io::DomainHandle defined;
  boost::asio::io_context loop;
  Kept log;
  io::LibvirtHypervisor hypervisor{loop, {.uri = "test:///default", .pid_directory = scratch / "pids"}, log};
};

}  // namespace migrationd::tests
