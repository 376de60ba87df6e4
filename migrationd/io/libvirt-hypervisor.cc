// SPDX-License-Identifier: GPL-2.0-or-later
// See libvirt-hypervisor.h. Here: the connection, its loss and its return. What it shows of the domains: libvirt-look.cc.
#include "migrationd/io/libvirt-hypervisor.h"

#include <boost/asio/post.hpp>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/carried-place.h"
#include "migrationd/io/domain-check.h"
#include "migrationd/io/libvirt-migration.h"

namespace migrationd::io {

using engine::DomainView;
using Level = engine::Log::Level;

namespace {

constexpr std::size_t workers = 16;
constexpr std::size_t migrations_at_once = 256;
constexpr Milliseconds longest_backoff{5000};
constexpr Milliseconds capabilities_limit{30000};

}  // namespace

LibvirtHypervisor::LibvirtHypervisor(boost::asio::io_context& loop, LibvirtConfig config, engine::Log& log)
    : loop_(loop),
      config_(std::move(config)),
      log_(log),
      door_(std::make_shared<LoopDoor>(loop)),
      calls_(loop, workers),
      long_calls_(loop, migrations_at_once),
      registry_(config_.uri.rfind("xen", 0) == 0),
      retry_timer_(loop),
      audit_timer_(loop),
      settle_timer_(loop),
      reread_timer_(loop),
      turn_timer_(loop) {}

LibvirtHypervisor::~LibvirtHypervisor() { stop(); }

void LibvirtHypervisor::start() {
  running_ = true;
  raise_descriptor_limit();
  start_libvirt_events();
  connect();
}

void LibvirtHypervisor::stop() {
  running_ = false;
  door_->close();
  life_ = std::make_shared<int>(0);
  ++generation_;
  retry_timer_.cancel();
  audit_timer_.cancel();
  settle_timer_.cancel();
  reread_timer_.cancel();
  turn_timer_.cancel();
  queue_.clear();
  jobs_.clear();
  for (auto& [uuid, boot] : boots_) boot.request_stop();
  boots_.clear();
  connection_.reset();
  registry_.lost();
  trouble_ = "closed";
}

// ---------------------------------------------------------------- connection

void LibvirtHypervisor::connect() {
  std::uint64_t generation = ++generation_;
  auto post = [this, generation, life = std::weak_ptr<int>(life_), door = door_](auto function) {
    // Called in libvirt's thread.
    door->post([this, generation, life, function = std::move(function)] {
      if (life.lock() && generation == generation_) function();
    });
  };
  calls_.run<Connection>(
      "connect", "connect to libvirt (" + config_.uri + ")", config_.call_limit,
      [config = config_, sink = [this, post](DomainEvent event) { post([this, event] { on_event(event); }); },
       closed = [this, post](std::string why) { post([this, why] { lost(why); }); }]() -> Result<Connection> {
        Result<Connection> opened = open_connection(config.uri, false, config.keepalive_seconds, config.keepalive_count);
        if (!opened) return opened;
        Outcome registered = register_events(opened.value(), sink, closed);
        if (!registered) return Error{registered.error()};
        return opened;
      },
      alive<Result<Connection>>([this, generation](Result<Connection> opened) {
        if (generation != generation_ || !running_) return;
        if (opened) {
          connected(opened.value());
        } else {
          lost(opened.error());
        }
      }));
}

void LibvirtHypervisor::connected(Connection connection) {
  connection_ = std::move(connection);
  std::uint64_t generation = generation_;
  list([this, generation](Outcome outcome) {
    if (generation != generation_) return;
    if (!outcome) return lost(outcome.error());
    backoff_ = Milliseconds{200};
    trouble_.clear();
    log_.write(Level::info, "", "libvirt (" + config_.uri + ") is connected, " + std::to_string(registry_.all(boot_time()).size()) + " domains");
    usable_told_ = true;
    if (listener_ != nullptr) listener_->hypervisor_changed(true);
    tell();
    audit();
    read_capabilities();
  });
}

/// Beside everything else: with many emulators installed libvirt takes seconds for the first answer.
void LibvirtHypervisor::read_capabilities() {
  call<std::string>(
      "capabilities", "read the capabilities of libvirt", capabilities_limit,
      [](const Connection& connection) -> Result<std::string> {
        std::string capabilities = read_host_capabilities(connection);
        return capabilities.empty() ? Result<std::string>(libvirt_error("read the capabilities of libvirt")) : capabilities;
      },
      [this](Result<std::string> said) {
        if (!said.ok()) return log_.write(Level::notice, "", said.error());  // asked for again when they are needed
        take_capabilities(std::move(said.value()));
      });
}

void LibvirtHypervisor::take_capabilities(std::string said) {
  capabilities_ = std::move(said);
  const auto owner = emulator_owner("", capabilities_);
  emulators_are_root_ = owner.ok() && owner.value().user == 0;
}

void LibvirtHypervisor::lost(const std::string& why) {
  ++generation_;
  connection_.reset();
  registry_.lost();
  unreadable_.clear();
  audit_timer_.cancel();
  for (auto& [uuid, tracked] : tracked_) {
    tracked.reading = false;
    tracked.again = false;
    auto waiting = std::move(tracked.waiting);
    for (auto& next : tracked.next) waiting.push_back(std::move(next));
    tracked.waiting.clear();
    tracked.next.clear();
    for (auto& call : waiting) boost::asio::post(loop_, [alive = std::weak_ptr<int>(life_), call = std::move(call)] {
        if (alive.lock()) call();
      });
  }
  if (trouble_ != why) log_.write(Level::warning, "", "libvirt (" + config_.uri + ") can't be used: " + why);
  trouble_ = why;
  if (std::exchange(usable_told_, false)) {
    if (listener_ != nullptr) listener_->hypervisor_changed(false);
    tell();
  }
  retry();
}

void LibvirtHypervisor::retry() {
  retry_timer_.expires_after(backoff_);
  backoff_ = std::min(backoff_ * 2, longest_backoff);
  retry_timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (!error && life.lock() && running_) connect();
  });
}

}  // namespace migrationd::io
