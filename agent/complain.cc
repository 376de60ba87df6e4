// SPDX-License-Identifier: GPL-2.0-or-later
// What the agent says to people, without the weight of iostream.
#include <unistd.h>

#include <string>

#include "agent/faces.h"

namespace migrationd::agent {

void complain(std::string_view prefix, std::string_view text) {
  std::string line(prefix);
  line += text;
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  line += '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace migrationd::agent
