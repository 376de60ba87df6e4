// SPDX-License-Identifier: GPL-2.0-or-later
// See planner.h.
#include "migrationd/converge/planner.h"

#include <algorithm>
#include <cmath>

#include "migrationd/converge/downtime.h"

namespace migrationd::converge {

namespace {

/// A pass that leaves more than this of what the one before left is no progress: figures are noisy.
constexpr double no_progress = 0.95;
/// Of the time that is left so much is counted on.
constexpr double counted_on = 0.8;
/// With less time than this a guest is slowed down hard from the beginning; else there is time to find out how little will do.
constexpr Milliseconds time_to_be_gentle{100'000};
/// A target that does not do is doubled after a share of the time that was left when the job began to stall.
constexpr int patience_share = 20;
constexpr Milliseconds least_patience{1'000};
constexpr Milliseconds most_patience{15'000};
/// Where a stall begins: a guest that leaves the same after each pass had better stand still for a moment than be slowed.
constexpr Milliseconds target_of_a_stall{30};
/// With no more time than this it is now or never.
constexpr Milliseconds last_chance{5'000};
/// So many passes in a row that leave as much as before have found what the guest rewrites all the time; and what is allowed for it on top.
constexpr int passes_of_a_floor = 3;
constexpr double margin_of_a_floor = 1.25;
/// A stall ends when a pass leaves less than this of what was left as it began.
constexpr double end_of_a_stall = 0.8;
/// Per cent; from here on a guest gets little done between its stops.
constexpr int slowed_hard = 80;
constexpr double mib = 1024.0 * 1024.0;

std::string mib_per_second(std::uint64_t bytes) {
  return std::to_string(static_cast<long long>(std::llround(static_cast<double>(bytes) / mib))) + " MiB/s";
}

/// Until what is left, `bytes` now and `ratio` (below 1) of it after each pass, can be sent within `downtime`.
Milliseconds time_until(double bytes, double ratio, double bytes_per_second, Milliseconds downtime) {
  const double enough = bytes_per_second * static_cast<double>(downtime.count()) / 1000;
  double time = 0;
  for (int pass = 0; bytes > enough && pass < 1000; ++pass) {
    time += bytes / bytes_per_second;
    bytes *= ratio;
  }
  return Milliseconds{std::llround(time * 1000)};
}

}  // namespace

Planner::Planner(Budget budget) : budget_(budget) {
  if (budget_.downtime.count() <= 0) budget_.downtime = usual_downtime;
  target_ = downtime_target(0, budget_.downtime);
}

Opening Planner::opening() const {
  Opening opening{downtime_target(0, budget_.downtime), 0, 0};
  if (!budget_.throttle || budget_.post_copy) return opening;  // post-copy ends the job without slowing the guest
  const bool gentle = budget_.time.count() == 0 || budget_.time >= time_to_be_gentle;
  opening.throttle_first = gentle ? 20 : 50;
  opening.throttle_step = gentle ? 20 : 25;
  return opening;
}

/// The guest's writes over the network's speed say it before a second pass was seen; but a guest that writes to the same pages
/// over and over seems to write the less the longer a pass is, so what the passes really leave counts, too.
double Planner::shrinks_to(const Sample& sample) const {
  if (sample.bytes_per_second == 0) return 0;
  return std::max(static_cast<double>(sample.written_per_second) / static_cast<double>(sample.bytes_per_second), measured_);
}

Milliseconds Planner::stalled_target(const Sample& sample) {
  if (!stall_) {
    const Milliseconds share = (budget_.time - sample.elapsed) / patience_share;
    const Milliseconds patience = budget_.time.count() == 0 ? most_patience : std::clamp(share, least_patience, most_patience);
    stall_ = Stall{sample.elapsed, pass_, sample.remaining, patience};
  }
  Milliseconds target = target_of_a_stall;
  for (Milliseconds at = stall_->since + stall_->patience; at <= sample.elapsed && target < budget_.downtime; at += stall_->patience) target *= 2;
  if (budget_.time.count() > 0 && budget_.time - sample.elapsed <= last_chance) return budget_.downtime;
  // What the guest rewrites all the time is no more than it may stand still for: waiting gains little, and it may be slowed for it.
  if (pass_ - stall_->pass >= passes_of_a_floor) {
    const double needed = static_cast<double>(sample.remaining) * 1000 / static_cast<double>(sample.bytes_per_second) * margin_of_a_floor;
    if (needed <= static_cast<double>(budget_.downtime.count())) target = std::max(target, Milliseconds{std::llround(needed)});
  }
  return std::min(target, budget_.downtime);
}

Advice Planner::at(const Sample& sample) {
  if (sample.pass > pass_) {
    const double passes = sample.pass - pass_;
    // The first pass had all memory to send, whatever the guest wrote.
    measured_ = pass_ > 1 && remaining_ > 0 ? std::pow(static_cast<double>(sample.remaining) / static_cast<double>(remaining_), 1 / passes) : 0;
    remaining_ = sample.remaining;
    pass_ = sample.pass;
  }
  Advice given = advice(sample);
  // A guest that is slowed hard writes in bursts, so one good pass says little; and each further second costs it more than the
  // standstill that was allowed before.
  if (sample.throttle >= slowed_hard) given.downtime = std::max(given.downtime, target_);
  target_ = given.downtime;
  return given;
}

Advice Planner::advice(const Sample& sample) {
  const double ratio = shrinks_to(sample);
  if (pass_ < 2) return {Advice::Step::go_on, target_, {}, "the memory is sent for the first time"};
  if (sample.bytes_per_second == 0) return {Advice::Step::go_on, target_, {}, "how fast the network carries is not known"};

  const std::string rates = "the guest writes " + mib_per_second(sample.written_per_second) + ", the network carries " +
                            mib_per_second(sample.bytes_per_second);
  const Milliseconds time_left = std::max(budget_.time - sample.elapsed, Milliseconds{0});
  const auto in_time = [&](Milliseconds needed) {
    return budget_.time.count() == 0 || static_cast<double>(needed.count()) <= static_cast<double>(time_left.count()) * counted_on;
  };
  // One pass that leaves a little less is no end of a stall.
  if (stall_ && static_cast<double>(sample.remaining) < static_cast<double>(stall_->remaining) * end_of_a_stall) stall_.reset();
  const bool never = ratio >= no_progress || stall_;
  if (!never) {
    for (Milliseconds target = downtime_target(0, budget_.downtime);; target = std::min(target * 2, budget_.downtime)) {
      const Milliseconds needed = time_until(static_cast<double>(sample.remaining), ratio,
                                             static_cast<double>(sample.bytes_per_second), target);
      if (in_time(needed)) return {Advice::Step::go_on, target, needed, "it converges: " + rates};
      if (target >= budget_.downtime) break;
    }
  }
  const Milliseconds target = never ? stalled_target(sample) : budget_.downtime;
  std::string stalls = (never ? "it does not converge: " : "it does not converge in the time there is: ") + rates;
  // It may be a burst; but a guest that writes faster than the network carries needs no second look.
  const bool lasts = measured_ > 0 && (!never || sample.elapsed - stall_->since >= stall_->patience);
  if (budget_.post_copy && (lasts || sample.written_per_second > sample.bytes_per_second)) {
    return {Advice::Step::post_copy, budget_.downtime, {}, stalls + "; it goes on at the destination, which fetches the rest (post-copy)"};
  }
  if (sample.throttle > 0) stalls += "; the guest is slowed by " + std::to_string(sample.throttle) + " %";
  return {Advice::Step::go_on, target, {}, stalls};
}

}  // namespace migrationd::converge
