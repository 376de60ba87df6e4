// SPDX-License-Identifier: GPL-2.0-or-later
// How a domain ended, read from what the hypervisor showed of its end. Whether an end was somebody's wish or a failure
// is decided here alone.
//
// What libvirt 9.0 shows (found by experiment):
//   guest's poweroff, virsh shutdown   shutdown by the guest, off
//   virsh destroy                      shutdown by a signal, destroyed
//   kill -15 of the emulator           shutdown by a signal, off
//   kill -9, an emulator that crashed  failed
//   panic                              panicked, then what on_crash wants
// The first shutdown counts: libvirt ends the emulator of a guest that powered off with a signal of its own.
#pragma once

#include <string>
#include <vector>

namespace migrationd::recovery {

/// One thing that was seen, since the guest last began to execute.
enum class Sign {
  guest_shut_down,  ///< the guest came to the end of its own shutdown
  signalled,        ///< the emulator was told to end by a signal
  panicked,         ///< the guest's kernel
  off,              ///< the emulator has ended, after a shutdown
  destroyed,        ///< ended by an order to the hypervisor
  crashed,
  migrated,
  saved,
  failed,           ///< the emulator has ended, and not in order
};

enum class Ending {
  powered_off,  ///< by the guest itself, or by an administrator's order to the hypervisor
  crashed,      ///< the guest, or its emulator; also when somebody killed that
  migrated,     ///< away from here
  saved,        ///< to a file, to go on from there
  unknown,
};

/// Whether one of the signs is an end, and not only what comes before it.
bool has_end(const std::vector<Sign>& signs);

/// `signs`: in the order in which they came. Without an end among them: unknown.
Ending how_it_ended(const std::vector<Sign>& signs);

/// After "it": "was powered off".
const char* in_words(Ending ending);

}  // namespace migrationd::recovery
