// SPDX-License-Identifier: GPL-2.0-or-later
// The commands of migrationctl. Each has a file of its own and adds itself to the program: its options, its help, and
// what to do when it is the one that was typed.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace migrationctl {

/// Exit codes of the program; CLI11's own errors become `usage`.
inline constexpr int success = 0;
inline constexpr int failed = 1;
inline constexpr int usage = 2;

/// Set by the chosen command's callback; run after the whole command line was accepted.
using Chosen = std::function<int()>;

void add_adopt(CLI::App& program, Chosen& chosen);
void add_alarms(CLI::App& program, Chosen& chosen);
void add_evacuate(CLI::App& program, Chosen& chosen);
void add_events(CLI::App& program, Chosen& chosen);
void add_explain(CLI::App& program, Chosen& chosen);
void add_forget(CLI::App& program, Chosen& chosen);
void add_keygen(CLI::App& program, Chosen& chosen);
void add_plan(CLI::App& program, Chosen& chosen);
void add_return(CLI::App& program, Chosen& chosen);
void add_status(CLI::App& program, Chosen& chosen);
void add_watch(CLI::App& program, Chosen& chosen);

}  // namespace migrationctl
