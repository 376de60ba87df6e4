// SPDX-License-Identifier: GPL-2.0-or-later
// The look at one domain without the daemon: through libvirt, and from the emulator's process when libvirt is down.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "migrationd/handoff/handoff.h"
#include "migrationd/io/emulator.h"
#include "migrationd/io/libvirt-connection.h"

namespace migrationd::io {

/// Runs a blocking call in a thread of its own for at most `limit`; a call that hangs is left behind (the
/// process ends soon). `work` must own all it uses.
template <class T>
Result<T> within(Milliseconds limit, const std::string& what, std::function<Result<T>()> work) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  std::future<Result<T>> answer = promise->get_future();
  std::thread([promise, work = std::move(work)] { promise->set_value(work()); }).detach();
  if (answer.wait_for(limit) != std::future_status::ready)
    return Error{what + ": no answer within " + std::to_string(limit.count()) + " ms (libvirtd hangs?)"};
  return answer.get();
}

struct DirectDomain {
  DomainUuid uuid;
  std::string name;
  std::string uri;  ///< libvirt's
};

struct DirectLook {
  handoff::Here here = handoff::Here::unknown;
  bool healthy = false;
  bool job = false;                     ///< a migration job leaves from here
  std::string detail;
  Connection connection;                ///< empty: libvirt can't be used
  std::shared_ptr<Emulator> emulator;   ///< the living one, if it is known
};

/// Blocks for at most about `limit`. Absent is only said when it is proven: libvirt lists neither the UUID nor the
/// name and no emulator lives, or libvirt is down (not hung) and no emulator that its pid files name has the UUID.
/// For Xen, whose guests vanish while they reboot, absence must last 5 s.
DirectLook look_directly(const DirectDomain& domain, const std::string& pid_directory, Milliseconds limit);

}  // namespace migrationd::io
