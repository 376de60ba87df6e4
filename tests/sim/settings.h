// SPDX-License-Identifier: GPL-2.0-or-later
// How long things take in the simulated world, and what it can do. All times in milliseconds.
#pragma once

#include "tests/sim/event-queue.h"

namespace migrationd::sim {

struct Settings {
  // the network
  Time latency = 5;
  Time link_timeout = 4000;   ///< until a daemon notices a dead link
  Time reconnect = 500;
  Time member_timeout = 2000;  ///< until the cluster drops a silent node
  Time member_join = 1000;
  // the hypervisor
  Time event_lag = 1;          ///< from a change to the daemon's view of it
  Time call = 10;
  Time boot = 500;
  Time copy = 2000;
  Time keepalive = 3000;       ///< until libvirt gives a broken migration up
  Time notice = 3000;          ///< until a hung libvirtd is taken for silent
  Time call_deadline = 10'000;
  Time guest_shutdown = 2000;
  Time listing = 100;
  bool resume_on_lost_answer = true;  ///< what libvirt does at the source when the finish's answer is lost
  std::uint64_t memory_kib = 4 * 1024 * 1024;
  // disk
  Time journal = 5;
  // the cluster manager
  bool manager = true;            ///< without it no node sees another as a member, and no quorum is asked for
  Time intent = 30;
  Time tell = 50;                 ///< until it was told of a failure, or to keep something off
  bool told = true;               ///< it listens to that
  bool stay_off_kept = true;
  bool fencing_fails = false;     ///< where it is not possible: it is configured, but no device answers
  bool dead_man = true;           ///< it can be armed
  bool fencing = true;
  Time fence = 3000;
  Time reboot = 15'000;        ///< from a fencing to the node's next boot; 0: it stays off
  // the resource
  Time handoff_timeout = 120'000;
  bool unfenced_membership = false;
  bool config_files = false;  ///< the resources name a file of their definition, which a node may not have
  bool post_copy = false;      ///< it is consented to
};

}  // namespace migrationd::sim
