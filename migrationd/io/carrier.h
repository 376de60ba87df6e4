// SPDX-License-Identifier: GPL-2.0-or-later
// The transport "migrationd": libvirt's own conversation, the guest's memory and its disks go through unix sockets that two
// daemons carry to each other, each stream in a TLS connection of its own on the daemons' one port.
//
//   libvirt --libvirt.sock--> daemon ==TLS==> daemon --> libvirt          at the source: CarriedMigration, here
//   QEMU ----memory.sock----> daemon ==TLS==> daemon --memory.sock--> QEMU    at the destination: arrivals, in Carrier
//
// Connection N is there from end to end before connection N+1 is accepted: QEMU's parallel streams tell the first one
// from the others by nothing else. What a stream may do at the destination is said by its ticket: the claim that this node
// has open, journalled; a claim is good for one migration, and for none once the daemon that made it has ended.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/engine/world.h"
#include "migrationd/io/carried-migration.h"
#include "migrationd/io/carried-place.h"
#include "migrationd/io/emulator.h"
#include "migrationd/io/loop-door.h"
#include "migrationd/io/node-link.h"
#include "migrationd/io/stream-pump.h"

namespace migrationd::io {

struct CarrierSettings {
  CarriedPlace place;
  std::string libvirt_uri;
  std::string pid_directory = libvirt_pid_directory;
  /// libvirt's capabilities; empty: not known (yet).
  std::function<std::string()> capabilities;
  /// Whether a copy of the domain may come from that node for that attempt, now; else why not.
  std::function<Outcome(const DomainUuid& domain, const NodeName& from, Attempt attempt)> awaited;
  /// This daemon's. Which claims of an earlier one were used is not known any more, so none of them is good for a migration: the
  /// next claim is.
  std::uint64_t incarnation = 0;
  /// Tests make them shorter.
  Milliseconds look_every{1000};
  Milliseconds prepare_within{30'000};  ///< from the first stream until libvirt's Prepare is answered
  Milliseconds without_link{20'000};    ///< a node whose link is down for so long has its streams ended
};

/// The pumps of one migration, each until its end.
class StreamSet {
 public:
  StreamSet(boost::asio::io_context& loop, engine::Log& log, DomainUuid domain);
  ~StreamSet();
  /// `ended`: on the loop, after the stream has been taken out; `why` is empty when it ended in order.
  void add(StreamPump::Ends ends, std::string what, std::function<void(std::string why)> ended);
  bool empty() const { return pumps_.empty(); }
  std::size_t size() const { return pumps_.size(); }
  /// Ends all of them soon.
  void stop();

 private:
  std::shared_ptr<LoopDoor> door_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);  ///< what is posted already when this ends finds it gone
  engine::Log& log_;
  DomainUuid domain_;
  std::list<std::unique_ptr<StreamPump>> pumps_;
};

class Carrier : public StreamReceiver, public MigrationCarrier {
 public:
  Carrier(boost::asio::io_context& loop, CarrierSettings settings, NodeLink& link, engine::Log& log);
  ~Carrier() override;

  Result<std::shared_ptr<CarriedMigration>> depart(const DomainUuid& domain, const engine::MigrateOrder& order,
                                                   std::shared_ptr<Emulator> emulator) override;
  const std::string& streams() const override { return settings_.place.streams(); }
  void let_run(const DomainUuid& domain, const NodeName& from, Attempt attempt) override;

  Result<std::unique_ptr<StreamEnd>> receive_stream(const NodeName& from, const wire::Carry& carry) override;

 private:
  struct Arrival;
  class ArrivingStream;
  using Arrivals = std::map<std::string, std::shared_ptr<Arrival>>;  ///< by the migration's name
  Result<Fd> to_libvirt(const NodeName& from, const wire::Carry& carry);
  Result<Fd> to_emulator(const NodeName& from, const wire::Carry& carry);
  void begin(Arrival& arrival, wire::CarriedStream stream, Fd local, SecureStream remote);
  void ended(const std::string& migration);
  void look();  ///< at migrations whose time, claim or node is gone, as long as there are any
  bool lost(const NodeName& node);

  boost::asio::io_context& loop_;
  CarrierSettings settings_;
  NodeLink& link_;
  engine::Log& log_;
  Arrivals arrivals_;
  std::vector<std::weak_ptr<CarriedMigration>> departures_;
  std::map<NodeName, std::chrono::steady_clock::time_point> unlinked_;  ///< since when, as far as seen
  boost::asio::steady_timer look_timer_;
  bool looking_ = false;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
  std::map<DomainUuid, Attempt> used_;  ///< the newest claim that a migration came for
};

}  // namespace migrationd::io
