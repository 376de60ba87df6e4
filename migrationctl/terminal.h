// SPDX-License-Identifier: GPL-2.0-or-later
// What a command must know of the terminal that it prints to.
#pragma once

#include <cstddef>

namespace migrationctl {

/// Columns of standard output; 0: it is no terminal, or does not say.
std::size_t terminal_width();

}  // namespace migrationctl
