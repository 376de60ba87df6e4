// SPDX-License-Identifier: GPL-2.0-or-later
// See terminal.h.
#include "migrationctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace migrationctl {

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace migrationctl
