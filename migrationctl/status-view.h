// SPDX-License-Identifier: GPL-2.0-or-later
// What the daemon says of itself (migrationd/io/status-json.h), read and laid out for people. Pure: text in, text
// out, so that every table can be tested without a daemon or a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"

namespace migrationctl {

using migrationd::Milliseconds;
using migrationd::Result;

/// One of the daemon's recent decisions about a domain.
struct Remark {
  Milliseconds ago{0};
  std::string text;
  bool alarm = false;
};

/// How far a migration from here has come; 0: not known (yet).
struct Job {
  Milliseconds elapsed{0};
  std::uint64_t total_bytes = 0;
  std::uint64_t remaining_bytes = 0;   ///< of this pass over the memory
  std::uint64_t bytes_per_second = 0;
  std::uint64_t iteration = 0;         ///< the pass
  std::string plan;                    ///< why the job is steered as it is; may be empty
  bool operator==(const Job&) const = default;
};

struct Domain {
  std::string name;
  std::string resource;   ///< empty: not a resource here
  std::string phase;      ///< the hand-off's words: held, offered, moving, ...
  std::string here;       ///< what the hypervisor shows: running, absent, ...
  std::string detail;     ///< the same in its own words; may be empty
  bool healthy = false;
  std::string peer;       ///< moving, given: who gets it
  std::string holder;     ///< who held it last, as far as is known
  std::string definition_from;  ///< why it is not that of the file `config`; empty: it is
  std::string moved_to;   ///< who got it live when it left this node last
  std::optional<Milliseconds> offer_left;
  std::string doubt;
  std::optional<Job> job;
  std::string real_stop;  ///< explain: why a stop now would end it whatever the cluster manager means; empty: that decides
  std::vector<Remark> history;
};

struct Peer {
  std::string node;
  bool linked = false;
  bool member = false;
  bool farewell = false;
};

struct Status {
  std::string node;
  std::string cluster;
  std::string hypervisor;
  std::vector<std::string> warnings;
  std::vector<Domain> domains;
  std::vector<Peer> peers;
};

/// Fields that are missing stay empty, those that are unknown are passed over: the daemon may be of another version.
/// Errors: no JSON object, or a field of another type than ours.
Result<Status> read_status(const std::string& json);
Result<Domain> read_domain(const std::string& json);
/// What was forgotten: the domains.
Result<std::vector<std::string>> read_forgotten(const std::string& json);
/// What a destination answered to "would you take it", and what the daemon here knows of the way there.
struct Ready {
  migrationd::Outcome ready;           ///< or the reason why not
  std::optional<Milliseconds> takes{}; ///< the migration, as predicted; nothing: not known
  std::optional<int> priority{};       ///< nothing: not said
};
Result<Ready> read_ready(const std::string& json);

/// Rows of cells, which may be in UTF-8.
using Table = std::vector<std::vector<std::string>>;

/// A line for each row, its cells in columns. `width`: longer lines are cut to so many columns; 0: never.
std::string table_text(const Table& table, std::size_t width);

/// Tables of domains, migrations and links, warnings first. `width`: longer lines are cut to so many columns; 0: never.
std::string status_text(const Status& status, std::size_t width);
/// What became different, one line each; without `before` the whole state in that form. An offer's time that passes
/// is no change; a migration's progress is one.
std::vector<std::string> changes(const std::optional<Status>& before, const Status& after);
/// A domain's state and its recent decisions, the newest last.
std::string domain_text(const Domain& domain, const std::string& node);

/// How far the migration has come in this pass, 0 to 100; 0: not known yet.
unsigned percent_of(const Job& job);
/// "12 s", "3 min 20 s", "2 h 5 min".
std::string duration_text(Milliseconds time);
/// "640 KiB", "34 MiB", "12 GiB".
std::string size_text(std::uint64_t bytes);
/// Without what a terminal would obey, because a domain's name may hold anything.
std::string harmless(const std::string& text);

}  // namespace migrationctl
