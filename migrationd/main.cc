// SPDX-License-Identifier: GPL-2.0-or-later
// migrationd: wiring only. Reads the configuration, makes the real World, gives it to the engine, and ends in
// order: with a farewell when nothing runs here, without touching a domain in any case.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <systemd/sd-daemon.h>

#include "config.h"
#include "migrationd/engine/engine.h"
#include "migrationd/io/alarm-desk.h"
#include "migrationd/io/boot-clock.h"
#include "migrationd/io/carrier.h"
#include "migrationd/io/cluster-choice.h"
#include "migrationd/io/config-file.h"
#include "migrationd/io/config-note.h"
#include "migrationd/io/config-settings.h"
#include "migrationd/io/dead-man.h"
#include "migrationd/io/direct.h"
#include "migrationd/io/end-words.h"
#include "migrationd/io/installation.h"
#include "migrationd/io/journal-files.h"
#include "migrationd/io/kept-definitions.h"
#include "migrationd/io/libvirt-hypervisor.h"
#include "migrationd/io/local-service.h"
#include "migrationd/io/log-sink.h"
#include "migrationd/io/node-link.h"
#include "migrationd/io/own-address.h"

namespace {

using namespace migrationd;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

/// How long peers are given to read a farewell.
constexpr Milliseconds farewell_limit{2000};
/// How long an end in order waits for offers and jobs under way.
constexpr Milliseconds drain_limit{120'000};

/// How long a journal in use is waited for at the start, and how often it is tried.
constexpr Milliseconds lock_limit{90'000};
constexpr Milliseconds lock_retry{500};

int fail(const std::string& text) {
  std::fprintf(stderr, "migrationd: %s\n", text.c_str());
  return exit_failed;
}

std::string own_path() {
  char path[4096] = {};
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : "/usr/sbin/migrationd";
}

/// The daemon's life, from the first object to the last. Members are in the order of their dependence.
class Daemon {
 public:
  /// `config_path`: the file that `config` was read from, absolute.
  Daemon(const io::Config& config, std::string config_path, NodeName self, io::LogSink& log)
      : config_(config), config_path_(std::move(config_path)), self_(std::move(self)), sink_(log), log_(loop_, sink_) {}

  Outcome prepare();
  int run();

 private:
  Outcome begin(const std::map<NodeName, std::vector<std::string>>& nodes);
  void end();
  void pet_watchdog();

  const io::Config& config_;
  std::string config_path_;
  NodeName self_;
  io::LogSink& sink_;
  boost::asio::io_context loop_{1};
  io::AlarmDesk log_;
  boost::asio::signal_set signals_{loop_};
  boost::asio::steady_timer watchdog_{loop_};
  std::unique_ptr<io::JournalLock> lock_;
  io::Identity identity_;
  std::string boot_id_;
  std::unique_ptr<io::BootClock> clock_;
  std::unique_ptr<io::JournalFiles> journal_;
  std::unique_ptr<io::KeptDefinitions> definitions_;
  std::unique_ptr<io::LibvirtHypervisor> hypervisor_;
  io::LoadedJournal loaded_;
  io::LoadedDefinitions kept_;
  io::LinkSettings link_settings_;
  std::unique_ptr<io::NodeLink> link_;
  std::unique_ptr<io::Carrier> carrier_;
  io::ClusterChoice cluster_;
  std::unique_ptr<engine::DeadMan> dead_man_;
  std::unique_ptr<engine::World> world_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<io::LocalService> service_;
  int exit_code_ = 0;
  bool ending_ = false;
};

Outcome Daemon::prepare() {
  for (const std::string& directory : {config_.state_dir, config_.runtime_dir}) {
    if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
      return Error{"the directory " + directory + " can't be made: " + std::strerror(errno)};
    }
  }
  // `--direct stop` and the dead-man hold it for a while; a second daemon holds it for good.
  auto lock = io::JournalLock::take(config_.state_dir);
  for (Milliseconds waited{0}; !lock.ok() && waited < lock_limit; waited += lock_retry) {
    const auto holder = io::JournalLock::holder(config_.state_dir);
    if (!holder.ok() || holder.value() == 0) {  // nobody to wait for: just released, or it can't be taken at all
      lock = io::JournalLock::take(config_.state_dir);
      break;
    }
    if (waited.count() == 0) log_.write(engine::Log::Level::notice, "", lock.error() + "; waiting for it");
    std::this_thread::sleep_for(lock_retry);
    lock = io::JournalLock::take(config_.state_dir);
  }
  if (!lock.ok()) return Error{lock.error()};
  lock_ = std::make_unique<io::JournalLock>(std::move(lock.value()));
  if (const Outcome noted = io::note_config(config_path_); !noted.ok()) {
    log_.write(engine::Log::Level::warning, "", noted.error() + ": without the daemon the agent may look in other places");
  }
  auto identity = io::begin_incarnation(config_.state_dir);
  if (!identity.ok()) return Error{identity.error()};
  identity_ = identity.value();
  log_.keep_in(config_.state_dir, identity_.incarnation);
  const auto boot = io::boot_id();
  if (!boot.ok()) return Error{boot.error()};
  boot_id_ = boot.value();
  auto loaded = io::load_journal(config_.state_dir, boot_id_);
  if (!loaded.ok()) return Error{loaded.error()};
  kept_ = io::load_definitions(config_.state_dir);
  for (const std::string& refused : kept_.refused) log_.write(engine::Log::Level::warning, "", "a definition that is kept here is not used: " + refused);

  clock_ = std::make_unique<io::BootClock>(loop_);
  journal_ = std::make_unique<io::JournalFiles>(loop_, config_.state_dir, boot.value());
  definitions_ = std::make_unique<io::KeptDefinitions>(loop_, config_.state_dir);
  io::LibvirtConfig libvirt;
  libvirt.uri = config_.libvirt_uri;
  libvirt.migrations_at_once = config_.migrations_at_once;
  hypervisor_ = std::make_unique<io::LibvirtHypervisor>(loop_, libvirt, log_);
  auto cluster = io::choose_cluster(loop_, config_, self_, log_);
  if (!cluster.ok()) return Error{cluster.error()};
  cluster_ = std::move(cluster.value());
  self_ = cluster_.self;
  io::AlertSettings alerts;
  alerts.self = self_;
  alerts.agents = config_.alert_agents;
  log_.tell(std::move(alerts));
  link_settings_.self = self_;
  link_settings_.port = config_.port;
  link_settings_.hello = {io::link_protocol, identity_.installation, boot.value(), identity_.incarnation,
                std::string("migrationd ") + PACKAGE_VERSION};
  auto authentication = io::read_authentication(config_, self_);
  if (!authentication.ok()) return Error{authentication.error()};
  link_settings_.authentication = std::move(authentication.value());
  io::DeadManConfig dead_man;
  dead_man.program = own_path();
  dead_man.state_dir = config_.state_dir;
  dead_man.runtime_dir = config_.runtime_dir;
  dead_man.systemd = io::systemd_is_init();
  dead_man.config = config_path_;
  dead_man_ = std::make_unique<io::DeadManProcess>(loop_, dead_man, log_);
  loaded_ = std::move(loaded.value());
  return Done{};
}

/// The nodes are known now: what depends on them.
Outcome Daemon::begin(const std::map<NodeName, std::vector<std::string>>& nodes) {
  if (!config_.listen_everywhere && config_.listen.empty()) {
    const auto found = io::listen_addresses(cluster_.source->own_addresses(), nodes);
    if (!found) return Error{found.error()};
    if (!found.value().note.empty()) log_.write(engine::Log::Level::warning, "", found.value().note);
    link_settings_.listen = found.value().addresses;
  } else if (!config_.listen_everywhere) {
    link_settings_.listen = config_.listen;
  }
  link_ = std::make_unique<io::NodeLink>(loop_, link_settings_, log_);
  io::CarrierSettings carrier{io::CarriedPlace(config_.runtime_dir), config_.libvirt_uri, io::libvirt_pid_directory, nullptr, nullptr};
  carrier.incarnation = identity_.incarnation;
  if (const Outcome prepared = carrier.place.prepare(); !prepared.ok()) return prepared;
  carrier.capabilities = [this] { return hypervisor_->capabilities(); };
  carrier.awaited = [this](const DomainUuid& domain, const NodeName& from, Attempt attempt) { return engine_->awaits_copy(domain, from, attempt); };
  carrier_ = std::make_unique<io::Carrier>(loop_, std::move(carrier), *link_, log_);
  hypervisor_->carry_with(carrier_.get());
  world_ = std::make_unique<engine::World>(
      engine::World{*clock_, *hypervisor_, *link_, *cluster_.source, *journal_, *dead_man_, log_, *definitions_});

  std::vector<engine::Record> records;
  for (io::StoredRecord& stored : loaded_.records) records.push_back(std::move(stored.record));
  std::map<DomainUuid, std::string> unreadable;
  std::set<std::string> still;
  for (const io::RefusedRecord& refused : loaded_.refused) {
    const Subject subject = refused.uuid.empty() ? Subject::daemon() : Subject::domain(refused.uuid, "");
    still.insert(subject.key());
    log_.raise(AlarmKind::journal_record_refused, subject, "the journal record " + refused.file + " can't be read: " + refused.why);
    if (!refused.uuid.empty()) unreadable[refused.uuid] = refused.why;
  }
  log_.clear_others(AlarmKind::journal_record_refused, still, "the records can be read");
  const handoff::Cluster known{self_, identity_.installation, identity_.incarnation, {}};
  engine_ = std::make_unique<engine::Engine>(*world_, known, io::policy_reader(io::resource_defaults(config_)), std::move(records),
                                             io::load_farewells(config_.state_dir, boot_id_), std::move(unreadable), std::move(kept_.kept));
  engine_->nodes_changed();
  service_ = std::make_unique<io::LocalService>(
      loop_, *engine_, *world_, io::LocalService::Facts{self_, config_.unfenced == io::Unfenced::membership, cluster_.name, cluster_.heartbeat, config_.libvirt_uri,
                                                [this](const DomainUuid& uuid, auto done) { hypervisor_->progress(uuid, std::move(done)); },
                                                [this](const std::set<DomainUuid>& domains, auto done) { hypervisor_->warnings(domains, std::move(done)); }, &log_});
  if (config_.unfenced == io::Unfenced::membership) {
    log_.raise(AlarmKind::unfenced_membership, Subject::daemon(), "unfenced=membership: a node that is not a member counts as absent without being fenced; "
                                                                  "a partition may run a domain twice");
  } else {
    log_.clear(AlarmKind::unfenced_membership, Subject::daemon(), "the configuration asks for fencing again");
  }
  const Outcome listening = link_->start();
  if (!listening.ok()) return listening;
  engine_->begin();
  hypervisor_->start();
  io::IpcServer::Settings settings;
  settings.reading_gid = io::haclient_group();
  const Outcome served = service_->start(settings);
  if (!served.ok()) return served;
  log_.clear(AlarmKind::authentication_refused, Subject::daemon(), "the daemon begins anew");
  sd_notify(0, "READY=1");
  log_.write(engine::Log::Level::notice, "",
             "ready: node " + self_ + ", incarnation " + std::to_string(identity_.incarnation));
  return Done{};
}

void Daemon::end() {
  if (ending_) return;
  ending_ = true;
  sd_notify(0, "STOPPING=1");
  const std::string waits_for = engine_ ? io::unfinished(engine_->domains()) : "";
  const std::string limit = ", in at most " + std::to_string(drain_limit.count() / 1000) + " s, at once when asked again: waits for ";
  log_.write(engine::Log::Level::notice, "", "ending in order" + (waits_for.empty() ? "" : limit + waits_for));
  if (!engine_) return loop_.stop();
  engine_->drain(drain_limit, [this] {
    if (const std::string left = io::unfinished(engine_->domains()); !left.empty()) {
      log_.write(engine::Log::Level::warning, "", "ending now, though not finished: " + left + "; the next daemon goes on with it");
    }
    service_->stop();
    engine_->say_farewell();
    link_->finish(farewell_limit, [this] { loop_.stop(); });
  });
}

void Daemon::pet_watchdog() {
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0) return;
  sd_notify(0, "WATCHDOG=1");
  watchdog_.expires_after(std::chrono::microseconds(usec / 3));
  watchdog_.async_wait([this](boost::system::error_code error) {
    if (!error) pet_watchdog();
  });
}

int Daemon::run() {
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  signals_.add(SIGHUP);
  signals_.add(SIGUSR2);
  std::function<void()> wait = [this, &wait] {
    signals_.async_wait([this, &wait](boost::system::error_code error, int signal) {
      if (error) return;
      if (signal == SIGTERM || signal == SIGINT) {
        if (ending_) loop_.stop();  // asked twice
        end();
      } else if (signal == SIGHUP) {
        auto authentication = io::read_authentication(config_, self_);
        if (authentication.ok()) {
          link_settings_.authentication = std::move(authentication.value());
          if (link_) link_->set_authentication(link_settings_.authentication);
          log_.clear(AlarmKind::authentication_refused, Subject::daemon(), "they can be read");
          log_.write(engine::Log::Level::notice, "", config_.authentication == io::Authentication::key ? "the key file was read again" : "the certificates were read again");
        } else {
          log_.raise(AlarmKind::authentication_refused, Subject::daemon(), (config_.authentication == io::Authentication::key ? "the old keys stay: " : "the old certificates stay: ") + authentication.error());
        }
      } else {
        sink_.dump();
      }
      wait();
    });
  };
  wait();
  pet_watchdog();
  cluster_.source->start([this](const std::map<NodeName, std::vector<std::string>>& nodes) {
    if (engine_) {
      engine_->nodes_changed();
    } else if (const Outcome begun = begin(nodes); !begun.ok()) {
      sink_.write(engine::Log::Level::alarm, "", begun.error());  // no daemon is left that would clear it
      exit_code_ = fail(begun.error());
      loop_.stop();
      return;
    }
    link_->set_nodes(nodes);
  });
  loop_.run();
  if (service_) service_->stop();
  cluster_.source->stop();
  hypervisor_->stop();
  if (link_) link_->stop();
  log_.close();
  return exit_code_;
}

/// The agent's way while the daemon does not run, by the daemon's own configuration. What can't be read of that must not
/// keep a stop from working: then the defaults count.
int direct(const std::string& config_path, int argc, char** argv) {
  const io::ConfigRest rest = io::read_rest_of_config_file(config_path);
  if (!rest.complaint.empty()) std::fprintf(stderr, "migrationd: %s\n", rest.complaint.c_str());
  if (config_path != io::default_config_path && access(config_path.c_str(), F_OK) != 0 && errno == ENOENT) {
    std::fprintf(stderr, "migrationd: the configuration file %s is gone: the defaults count\n", config_path.c_str());
  }
  io::DirectPlaces places;
  places.state_dir = rest.config.state_dir;
  places.runtime_dir = rest.config.runtime_dir;
  places.libvirt_uri = rest.config.libvirt_uri;
  return io::direct_main(argc, argv, std::move(places));
}

}  // namespace

int main(int argc, char** argv) {
  std::string config_path = io::default_config_path;
  bool config_named = false;
  bool standard_error = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--direct") return direct(config_named ? config_path : io::noted_config(), argc - i - 1, argv + i + 1);
    if (word == "--config") {
      if (i + 1 == argc) {
        std::fprintf(stderr, "migrationd: --config needs a file: see migrationd --help\n");
        return exit_usage;
      }
      config_path = argv[++i];
      config_named = true;
    } else if (word == "--stderr") {
      standard_error = true;
    } else if (word == "--version") {
      std::printf("migrationd %s\n", PACKAGE_VERSION);
      return 0;
    } else if (word == "--help") {
      std::printf("usage: migrationd [--config FILE] [--stderr]\n"
                  "       migrationd [--config FILE] --direct ACTION      (the agent's actions without a daemon)\n"
                  "       migrationd --version | --help\n"
                  "See migrationd(8).\n");
      return 0;
    } else {
      std::fprintf(stderr, "migrationd: unknown argument '%s': see migrationd --help\n", word.c_str());
      return exit_usage;
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
  auto config = io::read_config_file(config_path, config_named);
  if (!config.ok()) return fail(config.error());
  if (standard_error) config.value().log_target = io::LogTarget::standard_error;
  NodeName self = config.value().node_name;
  if (self.empty()) {
    char name[256] = {};
    if (gethostname(name, sizeof name - 1) != 0) return fail("the node's name can't be told: " + std::string(std::strerror(errno)));
    self = name;
  }
  io::LogSink log(io::log_settings(config.value()));
  std::error_code no_directory;
  const auto absolute = std::filesystem::absolute(config_path, no_directory);
  Daemon daemon(config.value(), no_directory ? config_path : absolute.lexically_normal().string(), self, log);
  const Outcome prepared = daemon.prepare();
  if (!prepared.ok()) {
    log.write(engine::Log::Level::alarm, "", prepared.error());
    return fail(prepared.error());
  }
  return daemon.run();
}
