// SPDX-License-Identifier: GPL-2.0-or-later
// The daemon's log with its alarms and events: what is said passes here on its way to the log, and what people must look at is
// kept, counted, told once to the alert agents, and remembered over restarts.
//
//     engine, io -> AlarmDesk -> LogSink
//                     |-> AlarmBook -> the state directory, the agents
//                     `-> EventRing -> migrationctl events
//
// On the loop's thread; a line from another thread only reaches the log.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/alarms/book.h"
#include "migrationd/alarms/events.h"
#include "migrationd/engine/log.h"
#include "migrationd/io/alert-agents.h"
#include "migrationd/io/blocking-calls.h"

namespace migrationd::io {

class AlarmDesk : public engine::Log {
 public:
  using Now = std::function<WallTime()>;
  AlarmDesk(boost::asio::io_context& loop, engine::Log& sink, Now now = wall_clock);

  /// Once the state directory is this process's own: reads what was kept, and keeps from now on.
  /// `incarnation`: the numbers of its events are larger than those of the daemon before.
  void keep_in(const std::string& state_dir, std::uint64_t incarnation);
  /// From now on they are told. What stands already they were told by the daemon before, but for the runs that waited or were
  /// under way when that ended: these are lost.
  void tell(AlertSettings settings);
  /// What is not on disk yet is written; at the end, when the loop runs no more.
  void close();

  void write(Level level, const std::string& domain, const std::string& text) override;
  void raise(AlarmKind kind, const Subject& subject, const std::string& text, bool said_lately = false) override;
  void clear(AlarmKind kind, const Subject& subject, const std::string& why) override;
  void happened(EventKind kind, const Subject& subject, Level level, const std::string& text) override;
  /// Of that kind only these subjects (their keys) are still concerned.
  void clear_others(AlarmKind kind, const std::set<std::string>& still, const std::string& why);

  const std::vector<alarms::Alarm>& alarms() const { return book_.all(); }
  const alarms::EventRing& events() const { return events_; }
  /// By a person. Errors: see AlarmBook.
  Outcome acknowledge(std::uint64_t id, const std::string& by);
  /// All that stand; how many there were that nobody had acknowledged.
  std::size_t acknowledge_all(const std::string& by);
  Outcome clear_by_hand(std::uint64_t id, const std::string& by);

  static WallTime wall_clock();

 private:
  void cleared(const alarms::Alarm& alarm);
  void event(EventKind kind, const Subject& subject, const std::string& text, std::uint64_t alarm = 0);
  /// Reaches the disk soon, or `in_no_hurry` within a minute.
  void changed(bool in_no_hurry = false);
  void save();

  engine::Log& sink_;
  Now now_;
  std::thread::id thread_ = std::this_thread::get_id();
  alarms::AlarmBook book_;
  alarms::EventRing events_;
  std::unique_ptr<AlertAgents> agents_;
  boost::asio::io_context& loop_;
  std::string state_dir_;  // empty: kept in memory only
  boost::asio::steady_timer timer_;
  bool timer_runs_ = false;
  bool dirty_ = false;
  bool saving_ = false;
  std::string save_trouble_;  // said last
  BlockingCalls calls_;
};

}  // namespace migrationd::io
