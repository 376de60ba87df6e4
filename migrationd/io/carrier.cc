// SPDX-License-Identifier: GPL-2.0-or-later
// The destination's end of carried migrations, and what both ends have in common. The source's: carried-migration.cc.
#include "migrationd/io/carrier.h"

#include <algorithm>
#include <system_error>

#include "migrationd/io/arrival-guard.h"
#include "migrationd/io/unix-peer.h"

namespace migrationd::io {

using Level = engine::Log::Level;

namespace {
/// QEMU's parallel ones, 255 at most, the first one and a few disks.
constexpr std::size_t streams_most = 300;
}  // namespace

// ---------------------------------------------------------------- StreamSet

StreamSet::StreamSet(boost::asio::io_context& loop, engine::Log& log, DomainUuid domain)
    : door_(std::make_shared<LoopDoor>(loop)), log_(log), domain_(domain) {}

StreamSet::~StreamSet() {
  door_->close();
  for (const auto& pump : pumps_) pump->stop();  // all, before the first is waited for
}

void StreamSet::stop() {
  for (const auto& pump : pumps_) pump->stop();
}

void StreamSet::add(StreamPump::Ends ends, std::string what, std::function<void(std::string)> ended) {
  const auto at = pumps_.emplace(pumps_.end());
  auto on_loop = [this, life = std::weak_ptr<int>(life_), at, what, ended](const std::string& why) {
    if (!life.lock()) return;
    pumps_.erase(at);
    log_.write(why.empty() ? Level::debug : Level::info, domain_.str(), what + " has ended" + (why.empty() ? "" : ": " + why));
    ended(why);
  };
  try {
    *at = std::make_unique<StreamPump>(std::move(ends), [door = door_, on_loop](std::string why) {
      door->post([on_loop, why = std::move(why)] { on_loop(why); });
    });
  } catch (const std::system_error& no_thread) {
    pumps_.erase(at);
    log_.write(Level::warning, domain_.str(), what + " can't be carried: " + no_thread.what());
    ended(no_thread.what());
  }
}

// ---------------------------------------------------------------- the destination

/// One migration that comes in.
struct Carrier::Arrival {
  Arrival(boost::asio::io_context& loop, engine::Log& log, NodeName from, wire::Carry ticket)
      : from(std::move(from)), ticket(std::move(ticket)), streams(loop, log, this->ticket.domain) {}
  bool same(const NodeName& node, const wire::Carry& carry) const {
    return node == from && carry.domain == ticket.domain && carry.attempt == ticket.attempt;
  }
  NodeName from;
  wire::Carry ticket;
  std::shared_ptr<Prepared> prepared = std::make_shared<Prepared>();
  StreamSet streams;
  const std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  int opening = 0;  ///< streams that are being set up
};

class Carrier::ArrivingStream : public StreamEnd {
 public:
  ArrivingStream(Carrier& carrier, const std::shared_ptr<Arrival>& arrival, wire::CarriedStream stream, Fd local)
      : carrier_(carrier), arrival_(arrival), stream_(stream), local_(std::move(local)) {
    ++arrival->opening;
  }
  ~ArrivingStream() override {
    const auto arrival = arrival_.lock();  // null: the carrier is gone
    if (!arrival) return;
    --arrival->opening;
    carrier_.ended(arrival->ticket.migration);
  }
  void begin(SecureStream remote) override {
    if (const auto arrival = arrival_.lock()) carrier_.begin(*arrival, stream_, std::move(local_), std::move(remote));
  }

 private:
  Carrier& carrier_;
  std::weak_ptr<Arrival> arrival_;
  wire::CarriedStream stream_;
  Fd local_;
};

Carrier::Carrier(boost::asio::io_context& loop, CarrierSettings settings, NodeLink& link, engine::Log& log)
    : loop_(loop), settings_(std::move(settings)), link_(link), log_(log), look_timer_(loop) {
  link_.receive_streams(this);
}

Carrier::~Carrier() {
  link_.receive_streams(nullptr);
  for (const auto& [migration, arrival] : arrivals_) settings_.place.remove(migration);
  settings_.place.close();
}

Result<std::unique_ptr<StreamEnd>> Carrier::receive_stream(const NodeName& from, const wire::Carry& carry) {
  if (carry.place != settings_.place.streams())
    return Error{"the sockets of migrations lie in " + settings_.place.streams() + " here and in " + carry.place + " on " + from +
                 ": set the same runtime_dir on both nodes"};
  auto local = carry.stream == wire::CarriedStream::libvirt ? to_libvirt(from, carry) : to_emulator(from, carry);
  if (!local.ok()) return Error{local.error()};
  return std::unique_ptr<StreamEnd>(std::make_unique<ArrivingStream>(*this, arrivals_.at(carry.migration), carry.stream, std::move(local.value())));
}

Result<Fd> Carrier::to_libvirt(const NodeName& from, const wire::Carry& carry) {
  const auto used = used_.find(carry.domain);
  if (arrivals_.contains(carry.migration) || (used != used_.end() && carry.attempt <= used->second))
    return Error{"a migration has come for this claim before"};
  if (carry.attempt.incarnation != settings_.incarnation)
    return Error{"the claim is that of an earlier daemon of this node, which may have used it: " + from + " is asked anew"};
  if (auto awaited = settings_.awaited(carry.domain, from, carry.attempt); !awaited) return Error{awaited.error()};
  auto socket = connect_to(libvirt_socket(settings_.libvirt_uri));
  if (!socket.ok()) return Error{"the libvirt of this node: " + socket.error()};
  if (auto made = settings_.place.make(carry.migration, 0700); !made) return Error{made.error()};
  used_[carry.domain] = carry.attempt;
  arrivals_[carry.migration] = std::make_shared<Arrival>(loop_, log_, from, carry);
  if (!looking_) look();
  return socket;
}

Result<Fd> Carrier::to_emulator(const NodeName& from, const wire::Carry& carry) {
  const auto found = arrivals_.find(carry.migration);
  if (found == arrivals_.end() || !found->second->same(from, carry)) return Error{"no such migration has begun"};
  const auto emulator = found->second->prepared->emulator();
  if (found->second->prepared->domain_name().empty()) return Error{"its emulator does not listen yet"};
  if (found->second->streams.size() >= streams_most) return Error{"it has " + std::to_string(streams_most) + " streams already"};
  auto socket = connect_to(settings_.place.socket(carry.migration, carry.stream));
  if (!socket.ok()) return socket;
  // Another process of the same user could have been quicker than the emulator.
  const auto listener = peer_of(socket.value().get());
  if (!listener || !emulator || emulator->dead() || listener->pid != emulator->pid()) return Error{"it is not the domain's emulator that listens"};
  return socket;
}

void Carrier::begin(Arrival& arrival, wire::CarriedStream stream, Fd local, SecureStream remote) {
  StreamPump::Ends ends{std::move(local), std::move(remote), false, nullptr};
  const wire::Carry& ticket = arrival.ticket;
  const bool talk = stream == wire::CarriedStream::libvirt;
  if (talk) {
    ends.guard = std::make_unique<ArrivalGuard>(
        ArrivalGuard::Ticket{ticket.domain, ticket.migration, settings_.place, settings_.capabilities ? settings_.capabilities() : "", settings_.pid_directory},
        arrival.prepared);
  }
  const std::string what = std::string("the stream (") + wire::to_string(stream) + ") from " + arrival.from;
  arrival.streams.add(std::move(ends), what, [this, migration = ticket.migration, domain = ticket.domain, what](const std::string& why) {
    if (!why.empty()) log_.write(Level::warning, domain.str(), what + " was ended: " + why);
    ended(migration);
  });
}

void Carrier::let_run(const DomainUuid& domain, const NodeName& from, Attempt attempt) {
  for (const auto& [migration, arrival] : arrivals_) {
    const wire::Carry& ticket = arrival->ticket;
    if (arrival->from == from && ticket.domain == domain && ticket.attempt == attempt) arrival->prepared->gate().say(PostCopyGate::Word::run);
  }
}

bool Carrier::lost(const NodeName& node) {
  if (link_.linked(node)) {
    unlinked_.erase(node);
    return false;
  }
  const auto now = std::chrono::steady_clock::now();
  return now - unlinked_.try_emplace(node, now).first->second >= settings_.without_link;
}

void Carrier::look() {
  std::erase_if(departures_, [](const auto& one) { return one.expired(); });
  if (arrivals_.empty() && departures_.empty()) {
    unlinked_.clear();
    looking_ = false;
    return;
  }
  looking_ = true;
  for (const auto& [migration, arrival] : arrivals_) {
    const bool prepared = !arrival->prepared->domain_name().empty();
    std::string why;
    if (lost(arrival->from)) why = "the link to " + arrival->from + " is down";
    if (!prepared)
      if (auto awaited = settings_.awaited(arrival->ticket.domain, arrival->from, arrival->ticket.attempt); !awaited) why = awaited.error();
    if (!prepared && std::chrono::steady_clock::now() - arrival->begun >= settings_.prepare_within) why = "libvirt's Prepare has not been answered in time";
    if (why.empty()) continue;
    log_.write(Level::warning, arrival->ticket.domain.str(), "the migration that " + arrival->from + " began is cut off: " + why);
    arrival->streams.stop();
  }
  for (const auto& one : departures_)
    if (const auto departing = one.lock(); departing && lost(departing->to())) departing->cut("the link to " + departing->to() + " is down");
  look_timer_.expires_after(settings_.look_every);
  look_timer_.async_wait([this, life = std::weak_ptr<int>(life_)](boost::system::error_code code) {
    if (!code && life.lock()) look();
  });
}

void Carrier::ended(const std::string& migration) {
  const auto found = arrivals_.find(migration);
  if (found == arrivals_.end() || !found->second->streams.empty() || found->second->opening > 0) return;
  settings_.place.remove(migration);
  arrivals_.erase(found);
}

}  // namespace migrationd::io
