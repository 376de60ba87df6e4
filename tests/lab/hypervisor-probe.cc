// SPDX-License-Identifier: GPL-2.0-or-later
// Drives LibvirtHypervisor by hand: commands on stdin, one a line; what the listener hears and what the calls
// answer as JSON lines on stdout, with milliseconds since the start. For the lab's tests of the real libvirt.
// With --direct it is migrationd's direct mode. Option --state=DIR: journal (DIR) and runtime files (DIR-run).
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <nlohmann/json.hpp>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/dead-man.h"
#include "migrationd/io/direct.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/journal-files.h"
#include "migrationd/io/libvirt-hypervisor.h"

namespace {

using namespace migrationd;
using nlohmann::json;

const auto started = std::chrono::steady_clock::now();

void print(json line) {
  line["ms"] = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - started).count();
  std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

const char* end_name(handoff::JobEnd end) {
  switch (end) {
    case handoff::JobEnd::runs_here: return "runs_here";
    case handoff::JobEnd::paused_here: return "paused_here";
    case handoff::JobEnd::migrated: return "migrated";
    case handoff::JobEnd::vanished: return "vanished";
  }
  return "?";
}

const char* here_name(handoff::Here here) {
  switch (here) {
    case handoff::Here::absent: return "absent";
    case handoff::Here::running: return "running";
    case handoff::Here::paused: return "paused";
    case handoff::Here::incoming: return "incoming";
    case handoff::Here::remains: return "remains";
    case handoff::Here::unknown: return "unknown";
  }
  return "?";
}

json view_json(const engine::DomainView& view) {
  return {{"name", view.name}, {"here", here_name(view.here)}, {"healthy", view.healthy}, {"job", view.job},
          {"memory_kib", view.memory_kib}, {"detail", view.detail}};
}

class StandardError : public engine::Log {
 public:
  void write(Level, const std::string& domain, const std::string& text) override {
    std::cerr << domain << ": " << text << std::endl;
  }
};

class Probe : public engine::HypervisorListener {
 public:
  Probe(io::LibvirtHypervisor& hypervisor, io::DeadManProcess& dead_man, const std::string& state_dir)
      : hypervisor_(hypervisor), dead_man_(dead_man), state_dir_(state_dir) {}
  void domain_changed(const DomainUuid& uuid) override {
    json line = view_json(hypervisor_.look(uuid));
    line["event"] = "changed";
    line["uuid"] = uuid.str();
    print(line);
  }
  void switch_wanted(const DomainUuid&, Attempt, const std::string&) override {}
  void hypervisor_changed(bool usable) override { print({{"event", "hypervisor"}, {"usable", usable}}); }

  /// false: quit.
  bool command(const std::string& text) {
    std::istringstream in(text);
    std::string word, argument;
    in >> word >> argument;
    DomainUuid uuid = DomainUuid::parse(argument).value_or(DomainUuid{});
    auto outcome = [word](Outcome result) {
      print({{"done", word}, {"ok", result.ok()}, {"why", result.ok() ? "" : result.error()}});
    };
    auto ended = [word](engine::MigrationEnd end) { print({{"done", word}, {"end", end_name(end.end)}, {"why", end.why}}); };
    if (word == "quit") return false;
    if (word == "look") {
      json line = view_json(hypervisor_.look(uuid));
      line["done"] = word;
      print(line);
    } else if (word == "all") {
      json line = {{"done", word}, {"free_kib", hypervisor_.free_memory_kib().value_or(0)}, {"domains", json::object()}};
      for (const auto& [one, view] : hypervisor_.all()) line["domains"][one.str()] = view_json(view);
      print(line);
    } else if (word == "refresh") {
      hypervisor_.refresh(outcome);
    } else if (word == "boot" || word == "check") {
      Result<io::DomainXml> domain = io::read_domain_xml(argument);
      if (!domain) {
        outcome(Error{domain.error()});
      } else if (word == "check") {
        hypervisor_.check({domain.value().xml, {}}, [outcome](engine::Fitness fitness) {
          outcome(fitness.ok() ? Outcome{Done{}} : Outcome{Error{fitness.error()}});
        });
      } else {
        hypervisor_.boot({domain.value().uuid, domain.value().name, domain.value().xml, domain.value().memory_kib}, outcome);
      }
    } else if (word == "resume") {
      hypervisor_.resume(uuid, outcome);
    } else if (word == "shutdown") {
      std::string mode;
      in >> mode;
      hypervisor_.ask_shutdown(uuid, mode, outcome);
    } else if (word == "destroy") {
      hypervisor_.destroy(uuid, outcome);
    } else if (word == "announce") {
      hypervisor_.announce(uuid);
      print({{"done", word}});
    } else if (word == "abort") {
      hypervisor_.abort_job(uuid, outcome);
    } else if (word == "watch") {
      engine::MigrateOrder order;
      order.limit = Milliseconds{60'000};
      hypervisor_.watch_job(uuid, order, ended);
    } else if (word == "definition") {
      hypervisor_.departure(uuid, {}, [word](Result<engine::Departure> found) {
        print({{"done", word}, {"ok", found.ok()}, {"xml", found.ok() ? found.value().definition : ""},
               {"resident_kib", found.ok() ? found.value().resident_kib : 0}, {"why", found.ok() ? "" : found.error()}});
      });
    } else if (word == "warnings") {
      hypervisor_.warnings({uuid}, [word](Result<std::vector<std::string>> found) {
        print({{"done", word}, {"ok", found.ok()}, {"warnings", found.ok() ? json(found.value()) : json()}});
      });
    } else if (word == "lock") {  // as a daemon does for its life
      Result<io::JournalLock> lock = io::JournalLock::take(state_dir_);
      print({{"done", word}, {"ok", lock.ok()}, {"why", lock.ok() ? "" : lock.error()}});
      if (lock) lock_.emplace(std::move(lock.value()));
    } else if (word == "offer") {  // offer UUID NAME MS: a journal record, and the dead-man armed
      engine::Record record;
      long long milliseconds = 0;
      in >> record.name >> milliseconds;
      record.uuid = uuid;
      record.state.phase = handoff::Phase::offered;
      record.state.offer_ends = clock_.now() + Milliseconds(milliseconds);
      outcome(io::store_record(state_dir_, record, io::boot_id().value()));
      dead_man_.arm(uuid, Milliseconds(milliseconds), [](Outcome) {});
    } else if (word == "disarm") {
      dead_man_.disarm(uuid);
      print({{"done", word}});
    } else if (word == "phase") {
      auto record = io::load_record(state_dir_, uuid, io::boot_id().value());
      print({{"done", word}, {"phase", record && record.value() ? handoff::to_string(record.value()->record.state.phase) : "none"}});
    } else if (word == "migrate") {  // migrate UUID URI [MIGRATE_URI|- [DOWNTIME_MS [SPEED_MIB [LIMIT_MS [OPTIONS...]]]]]
      engine::MigrateOrder order;
      long downtime = 0, limit = 0;
      in >> order.uri >> order.migrate_uri >> downtime >> order.speed_mib >> limit;
      in.clear();
      std::getline(in, order.options);
      if (order.migrate_uri == "-") order.migrate_uri.clear();
      order.to = "the destination";
      order.downtime = Milliseconds(downtime);
      order.limit = Milliseconds(limit);
      hypervisor_.migrate(uuid, order, ended);
    } else {
      print({{"done", word}, {"ok", false}, {"why", "unknown command"}});
    }
    return true;
  }

 private:
  io::LibvirtHypervisor& hypervisor_;
  io::DeadManProcess& dead_man_;
  std::string state_dir_;
  std::optional<io::JournalLock> lock_;
  boost::asio::io_context idle_;
  io::BootClock clock_{idle_};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--direct") return io::direct_main(argc - 2, argv + 2, {});
  std::string state_dir = "/var/lib/migrationd";
  for (int i = 1; i < argc; ++i)
    if (std::string word = argv[i]; word.rfind("--state=", 0) == 0) state_dir = word.substr(8);
  boost::asio::io_context loop;
  StandardError log;
  io::LibvirtHypervisor hypervisor(loop, {}, log);
  std::string program(4096, '\0');
  program.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::readlink("/proc/self/exe", program.data(), program.size()))));
  io::DeadManProcess dead_man(loop, {program, state_dir, state_dir + "-run", false}, log);
  Probe probe(hypervisor, dead_man, state_dir);
  print({{"event", "started"}, {"pid", ::getpid()}});
  hypervisor.listen(&probe);
  hypervisor.start();
  boost::asio::posix::stream_descriptor input(loop, ::dup(STDIN_FILENO));
  boost::asio::streambuf buffer;
  std::function<void()> next = [&] {
    boost::asio::async_read_until(input, buffer, '\n', [&](boost::system::error_code error, std::size_t) {
      if (error) return loop.stop();
      std::istream stream(&buffer);
      std::string line;
      std::getline(stream, line);
      if (!probe.command(line)) return loop.stop();
      next();
    });
  };
  next();
  loop.run();
  hypervisor.stop();
}
