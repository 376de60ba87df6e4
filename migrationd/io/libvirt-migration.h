// SPDX-License-Identifier: GPL-2.0-or-later
// One migration job of LibvirtHypervisor, from the order until its end is certain.
#pragma once

#include <atomic>
#include <memory>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/converge/planner.h"
#include "migrationd/io/carried-migration.h"
#include "migrationd/io/emulator-exit.h"
#include "migrationd/io/libvirt-hypervisor.h"
#include "migrationd/io/migration-end.h"

namespace migrationd::io {

/// Lives on the loop; owned by LibvirtHypervisor::jobs_ until it has ended.
class MigrationJob : public std::enable_shared_from_this<MigrationJob> {
 public:
  MigrationJob(LibvirtHypervisor& hypervisor, const DomainUuid& uuid, std::shared_ptr<Emulator> emulator,
               const engine::MigrateOrder& order, engine::Callback<engine::MigrationEnd> done);
  /// Begins a job.
  void order(const engine::MigrateOrder& order);
  /// Does not begin it: it ends as one that failed for that reason, by what the domain is like now.
  void refuse(const std::string& why);
  /// It was told to end. One that is carried and does not is cut off after a while: what hangs at the destination can't hold it.
  void aborted();
  /// Orders the switch to post-copy; from then on it is not aborted. Error: it was refused, and will not come.
  void start_post_copy(engine::Callback<Outcome> done);
  bool may_be_aborted() const { return switch_ == Switch::none; }
  Attempt attempt() const { return attempt_; }
  /// The destination was told that the domain is its own.
  void given();
  /// Whether it was begun here.
  bool ordered() const { return facts_.call != JobFacts::Call::none; }
  const NodeName& to() const { return to_; }
  /// Follows one that runs already, and aborts it after `limit`.
  void watch(Milliseconds limit);
  /// Why it is steered as it is; empty: it is not, or not yet.
  const std::string& plan() const { return advice_.reason; }
  /// An event of this domain.
  void event(const DomainEvent& event);

 private:
  void watch_emulator();
  void watch_exit();  ///< of the emulator, from the switchover on
  void returned(Outcome outcome);
  void next_pass(int number);  ///< its figures are asked for, and the planner
  void steer(const JobProgress& progress);
  void set_downtime();  ///< as advised, unless it is so already
  void abort_at(Milliseconds limit);
  void want_switch();
  void order_switch();
  void switch_answered(Result<std::string> refusal);
  void say(PostCopyGate::Word word);
  void poll();       ///< reads the domain every 100 ms, when the call no longer speaks for it
  void judge();
  void log(engine::Log::Level level, const std::string& text);

  LibvirtHypervisor& hypervisor_;
  DomainUuid uuid_;
  std::shared_ptr<Emulator> emulator_;
  engine::Callback<engine::MigrationEnd> done_;
  JobFacts facts_;
  NodeName to_;
  std::uint64_t bytes_per_second_ = 0;  ///< the last rate of the transfer; 0: not known
  Milliseconds most_downtime_;     ///< 0: the usual one
  converge::Planner planner_;
  converge::Advice advice_;        ///< the last one
  JobProgress rated_from_;         ///< the transfer's rate is taken since these
  enum class Asking { no, yes, and_again } asking_ = Asking::no;
  int pass_ = 0;                   ///< the newest
  Milliseconds downtime_{0};       ///< the target that libvirt took; 0: not known
  bool setting_downtime_ = false;
  bool out_of_time_ = false;       ///< it was aborted for that
  bool polling_ = false;
  boost::asio::posix::stream_descriptor death_;
  std::shared_ptr<std::atomic<bool>> may_kill_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<EmulatorExit> exit_;  ///< from the switchover on
  boost::asio::steady_timer patience_;
  boost::asio::steady_timer limit_;
  boost::asio::steady_timer cut_;
  std::weak_ptr<CarriedMigration> carried_;
  bool aborted_ = false;
  Attempt attempt_;
  const bool post_copy_;           ///< it was begun so that it can go over to it
  enum class Switch { none, ordered, seen } switch_ = Switch::none;
  engine::Callback<Outcome> switch_done_;
  boost::asio::steady_timer switch_again_;
  std::optional<std::chrono::steady_clock::time_point> ends_;  ///< when it is aborted
  boost::asio::steady_timer poll_;
};

}  // namespace migrationd::io
