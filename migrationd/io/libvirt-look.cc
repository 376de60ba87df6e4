// SPDX-License-Identifier: GPL-2.0-or-later
// The part of LibvirtHypervisor that knows the domains: listings and events fill the registry, which answers from memory.
#include <cstdlib>

#include <boost/asio/post.hpp>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/domain-facts.h"
#include "migrationd/io/libvirt-hypervisor.h"
#include "migrationd/io/libvirt-migration.h"

namespace migrationd::io {

using engine::DomainView;
using Level = engine::Log::Level;

namespace {

constexpr Milliseconds settle_step{200};
constexpr Milliseconds reread_step{2000};
/// What can't be read is as a rule just being ended by libvirt; a stop waits for it meanwhile, and the cluster's plans go on.
constexpr Milliseconds unreadable_step{200};
constexpr Milliseconds listing_limit{30000};

DomainRegistry::Alive alive_of(const std::shared_ptr<Emulator>& emulator) {
  return emulator ? DomainRegistry::Alive([emulator] { return !emulator->dead(); }) : nullptr;
}

}  // namespace

/// A complete listing under way: how many domains are still to be read.
struct LibvirtHypervisor::Listing {
  std::size_t left = 1;
  std::function<void()> finished;
  void one_done() {
    if (--left == 0) finished();
  }
};

void LibvirtHypervisor::list(engine::Callback<Outcome> done) {
  struct Found {
    std::set<DomainUuid> uuids;
    std::map<DomainUuid, EmulatorHandle> emulators;

    /// Adds the domains with these flags to `to`.
    static bool collect(const Connection& connection, unsigned flags, std::set<DomainUuid>& to) {
      virDomainPtr* domains = nullptr;
      const int count = virConnectListAllDomains(connection.get(), &domains, flags);
      bool complete = count >= 0;
      for (int i = 0; i < count; ++i) {
        char text[VIR_UUID_STRING_BUFLEN];
        const std::optional<DomainUuid> uuid =
            virDomainGetUUIDString(domains[i], text) == 0 ? DomainUuid::parse(text) : std::nullopt;
        if (uuid) to.insert(*uuid);
        complete = complete && uuid;  // one that can't be named is missing in the listing
        virDomainFree(domains[i]);
      }
      std::free(domains);
      return complete;
    }
  };
  std::uint64_t generation = generation_;
  bool xen = config_.uri.rfind("xen", 0) == 0;
  call<Found>(
      "list", "list the domains", listing_limit,
      [directory = config_.pid_directory, xen](const Connection& connection) -> Result<Found> {
        Found found;
        // The pid files before the listing: an emulator that ends between the two is then dead, not a stray.
        if (!xen) {
          auto emulators = Emulator::find_all(directory);
          if (!emulators) return Error{"look for emulators: " + emulators.error()};
          found.emulators = std::move(emulators.value());
        }
        // Transient and not active: a start that is still under way, such as one ordered by a daemon that was killed
        // meanwhile. Its reading says that it can't be told. Before the active ones, so that it is in one of the two.
        // A persistent one that is not active is only a definition, such as the one that config= names.
        if (!Found::collect(connection, VIR_CONNECT_LIST_DOMAINS_INACTIVE | VIR_CONNECT_LIST_DOMAINS_TRANSIENT, found.uuids) ||
            !Found::collect(connection, VIR_CONNECT_LIST_DOMAINS_ACTIVE, found.uuids))
          return libvirt_error("list the domains");
        return found;
      },
      [this, generation, done = std::move(done)](Result<Found> found) {
        if (generation != generation_) return done(Error{"list the domains: libvirt was lost meanwhile"});
        if (!found) return done(Error{found.error()});
        std::set<DomainUuid> to_read = registry_.listed(found.value().uuids);
        for (const auto& [uuid, emulator] : found.value().emulators) {
          tracked_[uuid].emulator = emulator;
          if (!found.value().uuids.contains(uuid)) registry_.stray(uuid, [emulator = emulator] { return !emulator->dead(); }, boot_time());
        }
        auto listing = std::make_shared<Listing>();
        listing->finished = [this, generation, done] {
          if (generation != generation_) return done(Error{"list the domains: libvirt was lost meanwhile"});
          registry_.complete(boot_time());
          tell();
          done(Done{});
        };
        listing->left += to_read.size();
        for (const DomainUuid& uuid : to_read) read(uuid, [listing] { listing->one_done(); });
        listing->one_done();
      });
}

void LibvirtHypervisor::audit() {
  audit_timer_.expires_after(config_.audit_every);
  audit_timer_.async_wait([this, life = std::weak_ptr<int>(life_), generation = generation_](boost::system::error_code error) {
    if (error || !life.lock() || generation != generation_) return;
    list([this, generation](Outcome outcome) {
      if (generation != generation_) return;
      if (!outcome) return lost(outcome.error());
      audit();
    });
  });
}

void LibvirtHypervisor::on_event(const DomainEvent& event) {
  if (event.kind == DomainEvent::Kind::lifecycle) {
    log_.write(Level::debug, event.name, "libvirt event " + lifecycle_text(event.event, event.detail));
    endings_.saw(event.uuid, event.event, event.detail);
    if (event.event == VIR_DOMAIN_EVENT_STARTED) registry_.sighted(event.uuid);
    if (event.event == VIR_DOMAIN_EVENT_STOPPED) registry_.stopped(event.uuid, event.detail, boot_time());
    // What it says is certain, and the destination waits for it: a reading can hang behind the job's own calls for seconds.
    const DomainFacts* known = registry_.facts(event.uuid);
    if (event.event == VIR_DOMAIN_EVENT_SUSPENDED && event.detail == VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY && known != nullptr) {
      DomainFacts facts = *known;
      facts.state = VIR_DOMAIN_PAUSED;
      facts.reason = VIR_DOMAIN_PAUSED_POSTCOPY;
      facts.job = DomainJob::outgoing;
      registry_.set(event.uuid, facts, alive_of(tracked_[event.uuid].emulator));
      tell();
    }
  }
  if (event.kind == DomainEvent::Kind::reboot) endings_.forget(event.uuid);
  if (auto jobs = jobs_.find(event.uuid); jobs != jobs_.end())
    for (const auto& job : std::vector(jobs->second)) job->event(event);
  read(event.uuid);
}

void LibvirtHypervisor::read(const DomainUuid& uuid, std::function<void()> done) {
  Tracked& tracked = tracked_[uuid];
  if (tracked.reading) {
    tracked.again = true;
    if (done) tracked.next.push_back(std::move(done));
    return;
  }
  if (done) tracked.waiting.push_back(std::move(done));
  begin_reading(uuid);
}

void LibvirtHypervisor::begin_reading(const DomainUuid& uuid) {
  Tracked& tracked = tracked_[uuid];
  if (!connection_) {  // nothing is known anyway, until the listing after the next connection
    for (auto& call : std::exchange(tracked.waiting, {})) boost::asio::post(loop_, [alive = std::weak_ptr<int>(life_), call = std::move(call)] {
        if (alive.lock()) call();
      });
    return;
  }
  tracked.reading = true;
  tracked.again = false;
  call<Reading>(
      uuid.str(), "read the state of domain " + uuid.str(), config_.call_limit,
      [uuid, directory = config_.pid_directory, emulator = tracked.emulator,
       before = registry_.facts(uuid) != nullptr ? std::optional(registry_.facts(uuid)->job) : std::nullopt](
          const Connection& connection) { return read_domain(connection, uuid, directory, emulator, before);
      },
      [this, uuid, generation = generation_](Result<Reading> reading) {
        if (generation != generation_) return;  // lost() has answered those who wait
        Tracked& tracked = tracked_[uuid];
        tracked.reading = false;
        bool again = tracked.again;
        if (!again) apply(uuid, reading);
        auto waiting = std::move(tracked.waiting);
        tracked.waiting = std::move(tracked.next);
        tracked.next.clear();
        if (again) {
          // Overtaken by an event: those who waited want this one's successor.
          for (auto& call : waiting) tracked.waiting.push_back(std::move(call));
          begin_reading(uuid);
          return;
        }
        tell();
        for (auto& call : waiting) call();
      });
}

Result<LibvirtHypervisor::Reading> LibvirtHypervisor::read_domain(const Connection& connection, const DomainUuid& uuid,
                                                                  const std::string& pid_directory, EmulatorHandle emulator,
                                                                  std::optional<DomainJob> before) {
  Reading reading;
  reading.emulator = std::move(emulator);
  Result<std::optional<DomainFacts>> facts = read_domain_facts(connection, uuid, before);
  if (!facts) return Error{facts.error()};
  reading.gone = !facts.value();
  if (reading.gone) return reading;
  reading.facts = *facts.value();
  if (!reading.emulator || reading.emulator->dead()) {
    Result<EmulatorHandle> process = Emulator::find(pid_directory, reading.facts.name, uuid);
    reading.emulator = process ? process.value() : nullptr;
    reading.no_emulator = "libvirt says that it is active, but its emulator isn't found" + (process ? "" : ": " + process.error());
  }
  return reading;
}

void LibvirtHypervisor::apply(const DomainUuid& uuid, const Result<Reading>& result) {
  if (!result) {
    if (unreadable_.insert(uuid).second) log_.write(Level::warning, uuid.str(), result.error());
    registry_.unreadable(uuid, result.error());
    read_again_later();
    return;
  }
  const Reading& reading = result.value();
  tracked_[uuid].emulator = reading.emulator;
  if (reading.gone) {
    unreadable_.erase(uuid);
    registry_.vanished(uuid, boot_time());
    settle_later();
    return;
  }
  EmulatorHandle emulator = reading.emulator;
  if (config_.uri.starts_with("qemu") && (!emulator || emulator->dead())) {
    // libvirt looks after a killed emulator every 200 ms; until it noticed the end, its word is of the past.
    std::string why = emulator ? "its emulator has ended, and libvirt hasn't said how" : reading.no_emulator;
    if (unreadable_.insert(uuid).second) log_.write(Level::debug, reading.facts.name, why);
    registry_.unreadable(uuid, why);
    read_again_later();
    return;
  }
  unreadable_.erase(uuid);
  // No event tells that its job is over, only that it executes; and its mark goes with the job.
  if (reading.facts.job == DomainJob::incoming) {
    arriving_.insert(uuid);
    read_again_later();
  } else {
    arriving_.erase(uuid);
  }
  registry_.set(uuid, reading.facts, alive_of(emulator));
}

void LibvirtHypervisor::read_again_later() {
  if (std::exchange(reading_again_, true)) return;
  reread_timer_.expires_after(unreadable_.empty() ? reread_step : unreadable_step);
  reread_timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (error || !life.lock()) return;
    reading_again_ = false;
    std::set<DomainUuid> again = std::exchange(arriving_, {});
    again.insert(unreadable_.begin(), unreadable_.end());
    for (const DomainUuid& uuid : again) read(uuid);
  });
}

void LibvirtHypervisor::settle_later() {
  if (settling_) return;
  settling_ = true;
  settle_timer_.expires_after(settle_step);
  settle_timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (error || !life.lock()) return;
    settling_ = false;
    tell();
  });
}

void LibvirtHypervisor::tell() {
  if (!registry_.unsettled(boot_time()).empty()) settle_later();
  std::set<DomainUuid> uuids = registry_.known();
  for (const auto& [uuid, view] : shown_) uuids.insert(uuid);
  std::vector<DomainUuid> changed;
  for (const DomainUuid& uuid : uuids) {
    DomainView view = look(uuid);
    auto [at, added] = shown_.try_emplace(uuid, view);
    if (!added && same_view(at->second, view)) continue;
    at->second = view;
    changed.push_back(uuid);
  }
  registry_.settle(boot_time());
  std::erase_if(shown_, [](const auto& item) { return item.second.here == handoff::Here::absent; });
  std::erase_if(tracked_, [&](const auto& item) {
    return !shown_.contains(item.first) && !item.second.reading && item.second.waiting.empty() && registry_.fresh();
  });
  if (listener_ == nullptr || !usable_told_) return;
  for (const DomainUuid& uuid : changed) {
    listener_->domain_changed(uuid);
    if (look(uuid).here == handoff::Here::absent) endings_.forget(uuid);
  }
}

DomainView LibvirtHypervisor::look(const DomainUuid& uuid) const { return registry_.look(uuid, boot_time()); }

recovery::Ending LibvirtHypervisor::ending(const DomainUuid& uuid, const std::string& name) const {
  return endings_.how_it_ended(uuid, config_.log_directory, name);
}

std::map<DomainUuid, DomainView> LibvirtHypervisor::all() const { return registry_.all(boot_time()); }

void LibvirtHypervisor::refresh(engine::Callback<Outcome> done) {
  list([done = std::move(done)](Outcome outcome) { done(std::move(outcome)); });
}

}  // namespace migrationd::io
