// SPDX-License-Identifier: GPL-2.0-or-later
// The part of LibvirtHypervisor that gives libvirt orders and asks it questions, other than migrations.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/carried-migration.h"
#include "migrationd/io/copy-mark.h"
#include "migrationd/io/direct-look.h"
#include "migrationd/io/domain-check.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/libvirt-hypervisor.h"
#include "migrationd/io/libvirt-migration.h"
#include "migrationd/io/local-resources.h"
#include "migrationd/io/network-place.h"
#include "migrationd/io/saved-definition.h"
#include "migrationd/io/shutdown-mode.h"

namespace migrationd::io {

namespace {

/// At libvirt, for a domain of which no emulator is seen.
constexpr Milliseconds silent_look{5000};
constexpr Milliseconds death_after_destroy{2000};
constexpr Milliseconds gentle_end{2000};
constexpr Milliseconds hard_end{5000};

struct StringRelease {
  void operator()(char* text) const { std::free(text); }
};
using LibvirtString = std::unique_ptr<char, StringRelease>;

/// A field of a file such as /proc/meminfo.
std::optional<std::uint64_t> field_kib(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string line;
  for (std::string key; file >> key; std::getline(file, line)) {
    std::uint64_t kib = 0;
    if (key == name && file >> kib) return kib;
  }
  return std::nullopt;
}

int state_of(virDomainPtr domain) {
  int state = VIR_DOMAIN_NOSTATE, reason = 0;
  virDomainGetState(domain, &state, &reason, 0);
  return state;
}

/// A domain that migrated away has executed its last before its emulator is dead; until libvirt has cleaned up after it, its next
/// arrival is refused ("is already being started"). A mere definition is in nobody's way.
bool lists_former(const Connection& connection, const DomainUuid& uuid) {
  const Result<DomainHandle> found = find_domain(connection, uuid);
  return found && (virDomainIsActive(found.value().get()) == 1 || virDomainIsPersistent(found.value().get()) == 0);
}

}  // namespace

std::uint64_t resident_kib(const Emulator& emulator) {
  return field_kib("/proc/" + std::to_string(emulator.pid()) + "/status", "VmRSS:").value_or(0);
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
        if (mark) remove_copy_mark(domain);
        return Done{};
      },
      [this, uuid, done = std::move(done)](Outcome outcome) { read(uuid, [outcome, done] { done(outcome); }); });
}

void LibvirtHypervisor::ask_shutdown(const DomainUuid& uuid, const std::string& mode, engine::Callback<Outcome> done) {
  std::string what = "shut down domain " + uuid.str();
  give_up_boot(uuid);
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
  give_up_boot(uuid);
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
        if (outcome) registry_.stopped(uuid, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, boot_time());  // seen by ourselves
        if (outcome) return read(uuid, [outcome, done] { done(outcome); });
        // libvirt is away or hangs. What it has not shown us since we began, its pid files do.
        long_calls_.run<bool>(
            uuid.str() + "/kill", what, gentle_end + hard_end + silent_look + Milliseconds{2000},
            [uuid, emulator, uri = config_.uri, directory = config_.pid_directory]() -> Result<bool> {
              EmulatorHandle known = emulator;
              if (!known) {
                Result<EmulatorHandle> found = Emulator::find_by_uuid(directory, uuid);
                if (!found) return Error{found.error()};
                known = found.value();
              }
              if (known) {
                if (Outcome ended = known->end(gentle_end, hard_end); !ended) return Error{ended.error()};
              }
              // That none is seen proves its absence where libvirt is down, but not where it hangs.
              const bool absent = look_directly({uuid, "", uri}, directory, silent_look).here == handoff::Here::absent;
              if (!known && !absent) return Error{"no emulator of it is seen either, which proves nothing"};
              return absent;
            },
            alive<Result<bool>>([this, uuid, outcome, done](Result<bool> ended) {
              if (!ended) return done(Error{outcome.error() + "; " + ended.error()});
              if (ended.value()) registry_.proven_absent(uuid, boot_time());
              registry_.stopped(uuid, VIR_DOMAIN_EVENT_STOPPED_DESTROYED, boot_time());
              done(Done{});
              read(uuid);
            }));
      });
}

void LibvirtHypervisor::abort_job(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  std::string what = "abort the migration of domain " + uuid.str();
  if (end_waiting(uuid, "it was aborted while it waited for its turn"))
    return boost::asio::post(loop_, [life = std::weak_ptr<int>(life_), done = std::move(done)] {
      if (life.lock()) done(Done{});
    });
  if (const auto jobs = jobs_.find(uuid); jobs != jobs_.end()) {
    for (const auto& job : jobs->second) {
      if (!job->may_be_aborted())
        return boost::asio::post(loop_, [life = std::weak_ptr<int>(life_), what, done = std::move(done)] {
          if (life.lock()) done(Error{what + ": it goes over to post-copy, and would execute on both nodes"});
        });
    }
    for (const auto& job : jobs->second) job->aborted();
  }
  call<Done>(
      uuid.str() + "/abort", what, config_.call_limit,
      [what, uuid, held = steering(uuid)](const Connection& connection) -> Outcome {
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

void LibvirtHypervisor::announce(const DomainUuid& uuid) {
  // Not beside the domain's own calls, which a resume may wait for.
  call<Done>(
      uuid.str() + "/announce", "announce domain " + uuid.str(), config_.progress_limit,
      [uuid](const Connection& connection) -> Outcome {
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{domain.error()};
        LibvirtString xml(virDomainGetXMLDesc(domain.value().get(), 0));
        if (!xml) return libvirt_error("read its definition");
        const Result<DomainXml> read = parse_domain_xml(xml.get(), "the running definition");
        if (!read) return Error{read.error()};
        std::string trouble;
        for (const Interface& one : read.value().interfaces) {
          const auto mac = parse_mac(one.mac);
          if (!mac || one.target.empty() || (one.type != "bridge" && one.type != "network")) continue;
          if (Outcome placed = place_guest(one.bridge, one.target, *mac); !placed) trouble += (trouble.empty() ? "" : "; ") + placed.error();
        }
        return trouble.empty() ? Outcome(Done{}) : Error{trouble};
      },
      [this, uuid](Outcome outcome) {
        log_.write(engine::Log::Level::debug, uuid.str(),
                   outcome ? "the network knows that it is reached here" : "the network learns where it is only from itself: " + outcome.error());
      });
}

std::optional<std::uint64_t> LibvirtHypervisor::free_memory_kib() const {
  // Of Xen's hosts the free memory says nothing: dom0 gives of its own for a domain that starts or arrives, and libxl
  // itself refuses one for which that is not enough, before a byte of it is sent.
  if (config_.uri.rfind("xen", 0) == 0) return std::nullopt;
  // MemAvailable counts what the page cache would give back; libvirt's own figure does not.
  std::optional<std::uint64_t> free = field_kib("/proc/meminfo", "MemAvailable:");
  if (!free) return std::nullopt;
  for (const auto& [uuid, view] : registry_.all(boot_time())) {
    const auto tracked = tracked_.find(uuid);
    if (view.here != handoff::Here::incoming || tracked == tracked_.end() || !tracked->second.emulator) continue;
    const std::uint64_t resident = resident_kib(*tracked->second.emulator);
    *free -= std::min(*free, view.memory_kib - std::min(view.memory_kib, resident));
  }
  return free;
}

std::uint64_t LibvirtHypervisor::memory_need_kib(const std::string& xml) const {
  const Result<DomainXml> domain = parse_domain_xml(xml, "the domain's definition");
  return domain && !domain.value().huge_pages ? domain.value().memory_kib : 0;
}

void LibvirtHypervisor::departure(const DomainUuid& uuid, const engine::MigrateOrder& way,
                                  engine::Callback<Result<engine::Departure>> done) {
  std::string what = "read the definition of domain " + uuid.str();
  std::uint64_t resident = 0;
  if (auto at = tracked_.find(uuid); at != tracked_.end() && at->second.emulator)
    resident = resident_kib(*at->second.emulator);
  // Not beside the domain's own calls: its disks are looked at, and a file system that hangs must not hold up a stop.
  call<engine::Departure>(
      uuid.str() + "/departure", what, config_.departure_limit,
      [what, uuid, resident, options = way.options, streams = way.carried && carrier_ != nullptr ? carrier_->streams() : ""](const Connection& connection) -> Result<engine::Departure> {
        Result<DomainHandle> domain = find_domain(connection, uuid);
        if (!domain) return Error{what + ": " + domain.error()};
        LibvirtString xml(virDomainGetXMLDesc(domain.value().get(), VIR_DOMAIN_XML_MIGRATABLE));
        if (!xml) return libvirt_error(what);
        engine::Departure departure{xml.get(), host_facts(connection, xml.get(), options), resident};
        if (!streams.empty()) departure.host[streams_key] = streams;
        return departure;
      },
      std::move(done));
}

void LibvirtHypervisor::check(const engine::Departure& departure, engine::Callback<engine::Fitness> done) {
  const bool carried = departure.host.contains(streams_key);
  const std::string streams = carrier_ != nullptr ? carrier_->streams() : "";
  auto read = std::make_shared<std::string>(capabilities_);
  const Result<DomainXml> domain = parse_domain_xml(departure.definition, "the domain's definition");
  const std::optional<DomainUuid> not_here =
      domain && look(domain.value().uuid).here == handoff::Here::absent ? std::optional(domain.value().uuid) : std::nullopt;
  call<engine::Fitness>(
      "check", "check whether the domain can run here", config_.check_limit,
      [departure, carried, streams, read, not_here](const Connection& connection) -> Result<engine::Fitness> {
        if (not_here && lists_former(connection, *not_here)) return Error{"libvirt has not cleaned up yet after what ran there until a moment ago"};
        if (carried) {
          if (read->empty()) *read = read_host_capabilities(connection);
          if (auto way = check_carried_way(departure, streams, *read); !way) return Error{way.error()};
        }
        return check_domain(connection, departure.definition, departure.host, departure.may_start_resources);
      },
      [this, read, done = std::move(done)](Result<engine::Fitness> checked) {
        if (capabilities_.empty()) take_capabilities(*read);
        done(checked ? checked.value() : engine::Fitness{checked.error(), false, ""});
      });
}

void LibvirtHypervisor::start_resources(const engine::Definition& definition, engine::Callback<Outcome> done) {
  const std::string what = "start the storage pools and networks of domain " + definition.name;
  // Not beside the domain's own calls: a storage that hangs must not hold up a stop.
  call<std::string>(
      definition.uuid.str() + "/resources", what, config_.resources_limit,
      [what, xml = definition.xml](const Connection& connection) -> Result<std::string> {
        const Result<DomainXml> domain = parse_domain_xml(xml, "the domain's definition");
        if (!domain) return Error{what + ": " + domain.error()};
        return io::start_resources(connection, domain.value());
      },
      [this, name = definition.name, done = std::move(done)](Result<std::string> started) {
        if (!started) return done(Error{started.error()});
        if (!started.value().empty()) log_.write(engine::Log::Level::notice, name, started.value());
        done(Done{});
      });
}

void LibvirtHypervisor::save_definition(const DomainUuid& uuid, const std::string& file,
                                        engine::Callback<Result<engine::SavedDefinition>> done) {
  // Not beside the domain's own calls, as above.
  call<engine::SavedDefinition>(
      uuid.str() + "/definition", "save the definition of domain " + uuid.str(), config_.call_limit,
      [uuid, file](const Connection& connection) { return io::save_definition(connection, uuid, file); }, std::move(done));
}

void LibvirtHypervisor::take_definition(const DomainUuid& uuid, const std::string& file, const std::string& xml,
                                        engine::Callback<Result<engine::SavedDefinition>> done) {
  calls_.run<engine::SavedDefinition>(
      uuid.str() + "/definition", "write the definition of domain " + uuid.str(), config_.call_limit,
      [uuid, file, xml] { return io::take_definition(file, uuid, xml); }, alive<Result<engine::SavedDefinition>>(std::move(done)));
}

void LibvirtHypervisor::progress(const DomainUuid& uuid, engine::Callback<Result<std::optional<JobProgress>>> done) {
  call<std::optional<JobProgress>>(
      uuid.str() + "/progress", "ask for the progress of domain " + uuid.str(), config_.progress_limit,
      [uuid](const Connection& connection) { return read_job_progress(connection, uuid); },
      [this, uuid, done = std::move(done)](Result<std::optional<JobProgress>> said) {
        const auto jobs = jobs_.find(uuid);
        if (said.ok() && said.value() && jobs != jobs_.end()) said.value()->plan = jobs->second.back()->plan();
        if (const std::string why = waits_because(uuid); said.ok() && !said.value() && !why.empty()) {
          said = std::optional(JobProgress{});
          said.value()->plan = why;
        }
        done(std::move(said));
      });
}

void LibvirtHypervisor::warnings(const std::set<DomainUuid>& domains, engine::Callback<Result<std::vector<std::string>>> done) {
  using Warnings = std::vector<std::string>;
  call<Warnings>(
      "warnings", "look for autostart and managed saves", config_.progress_limit,
      [domains](const Connection& connection) -> Result<Warnings> {
        Warnings found;
        const auto add = [&](unsigned flag, auto sentence) {
          virDomainPtr* listed = nullptr;
          const int count = virConnectListAllDomains(connection.get(), &listed, flag);
          for (int i = 0; i < count; ++i) {
            DomainHandle domain(listed[i]);
            char text[VIR_UUID_STRING_BUFLEN];
            const auto uuid = virDomainGetUUIDString(listed[i], text) == 0 ? DomainUuid::parse(text) : std::nullopt;
            if (uuid && domains.contains(*uuid)) found.push_back(sentence(std::string(virDomainGetName(listed[i]))));
          }
          std::free(listed);
          return count >= 0;
        };
        const bool listed =
            add(VIR_CONNECT_LIST_DOMAINS_AUTOSTART, [](const std::string& name) {
              return "domain " + name + " has autostart set: libvirt would start it without asking the cluster; run virsh autostart --disable " + name;
            }) &&
            add(VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, [](const std::string& name) {
              return "domain " + name + " has a managed save: virsh start would go back to that old state, on disks that have gone on since; run virsh "
                     "managedsave-remove " + name;
            });
        if (!listed) return libvirt_error("look for autostart and managed saves");
        return found;
      },
      std::move(done));
}

}  // namespace migrationd::io
