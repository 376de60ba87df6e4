// SPDX-License-Identifier: GPL-2.0-or-later
// engine::DeadMan: armed per offer, outside the daemon, so that an offer ends also when the daemon is killed and
// never comes back. Where systemd is pid 1 it is a transient timer (a process of ours would die with the unit's
// control group); elsewhere a small process in a session of its own that waits on CLOCK_BOOTTIME and then does
// `migrationd --direct dead-man UUID`, by the daemon's own configuration and places, wherever these are. It is recorded
// in RUNTIME_DIR/dead-man/UUID as "PID START-TIME".
#pragma once

#include <string>

#include <boost/asio/io_context.hpp>

#include "migrationd/engine/world.h"
#include "migrationd/io/blocking-calls.h"

namespace migrationd::io {

struct DeadManConfig {
  std::string program;      ///< absolute path of migrationd
  std::string state_dir = "/var/lib/migrationd";
  std::string runtime_dir = "/run/migrationd";
  bool systemd = false;     ///< see systemd_is_init()
  std::string config;       ///< absolute path of the daemon's configuration; empty: the default one
};

/// sd_booted(3): the directory /run/systemd/system exists.
bool systemd_is_init();

class DeadManProcess : public engine::DeadMan {
 public:
  DeadManProcess(boost::asio::io_context& loop, DeadManConfig config, engine::Log& log);
  /// Replaces an earlier one of the domain, also of an earlier life of the daemon.
  void arm(const DomainUuid& uuid, Milliseconds after, engine::Callback<Outcome> done) override;
  void disarm(const DomainUuid& uuid) override;

 private:
  void run(const DomainUuid& uuid, const std::string& what, std::function<Outcome()> work, engine::Callback<Outcome> done);
  DeadManConfig config_;
  engine::Log& log_;
  BlockingCalls calls_;
};

/// The body of `--direct dead-man-timer`: leaves its parent (who returns from here only by exiting), records
/// itself, and returns after `after` of CLOCK_BOOTTIME.
Outcome wait_as_dead_man(const DomainUuid& uuid, Milliseconds after, const std::string& runtime_dir);

/// Ends the recorded process of `uuid`, verified by its start time. Nothing recorded is success. Blocks.
Outcome end_dead_man(const DomainUuid& uuid, const std::string& runtime_dir);

}  // namespace migrationd::io
