// SPDX-License-Identifier: GPL-2.0-or-later
// engine::Hypervisor on libvirt.
//
//   libvirt's event thread --post--> loop: registry, jobs, listener <--post-- worker threads (blocking calls)
//
// The object lives on the loop; nothing of it is touched by another thread. Work that runs on a thread owns all
// it uses: the connection, the domain's UUID, the emulator's pidfd. The connection is kept alive by libvirt's own
// keepalive, so a killed libvirtd is noticed at once and a hung one within keepalive_seconds × (count + 1);
// between loss and the next complete listing every look says unknown.
//
// In pieces: libvirt-hypervisor.cc (connection, registry), libvirt-boot.cc, libvirt-orders.cc (resume ... check),
// libvirt-migration.cc.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/engine/world.h"
#include "migrationd/io/blocking-calls.h"
#include "migrationd/io/domain-endings.h"
#include "migrationd/io/domain-log.h"
#include "migrationd/io/domain-registry.h"
#include "migrationd/io/emulator.h"
#include "migrationd/io/job-progress.h"
#include "migrationd/io/libvirt-connection.h"
#include "migrationd/io/loop-door.h"

namespace migrationd::io {

struct LibvirtConfig {
  std::string uri = "qemu:///system";
  std::string pid_directory = libvirt_pid_directory;
  std::string log_directory = libvirt_log_directory;
  std::string userfaultfd_sysctl = "/proc/sys/vm/unprivileged_userfaultfd";
  int keepalive_seconds = 2;
  unsigned keepalive_count = 3;
  Milliseconds call_limit{10000};      ///< short calls: state, resume, shutdown, abort
  Milliseconds boot_limit{85000};
  Milliseconds disk_limit{300'000};      ///< each program that makes a disk before a boot
  Milliseconds destroy_limit{12000};   ///< libvirt's part; then the emulator is killed through its pidfd
  Milliseconds check_limit{20000};
  Milliseconds resources_limit{60000}; ///< storage pools and networks; one on a far storage takes its time
  Milliseconds departure_limit{3000};  ///< a part of the time in which a destination must answer
  Milliseconds progress_limit{1000};   ///< somebody looks on; a hypervisor that is busy is asked again
  int migrations_at_once = 2;          ///< in each direction; further ones wait for their turn
  Milliseconds audit_every{60000};     ///< a listing compared with the registry, in case an event was lost
};

class MigrationCarrier;
class MigrationJob;

class LibvirtHypervisor : public engine::Hypervisor {
 public:
  LibvirtHypervisor(boost::asio::io_context& loop, LibvirtConfig config, engine::Log& log);
  ~LibvirtHypervisor() override;

  /// What carries those migrations that are to be carried; null: nothing does. Before start(); it must outlive this object's jobs.
  void carry_with(MigrationCarrier* carrier) { carrier_ = carrier; }
  /// libvirt's capabilities of this host; empty: not known yet.
  const std::string& capabilities() const { return capabilities_; }
  /// Connects, and goes on trying. The listener hears of the first complete look.
  void start();
  /// Closes the connection; nothing is called back any more.
  void stop();
  /// Why libvirt can't be reached; empty when it can.
  const std::string& trouble() const { return trouble_; }
  /// What could start one of `domains` behind the cluster's back, or from an old state: autostart and managed saves, each
  /// a sentence. Asked in two calls, however many they are.
  void warnings(const std::set<DomainUuid>& domains, engine::Callback<Result<std::vector<std::string>>> done);
  /// How far the migration of `uuid` from here has come; nothing: there's none.
  void progress(const DomainUuid& uuid, engine::Callback<Result<std::optional<JobProgress>>> done);

  void listen(engine::HypervisorListener* listener) override { listener_ = listener; }
  engine::DomainView look(const DomainUuid& uuid) const override;
  std::map<DomainUuid, engine::DomainView> all() const override;
  recovery::Ending ending(const DomainUuid& uuid, const std::string& name) const override;
  void refresh(engine::Callback<Outcome> done) override;
  void boot(const engine::Definition& definition, engine::Callback<Outcome> done) override;
  void resume(const DomainUuid& uuid, engine::Callback<Outcome> done) override;
  void ask_shutdown(const DomainUuid& uuid, const std::string& mode, engine::Callback<Outcome> done) override;
  void destroy(const DomainUuid& uuid, engine::Callback<Outcome> done) override;
  void migrate(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) override;
  void watch_job(const DomainUuid& uuid, const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done) override;
  void abort_job(const DomainUuid& uuid, engine::Callback<Outcome> done) override;
  void announce(const DomainUuid& uuid) override;
  std::string waits_because(const DomainUuid& uuid) const override;
  void places_at(const NodeName& to, std::optional<int> places) override;
  int arrivals_at_once() const override { return config_.migrations_at_once; }
  engine::Speed measured_speed(const NodeName& to) const override;
  void start_post_copy(const DomainUuid& uuid, Attempt attempt, engine::Callback<Outcome> done) override;
  void given_in_post_copy(const DomainUuid& uuid) override;
  std::string no_post_copy() const override;
  void let_run(const DomainUuid& uuid, const NodeName& from, Attempt attempt) override;
  std::optional<std::uint64_t> free_memory_kib() const override;
  std::uint64_t memory_need_kib(const std::string& xml) const override;
  void departure(const DomainUuid& uuid, const engine::MigrateOrder& way, engine::Callback<Result<engine::Departure>> done) override;
  void check(const engine::Departure& departure, engine::Callback<engine::Fitness> done) override;
  void start_resources(const engine::Definition& definition, engine::Callback<Outcome> done) override;
  void save_definition(const DomainUuid& uuid, const std::string& file, engine::Callback<Result<engine::SavedDefinition>> done) override;
  void take_definition(const DomainUuid& uuid, const std::string& file, const std::string& xml,
                       engine::Callback<Result<engine::SavedDefinition>> done) override;

 private:
  friend class MigrationJob;
  /// A boot that is under way creates nothing any more: it fails at once where it is still making a disk.
  void give_up_boot(const DomainUuid& uuid);
  /// A migration that waits for its turn.
  struct Queued {
    DomainUuid uuid;
    engine::MigrateOrder order;
    engine::Callback<engine::MigrationEnd> done;
    std::chrono::steady_clock::time_point since;
    std::string why;  ///< it waits; empty: not said yet
  };
  using EmulatorHandle = std::shared_ptr<Emulator>;

  /// What one reading of a domain gave.
  struct Reading {
    bool gone = false;  ///< libvirt has no such active domain
    DomainFacts facts;
    EmulatorHandle emulator;
    std::string no_emulator;  ///< why there is none
  };
  struct Tracked {
    EmulatorHandle emulator;
    bool reading = false;
    bool again = false;  ///< something happened while it was being read
    std::vector<std::function<void()>> waiting;  ///< for a reading begun after they asked
    std::vector<std::function<void()>> next;
  };
  struct Listing;

  // --- connection and registry (libvirt-hypervisor.cc) ---
  void connect();
  void connected(Connection connection);
  void lost(const std::string& why);
  void read_capabilities();
  void take_capabilities(std::string said);
  void retry();
  void list(engine::Callback<Outcome> done);
  void audit();
  void on_event(const DomainEvent& event);
  /// Reads one domain anew; `done` after a reading that began after this call.
  void read(const DomainUuid& uuid, std::function<void()> done = {});
  void begin_reading(const DomainUuid& uuid);
  void apply(const DomainUuid& uuid, const Result<Reading>& reading);
  static Result<Reading> read_domain(const Connection& connection, const DomainUuid& uuid, const std::string& pid_directory,
                                     EmulatorHandle emulator, std::optional<DomainJob> before);
  void tell();  ///< the listener hears of each view that changed
  void settle_later();
  void read_again_later();

  /// A blocking call with the connection, if there is one.
  template <class T>
  void call(const std::string& key, const std::string& what, Milliseconds limit,
            std::function<Result<T>(const Connection&)> work, std::function<void(Result<T>)> done);
  template <class T>
  std::function<void(T)> alive(std::function<void(T)> done);

  boost::asio::io_context& loop_;
  LibvirtConfig config_;
  engine::Log& log_;
  engine::HypervisorListener* listener_ = nullptr;
  MigrationCarrier* carrier_ = nullptr;
  std::string capabilities_;
  bool emulators_are_root_ = false;  ///< by these capabilities
  std::shared_ptr<int> life_ = std::make_shared<int>(0);  ///< callbacks hold it weakly
  std::shared_ptr<LoopDoor> door_;  ///< through which libvirt's thread comes to the loop, until stop()
  BlockingCalls calls_;
  BlockingCalls long_calls_;  ///< migrations: as many as are ordered, none waits for another
  DomainRegistry registry_;
  DomainEndings endings_;
  Connection connection_;
  std::uint64_t generation_ = 0;  ///< of the connection; late words of an older one are dropped
  std::string trouble_ = "not connected yet";
  bool usable_told_ = false;
  bool running_ = false;
  Milliseconds backoff_{200};
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer audit_timer_;
  boost::asio::steady_timer settle_timer_;
  boost::asio::steady_timer reread_timer_;
  bool settling_ = false;
  bool reading_again_ = false;
  std::set<DomainUuid> unreadable_;
  std::set<DomainUuid> arriving_;  ///< when they were read last
  std::map<DomainUuid, Tracked> tracked_;
  std::map<DomainUuid, engine::DomainView> shown_;
  std::map<DomainUuid, std::vector<std::shared_ptr<MigrationJob>>> jobs_;
  std::map<DomainUuid, std::stop_source> boots_;  ///< under way
  /// What an abort or a switch to post-copy holds until libvirt's call has ended, also one that was given up: a later job of the domain that
  /// it could still hit can't go over to post-copy, as QEMU takes an abort in it for an order to go on at the source.
  std::shared_ptr<int> steering(const DomainUuid& uuid);
  std::map<DomainUuid, std::weak_ptr<int>> steering_;

  // --- whose turn it is (libvirt-turns.cc) ---
  void next_turns();
  void begin_job(Queued queued, Milliseconds waited);
  /// Ends one that waits; whether there was one.
  bool end_waiting(const DomainUuid& uuid, const std::string& why);
  std::map<NodeName, int> ordered_jobs() const;  ///< that are under way to each node, by order of this daemon
  std::string why_it_waits(const Queued& queued) const;
  void measured(const NodeName& to, std::uint64_t bytes_per_second);
  std::map<std::uint64_t, Queued> queue_;  ///< in the order in which they came
  std::uint64_t queued_ = 0;
  std::map<NodeName, int> places_;  ///< how many may be under way to each node, by its own word
  struct Measured {
    std::uint64_t bytes_per_second = 0;
    std::chrono::steady_clock::time_point when;
  };
  std::map<NodeName, Measured> measured_;  ///< of the last migrations to each node
  boost::asio::steady_timer turn_timer_;
};

// ---------------------------------------------------------------- templates

template <class T>
std::function<void(T)> LibvirtHypervisor::alive(std::function<void(T)> done) {
  return [life = std::weak_ptr<int>(life_), done = std::move(done)](T value) {
    if (life.lock()) done(std::move(value));
  };
}

template <class T>
void LibvirtHypervisor::call(const std::string& key, const std::string& what, Milliseconds limit,
                             std::function<Result<T>(const Connection&)> work, std::function<void(Result<T>)> done) {
  Connection connection = connection_;
  if (!connection) {
    // Through the pool all the same: a callback never comes from inside the call that asked.
    calls_.run<T>("", what, limit, [what, why = trouble_] { return Result<T>(Error{what + ": libvirt is away: " + why}); },
                  alive<Result<T>>(std::move(done)));
    return;
  }
  calls_.run<T>(key, what, limit, [connection, work = std::move(work)] { return work(connection); },
                alive<Result<T>>(std::move(done)));
}

}  // namespace migrationd::io
