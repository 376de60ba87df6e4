// SPDX-License-Identifier: GPL-2.0-or-later
// The part of LibvirtHypervisor that gives libvirt orders and asks it questions, other than migrations.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "migrationd/io/copy-mark.h"
#include "migrationd/io/domain-check.h"
#include "migrationd/io/libvirt-hypervisor.h"
#include "migrationd/io/shutdown-mode.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds death_after_destroy{2000};
constexpr Milliseconds gentle_end{2000};
constexpr Milliseconds hard_end{5000};

struct StringRelease {
  void operator()(char* text) const { std::free(text); }
};
using LibvirtString = std::unique_ptr<char, StringRelease>;

int state_of(virDomainPtr domain) {
  int state = VIR_DOMAIN_NOSTATE, reason = 0;
  virDomainGetState(domain, &state, &reason, 0);
  return state;
}

}  // namespace

void LibvirtHypervisor::boot(const engine::Definition& definition, engine::Callback<Outcome> done) {
  std::string what = "boot domain " + definition.name;
  DomainUuid uuid = definition.uuid;
  call<Done>(
      uuid.str(), what, config_.boot_limit,
      [what, xml = definition.xml](const Connection& connection) -> Outcome {
        DomainHandle domain(virDomainCreateXML(connection.get(), xml.c_str(), VIR_DOMAIN_NONE));
        if (!domain) return libvirt_error(what);
        return Done{};
      },
      [this, uuid, done = std::move(done)](Outcome outcome) {
        // The engine looks at the view next, so it must show the boot already.
        read(uuid, [outcome, done] { done(outcome); });
      });
}

void LibvirtHypervisor::resume(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  std::string what = "resume domain " + uuid.str();
  EmulatorHandle emulator;
  if (auto at = tracked_.find(uuid); at != tracked_.end()) emulator = at->second.emulator;
  if (emulator && emulator->dead()) emulator = nullptr;
  call<Done>(
      uuid.str(), what, config_.call_limit,
      [what, uuid, emulator](const Connection& connection) -> Outcome {
        // A copy that arrived while this waited for its turn is not the one that was meant.
        if (emulator && emulator->dead()) return Error{what + ": it ended before it was resumed"};
        Result<DomainHandle> found = find_domain(connection, uuid);
        if (!found) return Error{what + ": " + found.error()};
        virDomainPtr domain = found.value().get();
        LibvirtString mark(virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, copy_mark_uri, VIR_DOMAIN_AFFECT_LIVE));
        // What an administrator had paused before its migration stays paused after it.
        bool keep_paused = mark && !copy_mark_ran(mark.get());
        if (!keep_paused && state_of(domain) == VIR_DOMAIN_PAUSED && virDomainResume(domain) < 0) {
          Error error = libvirt_error(what);
          if (state_of(domain) != VIR_DOMAIN_RUNNING) return error;
        }
        // A mark that can't be removed does no harm while it runs; the next sight of it removes it.
        if (mark) virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, nullptr, nullptr, copy_mark_uri, VIR_DOMAIN_AFFECT_LIVE);
        return Done{};
      },
      [this, uuid, done = std::move(done)](Outcome outcome) { read(uuid, [outcome, done] { done(outcome); }); });
}

void LibvirtHypervisor::ask_shutdown(const DomainUuid& uuid, const std::string& mode, engine::Callback<Outcome> done) {
  std::string what = "shut down domain " + uuid.str();
  call<Done>(
      uuid.str(), what, config_.call_limit,
      [what, uuid, mode](const Connection& connection) -> Outcome {
        Result<unsigned> flags = shutdown_flags(mode);
        if (!flags) return Error{what + ": " + flags.error()};
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{what + ": " + domain.error()};
        if (virDomainShutdownFlags(domain.value().get(), flags.value()) < 0) return libvirt_error(what);
        return Done{};
      },
      std::move(done));
}

void LibvirtHypervisor::destroy(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  std::string what = "destroy domain " + uuid.str();
  EmulatorHandle emulator;
  if (auto at = tracked_.find(uuid); at != tracked_.end()) emulator = at->second.emulator;
  const bool alive_now = emulator && !emulator->dead();
  call<Done>(
      uuid.str() + "/destroy", what, emulator ? config_.destroy_limit : config_.boot_limit,
      [what, uuid, emulator, alive_now, directory = config_.pid_directory](const Connection& connection) -> Outcome {
        if (alive_now && emulator->dead()) return Done{};  // by itself meanwhile; what came after it was not meant
        bool missing = false;
        Result<DomainHandle> found = find_domain(connection, uuid, &missing);
        if (!found && !missing) return Error{what + ": " + found.error()};
        EmulatorHandle process = emulator;
        if (found && (!process || process->dead())) {
          Result<EmulatorHandle> current = Emulator::find(directory, virDomainGetName(found.value().get()), uuid);
          if (current) process = current.value();
        }
        std::string why;
        if (found && virDomainIsActive(found.value().get()) != 0 &&
            virDomainDestroyFlags(found.value().get(), VIR_DOMAIN_DESTROY_GRACEFUL) < 0) {
          why = libvirt_error(what).text;
          if (virDomainDestroyFlags(found.value().get(), VIR_DOMAIN_DESTROY_DEFAULT) == 0 ||
              libvirt_error_code() == VIR_ERR_NO_DOMAIN || virDomainIsActive(found.value().get()) == 0) {
            why.clear();
          } else {
            why = libvirt_error(what).text;
          }
        }
        if (process) {
          if (process->wait_dead(why.empty() ? death_after_destroy : Milliseconds{0})) return Done{};
          // libvirt could not end it: its emulator is known for certain, so we can.
          Outcome ended = process->end(gentle_end, hard_end);
          if (!ended) return Error{what + ": " + ended.error() + (why.empty() ? "" : "; libvirt: " + why)};
          return Done{};
        }
        if (!why.empty()) return Error{why};
        return Done{};
      },
      [this, uuid, what, emulator, done = std::move(done)](Outcome outcome) {
        if (outcome) registry_.stopped(uuid, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, now());  // seen by ourselves
        if (outcome || !emulator) return read(uuid, [outcome, done] { done(outcome); });
        // libvirt is away or hangs.
        long_calls_.run<Done>(
            uuid.str() + "/kill", what, gentle_end + hard_end + Milliseconds{2000},
            [emulator]() -> Outcome { return emulator->end(gentle_end, hard_end); },
            alive<Outcome>([this, uuid, outcome, done](Outcome ended) {
              if (!ended) return done(Error{outcome.error() + "; " + ended.error()});
              registry_.stopped(uuid, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, now());
              done(Done{});
              read(uuid);
            }));
      });
}

void LibvirtHypervisor::abort_job(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  std::string what = "abort the migration of domain " + uuid.str();
  call<Done>(
      uuid.str() + "/abort", what, config_.call_limit,
      [what, uuid](const Connection& connection) -> Outcome {
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{what + ": " + domain.error()};
        if (virDomainAbortJob(domain.value().get()) == 0) return Done{};
        Error error = libvirt_error(what);
        virDomainJobInfo info{};
        bool none = virDomainGetJobInfo(domain.value().get(), &info) == 0 && info.type == VIR_DOMAIN_JOB_NONE;
        if (none) return Done{};
        return error;
      },
      std::move(done));
}

std::uint64_t LibvirtHypervisor::free_memory_kib() const {
  if (config_.uri.rfind("xen", 0) == 0) return xen_free_kib_;
  // MemAvailable counts what the page cache would give back; libvirt's own figure does not.
  std::ifstream file("/proc/meminfo");
  for (std::string key, unit; file >> key;) {
    std::uint64_t kib = 0;
    file >> kib;
    if (key == "MemAvailable:") return kib;
    std::getline(file, unit);
  }
  return 0;
}

void LibvirtHypervisor::definition(const DomainUuid& uuid, engine::Callback<Result<std::string>> done) {
  std::string what = "read the definition of domain " + uuid.str();
  call<std::string>(
      uuid.str(), what, config_.call_limit,
      [what, uuid](const Connection& connection) -> Result<std::string> {
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{what + ": " + domain.error()};
        LibvirtString xml(virDomainGetXMLDesc(domain.value().get(), VIR_DOMAIN_XML_MIGRATABLE));
        if (!xml) return libvirt_error(what);
        return std::string(xml.get());
      },
      std::move(done));
}

void LibvirtHypervisor::check(const std::string& xml, engine::Callback<Outcome> done) {
  call<Done>("check", "check whether the domain can run here", config_.check_limit,
             [xml](const Connection& connection) { return check_domain(connection, xml); }, std::move(done));
}

void LibvirtHypervisor::progress(const DomainUuid& uuid, engine::Callback<Result<std::optional<JobProgress>>> done) {
  call<std::optional<JobProgress>>(
      uuid.str() + "/progress", "ask for the progress of domain " + uuid.str(), config_.progress_limit,
      [uuid](const Connection& connection) { return read_job_progress(connection, uuid); }, std::move(done));
}

void LibvirtHypervisor::warnings(const DomainUuid& uuid, engine::Callback<Result<std::vector<std::string>>> done) {
  using Warnings = std::vector<std::string>;
  call<Warnings>(
      uuid.str(), "look for autostart and managed save of domain " + uuid.str(), config_.call_limit,
      [uuid](const Connection& connection) -> Result<Warnings> {
        Warnings found;
        bool missing = false;
        Result<DomainHandle> domain = find_domain(connection, uuid, &missing);
        if (!domain && missing) return found;
        if (!domain) return Error{domain.error()};
        virDomainPtr raw = domain.value().get();
        std::string name = virDomainGetName(raw);
        int autostart = 0;
        if (virDomainIsPersistent(raw) == 1 && virDomainGetAutostart(raw, &autostart) == 0 && autostart != 0)
          found.push_back("domain " + name + " has autostart set: libvirt would start it without asking the cluster; "
                          "run virsh autostart --disable " + name);
        if (virDomainHasManagedSaveImage(raw, 0) == 1)
          found.push_back("domain " + name + " has a managed save: its next start here would go back to that old state; "
                          "run virsh managedsave-remove " + name);
        return found;
      },
      std::move(done));
}

}  // namespace migrationd::io
