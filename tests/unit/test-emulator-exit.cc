// SPDX-License-Identifier: GPL-2.0-or-later
// When an emulator executes no more: not while one of its threads might, also when the first has ended; but before it is dead. And
// what follows from libvirt's word that its guest has migrated. (A shell under the name of QEMU stands in for the emulator.)
#include <doctest/doctest.h>

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <thread>

#include "migrationd/io/emulator-exit.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using tests::Scratch;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");
constexpr auto patience = std::chrono::seconds(60);

/// A process of ours, killed and reaped at the end.
struct Child {
  pid_t pid = -1;
  /// `life` runs in it, with a descriptor to write to when it is ready.
  explicit Child(const std::function<void(int)>& life) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    pid = ::fork();
    if (pid == 0) {
      life(ready[1]);
      ::_exit(0);
    }
    char byte = 0;
    CHECK(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  ~Child() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
};

bool soon(const std::function<bool()>& condition) {
  for (const auto ends = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < ends;)
    if (condition()) return true;
  return false;
}

}  // namespace

TEST_CASE("emulator exit: a process that runs, sleeps or is stopped is not exiting; one that was killed is, before its memory is given back") {
  constexpr std::size_t much = std::size_t{256} << 20;
  const Child child([](int ready) {
    void* memory = ::mmap(nullptr, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory != MAP_FAILED && ::write(ready, "x", 1) == 1) for (;;) ::pause();
  });
  CHECK_FALSE(is_exiting(child.pid));
  ::kill(child.pid, SIGSTOP);
  CHECK_FALSE(is_exiting(child.pid));
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0));
  REQUIRE(pidfd >= 0);
  ::kill(child.pid, SIGKILL);
  CHECK(soon([&] { return is_exiting(child.pid); }));
  pollfd death{pidfd, POLLIN, 0};
  CHECK(::poll(&death, 1, 60'000) == 1);
  CHECK(is_exiting(child.pid));  // dead, and not reaped yet
  ::close(pidfd);
}

TEST_CASE("emulator exit: a process whose first thread has ended runs as long as another one does") {
  const Child child([](int ready) {
    std::thread([ready] {
      if (::write(ready, "x", 1) == 1) for (;;) ::pause();
    }).detach();
    ::syscall(SYS_exit, 0);  // this thread alone
  });
  const auto first_has_ended = [&] {
    const std::string stat = tests::file_content("/proc/" + std::to_string(child.pid) + "/stat");
    return stat.find(") Z ") != std::string::npos;
  };
  REQUIRE(soon(first_has_ended));
  CHECK_FALSE(is_exiting(child.pid));
  ::kill(child.pid, SIGKILL);
  CHECK(soon([&] { return is_exiting(child.pid); }));
}

TEST_CASE("emulator exit: no process, no exit") { CHECK_FALSE(is_exiting(0x7ffffff0)); }

TEST_CASE("emulator exit: it is killed when libvirt has written that its guest has migrated, and for no other reason") {
  const Scratch scratch;
  const std::string program = scratch / "qemu-stand-in", log = scratch / "vm1.log";
  std::filesystem::copy_file("/bin/sh", program);
  tests::write_file(log, "shutting down, reason=migrated\n");  // the last time
  const Child child([&](int ready) {
    ::dup2(ready, 1);
    ::execl(program.c_str(), program.c_str(), "-c", "echo; while :; do read never </dev/zero; done", "-uuid", uuid.str().c_str(), nullptr);
  });
  tests::write_file(scratch / "vm1.pid", std::to_string(child.pid) + "\n");
  auto found = Emulator::find(scratch.path(), "vm1", uuid);
  REQUIRE(found.ok());
  REQUIRE(found.value());
  const std::shared_ptr<Emulator> emulator = found.value();
  CHECK_FALSE(emulator->executes_no_more());

  boost::asio::io_context loop;
  bool may_kill = true;
  int over = 0;
  const auto exit = std::make_unique<EmulatorExit>(loop, emulator, scratch.path(), "vm1", [&] { return may_kill; }, [&] { ++over; });
  const auto write = [&](const std::string& line) { std::ofstream(log, std::ios::app) << line; };
  const auto settle = [&] {  // some looks
    loop.restart();
    loop.run_for(std::chrono::milliseconds(20));
  };
  write("shutting down, reason=failed\n");
  settle();
  CHECK_FALSE(emulator->executes_no_more());
  CHECK(over == 0);
  SUBCASE("it may be killed") {
    write("shutting down, reason=migrated\n");
    loop.restart();
    while (over == 0) REQUIRE(loop.run_one_for(patience) == 1);
    CHECK(emulator->executes_no_more());
  }
  SUBCASE("it may not be killed, and ends by itself") {
    may_kill = false;
    write("shutting down, reason=migrated\n");
    settle();
    CHECK(over == 0);
    CHECK_FALSE(emulator->executes_no_more());
    CHECK(emulator->signal(SIGTERM).ok());
    loop.restart();
    while (over == 0) REQUIRE(loop.run_one_for(patience) == 1);
    CHECK(emulator->executes_no_more());
  }
  loop.restart();
  loop.run_for(std::chrono::milliseconds(5));
  CHECK(over == 1);
}
