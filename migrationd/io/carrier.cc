// SPDX-License-Identifier: GPL-2.0-or-later
// The destination's end of carried migrations, and what both ends have in common. The source's: carried-migration.cc.
#include "migrationd/io/carrier.h"

#include <algorithm>

#include "migrationd/io/arrival-guard.h"
#include "migrationd/io/unix-peer.h"

namespace migrationd::io {

using Level = engine::Log::Level;

// ---------------------------------------------------------------- StreamSet

StreamSet::StreamSet(boost::asio::io_context& loop, engine::Log& log, DomainUuid domain)
    : door_(std::make_shared<LoopDoor>(loop)), log_(log), domain_(domain) {}

StreamSet::~StreamSet() {
  door_->close();
  for (const auto& pump : pumps_) pump->stop();  // all, before the first is waited for
}

void StreamSet::add(StreamPump::Ends ends, std::string what, std::function<void(std::string)> ended) {
  pumps_.emplace_back();
  const auto at = std::prev(pumps_.end());
  auto on_loop = [this, at, what = std::move(what), ended = std::move(ended)](const std::string& why) {
    pumps_.erase(at);
    log_.write(Level::debug, domain_.str(), what + " has ended" + (why.empty() ? "" : ": " + why));
    ended(why);
  };
  *at = std::make_unique<StreamPump>(std::move(ends), [door = door_, on_loop = std::move(on_loop)](std::string why) {
    door->post([on_loop, why = std::move(why)] { on_loop(why); });
  });
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
    : loop_(loop), settings_(std::move(settings)), link_(link), log_(log) {
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
  if (auto awaited = settings_.awaited(carry.domain, from, carry.attempt); !awaited) return Error{awaited.error()};
  auto socket = connect_to(libvirt_socket(settings_.libvirt_uri));
  if (!socket.ok()) return Error{"the libvirt of this node: " + socket.error()};
  if (auto made = settings_.place.make(carry.migration, 0700); !made) return Error{made.error()};
  used_[carry.domain] = carry.attempt;
  arrivals_[carry.migration] = std::make_shared<Arrival>(loop_, log_, from, carry);
  return socket;
}

Result<Fd> Carrier::to_emulator(const NodeName& from, const wire::Carry& carry) {
  const auto found = arrivals_.find(carry.migration);
  if (found == arrivals_.end() || !found->second->same(from, carry)) return Error{"no such migration has begun"};
  const std::string name = found->second->prepared->domain_name();
  if (name.empty()) return Error{"its emulator does not listen yet"};
  auto socket = connect_to(settings_.place.socket(carry.migration, carry.stream));
  if (!socket.ok()) return socket;
  // Another process of the same user could have been quicker than the emulator.
  const auto listener = peer_of(socket.value().get());
  const auto emulator = Emulator::find(settings_.pid_directory, name, carry.domain);
  if (!emulator.ok()) return Error{"its emulator can't be told: " + emulator.error()};
  if (!listener || !emulator.value() || listener->pid != emulator.value()->pid()) return Error{"it is not the domain's emulator that listens"};
  return socket;
}

void Carrier::begin(Arrival& arrival, wire::CarriedStream stream, Fd local, SecureStream remote) {
  StreamPump::Ends ends{std::move(local), std::move(remote), false, nullptr};
  const wire::Carry& ticket = arrival.ticket;
  const bool talk = stream == wire::CarriedStream::libvirt;
  if (talk) {
    ends.guard = std::make_unique<ArrivalGuard>(
        ArrivalGuard::Ticket{ticket.domain, ticket.migration, settings_.place, settings_.capabilities ? settings_.capabilities() : ""}, arrival.prepared);
  }
  const std::string what = std::string("the stream (") + wire::to_string(stream) + ") from " + arrival.from;
  arrival.streams.add(std::move(ends), what, [this, migration = ticket.migration, domain = ticket.domain, what, talk](const std::string& why) {
    if (talk && !why.empty()) log_.write(Level::warning, domain.str(), what + " was ended: " + why);
    ended(migration);
  });
}

void Carrier::ended(const std::string& migration) {
  const auto found = arrivals_.find(migration);
  if (found == arrivals_.end() || !found->second->streams.empty() || found->second->opening > 0) return;
  settings_.place.remove(migration);
  arrivals_.erase(found);
}

}  // namespace migrationd::io
