// SPDX-License-Identifier: GPL-2.0-or-later
// A pre-copy migration as QEMU makes it, in figures: a guest that writes to its memory, a network, and who steers the job.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "migrationd/converge/planner.h"

namespace migrationd::tests {

inline constexpr double mib = 1024.0 * 1024.0;

/// Writes are spread evenly over `set` bytes of `memory`; rates in bytes per second at a time in seconds.
struct ModelGuest {
  double memory = 1024 * mib;
  double set = 200 * mib;
  std::function<double(double)> writes = [](double) { return 0.0; };
};
using ModelNetwork = std::function<double(double)>;

/// Who steers: asked at the begin of each pass.
struct Steering {
  std::string name;
  converge::Opening opening;
  std::function<converge::Advice(const converge::Sample&)> on_pass{};
  std::function<Milliseconds(double)> downtime_at{};  ///< the target by the clock
  double gives_up_after = 1e9;                        ///< seconds
};

struct ModelEnd {
  enum class How { moved, moved_post_copy, left_running } how = How::left_running;
  double seconds = 0;          ///< until it runs at the destination, or was given up
  double downtime = 0;         ///< seconds
  int most_throttle = 0;       ///< per cent
  bool moved() const { return how != How::left_running; }
};

class MigrationModel {
 public:
  MigrationModel(ModelGuest guest, ModelNetwork network, double time) : guest_(std::move(guest)), network_(std::move(network)), time_(time) {}

  ModelEnd run(const Steering& steering) {
    constexpr double step = 0.01, switchover = 0.04;  // seconds
    double now = 0, remaining = guest_.memory, written = 0, sent_since = 0, synced = 0, throttle = 0, speed = network_(0);
    double throttle_looked = 0, written_period = 0, sent_period = 0;
    double target = static_cast<double>(steering.opening.downtime.count()) / 1000;
    int pass = 1, high = 0;
    std::uint64_t write_rate = 0;
    ModelEnd end;
    while (now < std::min(time_, steering.gives_up_after)) {
      now += step;
      const double carries = network_(now);
      speed += (carries - speed) * 0.1;  // QEMU's figure is an average, too
      const double sent = std::min(remaining, carries * step);
      remaining -= sent;
      sent_since += sent;
      written += (1 - written / guest_.set) * guest_.writes(now) * (1 - throttle / 100) * step;
      if (steering.downtime_at) target = static_cast<double>(steering.downtime_at(now).count()) / 1000;
      if (remaining > speed * target || carries <= 0) continue;
      // The bitmap is read: the next pass, unless what is left fits.
      if (now - synced >= 1) write_rate = static_cast<std::uint64_t>(written / (now - synced));
      // QEMU looks at it once a second at most.
      if (now - throttle_looked >= 1 && steering.opening.throttle_first > 0 && pass > 1) {
        if (written_period + written > 0.5 * (sent_period + sent_since) && ++high >= 2) {
          throttle = throttle == 0 ? steering.opening.throttle_first : std::min(99.0, throttle + steering.opening.throttle_step);
          high = 0;
        }
        throttle_looked = now;
        written_period = sent_period = 0;
      } else {
        written_period += written;
        sent_period += sent_since;
      }
      end.most_throttle = std::max(end.most_throttle, static_cast<int>(throttle));
      remaining += written;
      written = sent_since = 0;
      synced = now;
      ++pass;
      if (remaining <= speed * target) return over(end, ModelEnd::How::moved, now, remaining / carries + switchover);
      if (!steering.on_pass) continue;
      const converge::Advice advice = steering.on_pass({Milliseconds{static_cast<long>(now * 1000)}, pass,
                                                        static_cast<std::uint64_t>(remaining), static_cast<std::uint64_t>(speed),
                                                        write_rate, static_cast<int>(throttle)});
      target = static_cast<double>(advice.downtime.count()) / 1000;
      if (advice.step == converge::Advice::Step::post_copy) return over(end, ModelEnd::How::moved_post_copy, now, 0.15);
    }
    end.seconds = now;
    return end;
  }

 private:
  static ModelEnd over(ModelEnd end, ModelEnd::How how, double now, double downtime) {
    end.how = how;
    end.downtime = downtime;
    end.seconds = now + downtime;
    return end;
  }

  ModelGuest guest_;
  ModelNetwork network_;
  double time_;
};

// ---- fixed policies, by their public defaults

inline Steering virtual_domain() { return {"VirtualDomain", {Milliseconds{300}, 0, 0}}; }

/// KubeVirt: QEMU's downtime, 150 s for each GiB, neither auto-converge nor post-copy.
inline Steering kubevirt(const ModelGuest& guest) {
  Steering one{"KubeVirt", {Milliseconds{300}, 0, 0}};
  one.gives_up_after = 150 * std::max(1.0, guest.memory / mib / 1024);
  return one;
}

/// Nova: 500 ms in 10 steps, 75 s apart for each GiB (2 at least), 800 s for each GiB.
inline Steering nova(const ModelGuest& guest) {
  const double gib = std::max(2.0, guest.memory / mib / 1024);
  Steering one{"Nova", {Milliseconds{46}, 0, 0}};
  one.downtime_at = [gib](double now) {
    const double offset = 500.0 / 11, base = std::pow(500 - offset, 0.1);
    const int step = std::min(10, static_cast<int>(now / (75 * gib)));
    return Milliseconds{static_cast<long>(offset + std::pow(base, step))};
  };
  one.gives_up_after = 800 * gib;
  return one;
}

inline Steering planned(converge::Budget budget) {
  auto planner = std::make_shared<converge::Planner>(budget);
  Steering one{budget.post_copy ? "migrationd, post-copy" : "migrationd", planner->opening()};
  one.on_pass = [planner](const converge::Sample& sample) { return planner->at(sample); };
  return one;
}

}  // namespace migrationd::tests
