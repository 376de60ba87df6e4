// SPDX-License-Identifier: GPL-2.0-or-later
// The agent's actions in one shot, without the daemon: `migrationd --direct ACTION`. Only what is safe alone:
// monitor, stop, validate-all, and the dead-man that ends an offer whose daemon never came back. There is no
// start: without the daemon nobody can prove that the domain is absent elsewhere.
#pragma once

#include <map>
#include <string>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"
#include "migrationd/io/direct-look.h"
#include "migrationd/io/journal-record.h"
#include "migrationd/resource/parameters.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::io {

struct DirectPlaces {
  std::string state_dir = "/var/lib/migrationd";
  std::string runtime_dir = "/run/migrationd";
  std::string pid_directory = libvirt_pid_directory;
  std::string libvirt_uri = "qemu:///system";  ///< of a resource that does not name its hypervisor
};

struct DirectAnswer {
  wire::OcfCode code = wire::OcfCode::error;
  std::string reason;  ///< for ocf-exit-reason; on success only a stop's complaint about its configuration
};

/// `parameters`: without the prefix OCF_RESKEY_. `timeout`: of the action; 0: unknown (then 60 s).
/// Actions: monitor, status, stop, validate-all. Blocks; never longer than about `timeout`. `face`: the agent's, ocf or lsb.
/// A stop is carried out whatever is wrong in its parameters or definition: by those that are good, else by the resource's
/// record, else by the parameter `name`, else, in an init script, by the resource's name. What is not known by any of these is
/// not stopped, which is a success, as the daemon says too: should it run here all the same, no other node boots it before
/// this node's daemon has said that it does not, or the node is fenced.
DirectAnswer direct(const std::string& action, const std::string& resource, const std::string& face,
                    const std::map<std::string, std::string>& parameters, Milliseconds timeout, const DirectPlaces& places);

/// Really stops the domain once its offer has expired and no daemon holds the journal's lock. Blocks for as long
/// as there is an offer (also one being moved or really stopped): a daemon that lives now may be killed later.
DirectAnswer dead_man(const DomainUuid& uuid, const DirectPlaces& places);

/// `migrationd --direct ARGUMENTS...`: ACTION | dead-man UUID | dead-man-timer UUID MILLISECONDS, and
/// --state-dir=, --runtime-dir=, --pid-dir=, which go before `places`. Parameters come from the environment. Returns
/// the exit code.
int direct_main(int argc, char** argv, DirectPlaces places);

// --- pieces of the above (direct-stop.cc) ---

struct StopOrder {
  DirectDomain domain;
  bool at_once = false;              ///< destroy without asking the guest
  bool post_copy = false;            ///< its migration may be in post-copy
  std::string shutdown_mode;
  Milliseconds shutdown_time{0};     ///< how long the guest is given
  Milliseconds time{0};              ///< all in all
};

/// Aborts a migration that leaves from here, asks the guest, destroys, and verifies: ok only when it is proven
/// absent, or only a copy that does not execute is here.
Outcome stop_directly(const StopOrder& order, const DirectPlaces& places);

}  // namespace migrationd::io
