// SPDX-License-Identifier: GPL-2.0-or-later
// The source's end of a carried migration: listens where libvirt and QEMU connect, and carries each connection on.
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/io/carrier.h"
#include "migrationd/io/departure-guard.h"
#include "migrationd/io/unix-peer.h"

namespace migrationd::io {

namespace {

using Level = engine::Log::Level;
using wire::CarriedStream;
using boost::asio::local::stream_protocol;

constexpr std::chrono::milliseconds accept_again{200};

class Departing : public CarriedMigration, public std::enable_shared_from_this<Departing> {
 public:
  Departing(boost::asio::io_context& loop, CarriedPlace place, NodeLink& link, engine::Log& log, wire::Carry ticket, const engine::MigrateOrder& order, std::shared_ptr<Emulator> emulator)
      : loop_(loop), place_(std::move(place)), link_(link), log_(log), ticket_(std::move(ticket)), to_(order.to), via_(order.via),
        emulator_(std::move(emulator)), streams_(loop, log, ticket_.domain) {
    if (order.post_copy) gate_ = std::make_shared<PostCopyGate>();
  }
  ~Departing() override {
    boost::system::error_code ignored;
    for (const auto& acceptor : acceptors_) acceptor->close(ignored);
    place_.remove(ticket_.migration);
  }

  Outcome open() {
    struct stat process {};
    if (::stat(("/proc/" + std::to_string(emulator_->pid())).c_str(), &process) != 0) return Error{"its emulator has ended"};
    if (auto made = place_.make(ticket_.migration, 0711); !made) return made;
    for (const CarriedStream stream : {CarriedStream::libvirt, CarriedStream::memory, CarriedStream::disks}) {
      // Root connects in any case: a process of root's needs no permission.
      const Owner owner = stream == CarriedStream::libvirt ? Owner{0, 0} : Owner{process.st_uid, process.st_gid};
      auto socket = listen_at(place_.socket(ticket_.migration, stream), owner);
      if (!socket.ok()) return Error{socket.error()};
      acceptors_.push_back(std::make_shared<stream_protocol::acceptor>(loop_, stream_protocol(), socket.value().release()));
      accept(stream, acceptors_.back());
    }
    return Done{};
  }

  std::string libvirt_uri() const override {
    // A libvirt of one daemon per driver (virtqemud) connects from inside in no other mode.
    return "qemu+unix:///system?mode=direct&socket=" + place_.socket(ticket_.migration, CarriedStream::libvirt);
  }
  std::string memory_uri() const override { return "unix://" + place_.socket(ticket_.migration, CarriedStream::memory); }
  std::string disks_uri() const override { return "unix://" + place_.socket(ticket_.migration, CarriedStream::disks); }
  const std::string& trouble() const override { return trouble_; }
  const NodeName& to() const override { return to_; }
  void say(PostCopyGate::Word word) override {
    if (gate_) gate_->say(word);
  }
  void cut(const std::string& why) override {
    if (trouble_.empty()) trouble_ = why;
    boost::system::error_code ignored;
    for (const auto& acceptor : acceptors_) acceptor->close(ignored);
    streams_.stop();
  }

 private:
  using Acceptor = std::shared_ptr<stream_protocol::acceptor>;

  void accept(CarriedStream stream, const Acceptor& acceptor) {
    acceptor->async_accept([weak = weak_from_this(), stream, acceptor](boost::system::error_code code, stream_protocol::socket socket) {
      const auto self = weak.lock();
      if (!self || !acceptor->is_open()) return;
      if (code) return self->accept_later(stream, acceptor, code.message());
      boost::system::error_code ignored;
      self->came(stream, acceptor, Fd(socket.release(ignored)));
    });
  }

  /// Out of descriptors, say.
  void accept_later(CarriedStream stream, const Acceptor& acceptor, const std::string& why) {
    trouble(stream, "can't accept a connection: " + why);
    auto pause = std::make_shared<boost::asio::steady_timer>(loop_, accept_again);
    pause->async_wait([weak = weak_from_this(), stream, acceptor, pause](boost::system::error_code) {
      if (const auto self = weak.lock(); self && acceptor->is_open()) self->accept(stream, acceptor);
    });
  }

  void came(CarriedStream stream, const Acceptor& acceptor, Fd local) {
    const auto peer = peer_of(local.get());
    const bool own = peer && (peer->uid == 0 || (stream != CarriedStream::libvirt && peer->pid == emulator_->pid() && !emulator_->dead()));
    if (!own) {
      log_.write(std::exchange(complained_, true) ? Level::debug : Level::warning, ticket_.domain.str(),
                 "process " + (peer ? std::to_string(peer->pid) + " of user " + std::to_string(peer->uid) : std::string("?")) +
                     " tried to get into the migration to " + to_ + "; it was refused");
      return accept(stream, acceptor);
    }
    wire::Carry carry = ticket_;
    carry.stream = stream;
    auto end = std::make_shared<Fd>(std::move(local));
    link_.open_stream(to_, via_, carry, [weak = weak_from_this(), stream, acceptor, end](Result<SecureStream> opened) {
      const auto self = weak.lock();
      if (!self) return;
      if (!opened.ok()) {
        self->trouble(stream, opened.error());
        end->reset();
      } else {
        self->carry(stream, std::move(*end), std::move(opened.value()));
      }
      if (stream != CarriedStream::libvirt) self->accept(stream, acceptor);
    });
    if (stream == CarriedStream::libvirt) {  // one conversation with libvirt is all that a migration has
      boost::system::error_code ignored;
      acceptor->close(ignored);
      ::unlink(place_.socket(ticket_.migration, stream).c_str());
    }
  }

  void carry(CarriedStream stream, Fd local, SecureStream remote) {
    std::unique_ptr<StreamGuard> guard;
    if (stream == CarriedStream::libvirt && gate_) guard = std::make_unique<DepartureGuard>(gate_);
    streams_.add({std::move(local), std::move(remote), true, std::move(guard), stream == CarriedStream::memory && gate_ != nullptr}, std::string("the stream (") + wire::to_string(stream) + ") to " + to_,
                 [this, stream](const std::string& why) {
                   if (!why.empty()) trouble(stream, why);
                 });
  }

  void trouble(CarriedStream stream, const std::string& why) {
    if (trouble_.empty()) trouble_ = std::string("the stream (") + wire::to_string(stream) + ") to " + to_ + ": " + why;
  }

  boost::asio::io_context& loop_;
  CarriedPlace place_;
  NodeLink& link_;
  engine::Log& log_;
  wire::Carry ticket_;
  NodeName to_;
  std::string via_;
  std::shared_ptr<Emulator> emulator_;
  std::vector<Acceptor> acceptors_;
  std::shared_ptr<PostCopyGate> gate_;  ///< null: it can't go over to post-copy
  std::string trouble_;
  bool complained_ = false;
  StreamSet streams_;  ///< last: it ends first
};

}  // namespace

Result<std::shared_ptr<CarriedMigration>> Carrier::depart(const DomainUuid& domain, const engine::MigrateOrder& order, std::shared_ptr<Emulator> emulator) {
  if (!emulator) return Error{"the domain's emulator is not known"};
  auto name = new_migration_name();
  if (!name.ok()) return Error{name.error()};
  wire::Carry ticket{domain, order.attempt, name.value(), settings_.place.streams(), CarriedStream::libvirt};
  auto departing = std::make_shared<Departing>(loop_, settings_.place, link_, log_, std::move(ticket), order, std::move(emulator));
  if (auto opened = departing->open(); !opened) return Error{opened.error()};
  departures_.push_back(departing);
  if (!looking_) look();
  return std::shared_ptr<CarriedMigration>(std::move(departing));
}

}  // namespace migrationd::io
