// SPDX-License-Identifier: GPL-2.0-or-later
// See alarm-desk.h.
#include "migrationd/io/alarm-desk.h"

#include <chrono>
#include <utility>

#include "migrationd/io/alarm-file.h"
#include "migrationd/io/alarm-json.h"

namespace migrationd::io {

namespace {

/// What is only counted reaches the disk so often; what could not be written is tried again so often.
constexpr std::chrono::seconds lazily{60};
constexpr Milliseconds disk_limit{10'000};
/// More events than a daemon ever has.
constexpr std::uint64_t events_of_a_life = 1'000'000'000;

std::string cut(const std::string& text) { return text.substr(0, alarms::text_limit); }

}  // namespace

WallTime AlarmDesk::wall_clock() {
  return {std::chrono::duration_cast<Milliseconds>(std::chrono::system_clock::now().time_since_epoch())};
}

AlarmDesk::AlarmDesk(boost::asio::io_context& loop, engine::Log& sink, Now now)
    : sink_(sink), now_(std::move(now)), loop_(loop), timer_(loop), calls_(loop, 1, /*given_up_per_key=*/1) {}  // never two threads at the file

void AlarmDesk::keep_in(const std::string& state_dir, std::uint64_t incarnation) {
  LoadedAlarms loaded = load_alarms(state_dir);
  if (!loaded.complaint.empty()) write(Level::warning, "", loaded.complaint);
  const std::vector<alarms::Alarm> raised_before = book_.standing();
  book_ = std::move(loaded.book);
  for (const alarms::Alarm& one : raised_before) {
    if (const auto kind = alarm_kind(one.kind)) book_.raise(*kind, one.subject, one.text, one.last);
  }
  events_.begin_at(incarnation * events_of_a_life + 1);
  state_dir_ = state_dir;
  if (book_.forget_old(now_()) || !raised_before.empty()) changed();
}

void AlarmDesk::tell(AlertSettings settings) {
  agents_ = settings.agents.empty() ? nullptr : std::make_unique<AlertAgents>(loop_, std::move(settings), *this);
}

void AlarmDesk::event(EventKind kind, const Subject& subject, const std::string& text, std::uint64_t alarm) {
  events_.add(now_(), kind, subject, cut(text), alarm);
}

void AlarmDesk::write(Level level, const std::string& domain, const std::string& text) {
  if (std::this_thread::get_id() != thread_) return sink_.write(level, domain, text);
  Subject subject;
  if (!domain.empty()) subject = {Subject::What::domain, domain, "", ""};
  switch (level) {
    case Level::alarm: return raise(AlarmKind::other, subject, text);
    case Level::notice: event(EventKind::notice, subject, text); break;
    case Level::warning: event(EventKind::warning, subject, text); break;
    case Level::debug:
    case Level::info: break;
  }
  sink_.write(level, domain, text);
}

void AlarmDesk::happened(EventKind kind, const Subject& subject, Level level, const std::string& text) {
  sink_.write(level, subject.before_text(), text);
  event(kind, subject, text);
}

void AlarmDesk::raise(AlarmKind kind, const Subject& subject, const std::string& text, bool said_lately) {
  const alarms::AlarmBook::Raised raised = book_.raise(kind, subject, text, now_());
  if (!said_lately || raised.fresh) sink_.write(Level::alarm, subject.before_text(), text);
  if (raised.gave_way) cleared(*raised.gave_way);
  changed(/*in_no_hurry=*/!raised.fresh && !raised.other_text);
  if (!raised.fresh) return;
  event(EventKind::alarm_raised, raised.alarm.subject, raised.alarm.kind + ": " + raised.alarm.text, raised.alarm.id);
  if (agents_) agents_->tell(raised.alarm, raised.alarm.raised);
}

void AlarmDesk::cleared(const alarms::Alarm& alarm) {
  sink_.write(Level::notice, alarm.subject.before_text(), "alarm " + alarm.kind + " cleared: " + alarm.cleared_why);
  event(EventKind::alarm_cleared, alarm.subject, alarm.kind + ": " + alarm.cleared_why, alarm.id);
  if (agents_) agents_->tell(alarm, *alarm.cleared);
  changed();
}

void AlarmDesk::clear(AlarmKind kind, const Subject& subject, const std::string& why) {
  if (const auto alarm = book_.clear(kind, subject, why, now_())) cleared(*alarm);
}

void AlarmDesk::clear_others(AlarmKind kind, const std::set<std::string>& still, const std::string& why) {
  for (const alarms::Alarm& one : book_.standing())
    if (one.kind == to_string(kind) && !still.contains(one.subject.key())) clear(kind, one.subject, why);
}

Outcome AlarmDesk::acknowledge(std::uint64_t id, const std::string& by) {
  const Result<alarms::Alarm> alarm = book_.acknowledge(id, by, now_());
  if (!alarm) return Error{alarm.error()};
  sink_.write(Level::notice, alarm.value().subject.before_text(), "alarm " + alarm.value().kind + " acknowledged by " + alarm.value().acknowledged_by);
  event(EventKind::alarm_acknowledged, alarm.value().subject, alarm.value().kind + ": by " + alarm.value().acknowledged_by, id);
  changed();
  return Done{};
}

std::size_t AlarmDesk::acknowledge_all(const std::string& by) {
  std::size_t fresh = 0;
  for (const alarms::Alarm& one : book_.standing()) {
    if (!one.acknowledged_by.empty()) continue;
    ++fresh;
    (void)acknowledge(one.id, by);
  }
  return fresh;
}

Outcome AlarmDesk::clear_by_hand(std::uint64_t id, const std::string& by) {
  const Result<alarms::Alarm> alarm = book_.clear(id, "by " + (by.empty() ? std::string("hand") : by), now_());
  if (!alarm) return Error{alarm.error()};
  cleared(alarm.value());
  return Done{};
}

// ---------------------------------------------------------------- on disk

void AlarmDesk::changed(bool in_no_hurry) {
  dirty_ = true;
  if (state_dir_.empty()) return;
  if (!in_no_hurry) return save();
  if (std::exchange(timer_runs_, true)) return;
  timer_.expires_after(lazily);
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    timer_runs_ = false;
    if (dirty_) save();
  });
}

void AlarmDesk::save() {
  if (saving_) return;  // its end sees that there is more
  saving_ = true;
  dirty_ = false;
  calls_.run<Done>("alarms", "write the alarms", disk_limit,
                   [state_dir = state_dir_, content = encode_alarms(book_)]() -> Outcome { return save_alarms(state_dir, content); },
                   [this](Outcome saved) {
                     saving_ = false;
                     const std::string trouble = saved.ok() ? "" : saved.error();
                     if (!trouble.empty() && trouble != save_trouble_) write(Level::warning, "", "the alarms are kept in memory only: " + trouble);
                     save_trouble_ = trouble;
                     if (!trouble.empty()) changed(/*in_no_hurry=*/true);
                     else if (dirty_) save();
                   });
}

/// What is on its way to the disk, or hangs there, is not waited for: the last change may be lost with it, and is then raised once more.
void AlarmDesk::close() {
  timer_.cancel();
  if (dirty_ && !saving_ && calls_.busy() == 0 && !state_dir_.empty()) (void)save_alarms(state_dir_, encode_alarms(book_));
  state_dir_.clear();
}

}  // namespace migrationd::io
