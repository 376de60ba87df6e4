// SPDX-License-Identifier: GPL-2.0-or-later
// See book.h.
#include "migrationd/alarms/book.h"

#include <algorithm>
#include <utility>

namespace migrationd::alarms {

namespace {

/// At most `text_limit` bytes, and no half of a character.
std::string cut(const std::string& text) {
  if (text.size() <= text_limit) return text;
  std::size_t end = text_limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

}  // namespace

AlarmBook::AlarmBook(std::vector<Alarm> known, std::uint64_t next) : all_(std::move(known)), next_(next) {
  std::sort(all_.begin(), all_.end(), [](const Alarm& a, const Alarm& b) { return a.id < b.id; });
  if (!all_.empty()) next_ = std::max(next_, all_.back().id + 1);
}

Alarm* AlarmBook::find(const std::string& kind, const std::string& subject) {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const Alarm& one) {
    return one.stands() && one.kind == kind && one.subject.key() == subject;
  });
  return found == all_.end() ? nullptr : &*found;
}

AlarmBook::Raised AlarmBook::raise(AlarmKind kind, const Subject& subject, const std::string& text, WallTime now) {
  Raised result;
  const std::string said = cut(text);
  if (Alarm* known = find(to_string(kind), subject.key())) {
    result.other_text = known->text != said;
    known->text = said;
    if (!subject.name.empty()) known->subject.name = subject.name;
    if (!subject.resource.empty()) known->subject.resource = subject.resource;
    known->last = now;
    ++known->count;
    result.alarm = *known;
    return result;
  }
  const auto stand = std::count_if(all_.begin(), all_.end(), [](const Alarm& one) { return one.stands(); });
  if (static_cast<std::size_t>(stand) >= standing_kept) {
    auto oldest = std::find_if(all_.begin(), all_.end(), [](const Alarm& one) { return one.stands() && one.severity == Severity::warning; });
    if (oldest == all_.end()) oldest = std::find_if(all_.begin(), all_.end(), [](const Alarm& one) { return one.stands(); });
    result.gave_way = end(*oldest, "more than " + std::to_string(standing_kept) + " alarms stand", now);
  }
  Alarm fresh;
  fresh.id = next_++;
  fresh.kind = to_string(kind);
  fresh.subject = subject;
  fresh.text = said;
  fresh.severity = severity_of(kind);
  fresh.raised = fresh.last = now;
  all_.push_back(fresh);
  forget_old(now);
  result.alarm = std::move(fresh);
  result.fresh = true;
  return result;
}

Alarm AlarmBook::end(Alarm& alarm, const std::string& why, WallTime now) {
  alarm.cleared = now;
  alarm.cleared_why = cut(why);
  return alarm;
}

std::optional<Alarm> AlarmBook::clear(AlarmKind kind, const Subject& subject, const std::string& why, WallTime now) {
  Alarm* known = find(to_string(kind), subject.key());
  if (known == nullptr) return std::nullopt;
  return end(*known, why, now);
}

Result<Alarm*> AlarmBook::standing(std::uint64_t id) {
  const auto found = std::find_if(all_.begin(), all_.end(), [id](const Alarm& one) { return one.id == id; });
  if (found == all_.end()) return Error{"there is no alarm " + std::to_string(id) + ": see migrationctl alarms --all"};
  if (!found->stands()) return Error{"the alarm " + std::to_string(id) + " is cleared already: " + found->cleared_why};
  return &*found;
}

Result<Alarm> AlarmBook::clear(std::uint64_t id, const std::string& why, WallTime now) {
  auto known = standing(id);
  if (!known) return Error{known.error()};
  return end(*known.value(), why, now);
}

Result<Alarm> AlarmBook::acknowledge(std::uint64_t id, const std::string& by, WallTime now) {
  auto known = standing(id);
  if (!known) return Error{known.error()};
  Alarm& alarm = *known.value();
  if (alarm.acknowledged_by.empty()) {
    alarm.acknowledged_by = by.empty() ? "somebody" : cut(by);
    alarm.acknowledged = now;
  }
  return alarm;
}

bool AlarmBook::forget_old(WallTime now) {
  const std::size_t before = all_.size();
  std::erase_if(all_, [now](const Alarm& one) { return one.cleared && now.since_epoch - one.cleared->since_epoch > cleared_for; });
  std::vector<Milliseconds> ends;
  for (const Alarm& one : all_)
    if (one.cleared) ends.push_back(one.cleared->since_epoch);
  if (ends.size() > cleared_kept) {  // in the order of their ends: an alarm may have stood for long
    const auto last_dropped = ends.begin() + static_cast<std::ptrdiff_t>(ends.size() - cleared_kept - 1);
    std::nth_element(ends.begin(), last_dropped, ends.end());
    std::size_t surplus = ends.size() - cleared_kept;
    std::erase_if(all_, [&, limit = *last_dropped](const Alarm& one) {
      return surplus > 0 && one.cleared && one.cleared->since_epoch <= limit && surplus-- > 0;
    });
  }
  return all_.size() != before;
}

std::vector<Alarm> AlarmBook::standing() const {
  std::vector<Alarm> result;
  for (const Alarm& one : all_)
    if (one.stands()) result.push_back(one);
  return result;
}

}  // namespace migrationd::alarms
