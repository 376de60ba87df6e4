// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands that change the cluster say, a line at once, so that an interrupt loses nothing of it.
#pragma once

#include <iostream>
#include <string>

#include "migrationctl/status-view.h"

namespace migrationctl {

inline void say(const std::string& text) { std::cout << harmless(text) << std::endl; }
inline void complain(const std::string& text) { std::cerr << "migrationctl: " << harmless(text) << std::endl; }

/// As Pacemaker names it.
inline std::string agent(const std::string& provider) { return "ocf:" + provider + ":VirtualDomain"; }

template <class List>
std::string joined(const List& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace migrationctl
