// SPDX-License-Identifier: GPL-2.0-or-later
// Heartbeat's members, and what its stops and silences mean.
#include "migrationd/io/heartbeat.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include <boost/asio/post.hpp>

#include "migrationd/intent/intent.h"
#include "migrationd/io/boot-clock.h"
#include "migrationd/io/engine-words.h"
#include "migrationd/io/heartbeat-process.h"
#include "migrationd/io/process.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds status_good_for{2'000};
constexpr auto files_read_every = std::chrono::seconds(30);
constexpr Milliseconds query_limit{5'000};
constexpr Milliseconds asked_at_least_every{15'000};  ///< while an offer stands and the peer is silent
constexpr Milliseconds fencing_limit{60'000};  ///< of one device

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What ha.cf says for `self`, or what keeps it from being gone by.
Result<HaCf> read_ha_cf(const std::string& path, const NodeName& self, const std::string& text) {
  if (text.empty() && ::access(path.c_str(), R_OK) != 0) return Error{std::string("it can't be read: ") + std::strerror(errno)};
  Result<HaCf> parsed = parse_ha_cf(text);
  if (parsed.ok() && std::count(parsed.value().nodes.begin(), parsed.value().nodes.end(), self) == 0) {
    return Error{"its 'node' lines do not name this node '" + self + "'"};
  }
  return parsed;
}

intent::HeartbeatCause cause_of(int cause) {
  switch (static_cast<wire::HeartbeatCause>(cause)) {
    case wire::HeartbeatCause::none: return intent::HeartbeatCause::none;
    case wire::HeartbeatCause::shutdown: return intent::HeartbeatCause::shutdown;
    case wire::HeartbeatCause::standby: return intent::HeartbeatCause::standby;
    case wire::HeartbeatCause::peer_request: return intent::HeartbeatCause::peer_request;
    case wire::HeartbeatCause::roll_back: return intent::HeartbeatCause::roll_back;
    case wire::HeartbeatCause::by_hand: return intent::HeartbeatCause::by_hand;
  }
  return intent::HeartbeatCause::none;
}

}  // namespace

void DownMemory::seen_as_member(const NodeName& node, Instant asked) {
  const auto found = down_.find(node);
  if (found != down_.end() && asked > found->second) down_.erase(found);
}

HeartbeatCluster::HeartbeatCluster(boost::asio::io_context& loop, HeartbeatSettings settings, engine::Log& log)
    : loop_(loop), settings_(std::move(settings)), log_(log) {
  if (!settings_.now) settings_.now = boot_time;
}

HeartbeatCluster::~HeartbeatCluster() { stop(); }

void HeartbeatCluster::start(NodesChanged nodes_changed) {
  nodes_changed_ = std::move(nodes_changed);
  timer_ = std::make_unique<boost::asio::steady_timer>(loop_);
  read_files();
}

void HeartbeatCluster::stop() {
  timer_.reset();
  life_.reset();
}

void HeartbeatCluster::read_files() {
  const std::string path = settings_.directory + "/ha.cf";
  std::string text = text_of(path);
  auto parsed = read_ha_cf(path, settings_.self, text);
  if (Read now{std::move(text), parsed.ok() ? "" : parsed.error()}; read_ != now) {
    read_ = std::move(now);
    if (parsed.ok()) {
      log_.clear(AlarmKind::nodes_unknown, Subject::daemon(), path + " can be read");
      cf_ = std::move(parsed.value());
      std::map<NodeName, std::vector<std::string>> nodes;
      for (const NodeName& node : others()) {
        nodes[node] = {node};
        // With two nodes, the other end of a ucast line can only be the peer (or ourselves, which the link refuses).
        if (cf_.nodes.size() == 2) nodes[node].insert(nodes[node].end(), cf_.peers.begin(), cf_.peers.end());
      }
      boost::asio::post(loop_, [this, weak = std::weak_ptr<int>(life_), nodes] {
        if (!weak.lock()) return;
        nodes_changed_(nodes);
        if (listener_ != nullptr) listener_->members_changed();
      });
    } else {
      log_.raise(AlarmKind::nodes_unknown, Subject::daemon(), path + ": " + parsed.error() + ": " +
                     (cf_.nodes.empty() ? "no node is known, so the daemon is not ready and nothing is started. Put the file right "
                                          "(a 'node' line for each node, as `uname -n` says); it is read again every 30 s"
                                        : "the nodes known before stay"));
    }
  }
  timer_->expires_after(files_read_every);
  timer_->async_wait([this, weak = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (!error && weak.lock()) read_files();
  });
}

std::set<NodeName> HeartbeatCluster::others() const {
  std::set<NodeName> names(cf_.nodes.begin(), cf_.nodes.end());
  names.erase(settings_.self);
  return names;
}

NodeName HeartbeatCluster::peer() const {
  const auto names = others();
  return names.size() == 1 ? *names.begin() : NodeName{};
}

bool HeartbeatCluster::member(const NodeName& node) const {
  ask(node);
  return status_[node].member.value_or(true);
}

void HeartbeatCluster::ask(const NodeName& node) const {
  const Status& status = status_[node];
  if (status.asking || (status.answered && settings_.now() - *status.answered < status_good_for)) return;
  ask_now(node, {});
}

void HeartbeatCluster::ask_now(const NodeName& node, std::function<void()> done) const {
  Status& status = status_[node];
  if (done) status.waiting.push_back(std::move(done));
  if (std::exchange(status.asking, true)) return;
  run_process(loop_.get_executor(), {{settings_.cl_status, "nodestatus", node}, {}, query_limit},
              [this, weak = std::weak_ptr<int>(life_), node, began = settings_.now()](Result<ProcessEnd> end) {
                if (!weak.lock()) return;
                Status& one = status_[node];
                one.asking = false;
                const Instant now = settings_.now();
                std::optional<bool> member;  // of its output alone: for a dead node cl_status fails, too
                for (const char* alive : {"active", "up", "init"}) {
                  if (end.ok() && end.value().out.starts_with(alive)) member = true;
                }
                if (end.ok() && end.value().out.starts_with("dead")) member = false;
                if (member.value_or(false)) down_.seen_as_member(node, began);
                // Where it was not asked for long, it may have been back between.
                if (one.member.value_or(true) || now - one.answered.value_or(now) > asked_at_least_every) one.missed_since = now;
                one.answered = now;
                const bool joined = one.member == false && member == true;
                const bool changed = std::exchange(one.member, member) != member;
                for (const auto& call : std::exchange(one.waiting, {})) call();
                if (joined && listener_ != nullptr) listener_->joined(node);
                if (changed && listener_ != nullptr) listener_->members_changed();
              });
}

bool HeartbeatCluster::active_here() const {
  return heartbeat_runs(settings_.pid_file);
}

/// A node in standby stays: it takes its peer's groups when that one leaves.
void HeartbeatCluster::staying(engine::Callback<Outcome> done) {
  Outcome said = Done{};
  if (heartbeat_stops(settings_.proc)) {
    said = Error{"Heartbeat is being stopped there"};
  } else if (!active_here()) {
    said = Error{"Heartbeat does not run there"};
  }
  boost::asio::post(loop_, [done, said] { done(said); });
}

void HeartbeatCluster::taken_over_from(const NodeName& node) {
  if (!others().contains(node)) return;
  if (cf_.stonith.empty()) {
    log_.write(engine::Log::Level::warning, "",
               "Heartbeat takes over from " + node + ", but ha.cf configures no STONITH: that proves nothing");
    return;
  }
  down_.went_down(node, settings_.now());
  status_[node].member = false;
  if (listener_ != nullptr) listener_->members_changed();
}

void HeartbeatCluster::fenced_since(const NodeName& node, Instant since, engine::Callback<bool> done) {
  const auto found = fenced_.find(node);
  const bool fenced = found != fenced_.end() && found->second > since;
  boost::asio::post(loop_, [done, fenced] { done(fenced); });
}

void HeartbeatCluster::fencing_configured(engine::Callback<bool> done) {
  boost::asio::post(loop_, [done, configured = !cf_.stonith.empty()] { done(configured); });
}

/// Heartbeat can't be asked to fence, nor tells whether it did: the same device is used once more, for a node that
/// Heartbeat calls dead this moment, or for this one.
void HeartbeatCluster::request_fencing(const NodeName& node, const std::string& why, engine::Callback<Outcome> done) {
  if (!active_here()) {
    boost::asio::post(loop_, [done] { done(Error{"Heartbeat does not run here"}); });
    return;
  }
  const auto go_on = [this, node, why, done] {
    if (cf_.stonith.empty()) return done(Error{"ha.cf configures no STONITH"});
    log_.write(engine::Log::Level::warning, "", "fencing of " + node + " is asked for: " + why);
    fence(node, 0, "", done);
  };
  if (node == settings_.self) {
    boost::asio::post(loop_, [weak = std::weak_ptr<int>(life_), go_on] {
      if (weak.lock()) go_on();
    });
    return;
  }
  // Also without STONITH: whoever asks may go by the membership instead, and what is known of it may be old.
  ask_now(node, [this, node, go_on, done] {
    if (status_[node].member.value_or(true)) {
      return done(Error{status_[node].member ? "Heartbeat counts it as alive" : "Heartbeat does not say whether it is dead"});
    }
    go_on();
  });
}

void HeartbeatCluster::fence(const NodeName& node, std::size_t first, const std::string& troubles,
                             engine::Callback<Outcome> done) {
  while (first < cf_.stonith.size() && cf_.stonith[first].from != "*" &&
         cf_.stonith[first].from != heartbeat_name(settings_.self)) {
    ++first;
  }
  if (first >= cf_.stonith.size()) {
    const std::string why = troubles.empty() ? "ha.cf has no STONITH device for this node" : troubles;
    boost::asio::post(loop_, [done, why] { done(Error{why}); });
    return;
  }
  const StonithDevice& device = cf_.stonith[first];
  std::vector<std::string> command{settings_.stonith, "-t", device.type};
  if (device.file.empty()) {
    command.insert(command.end(), {"-p", device.parameters});
  } else {
    command.insert(command.end(), {"-F", device.file});
  }
  command.insert(command.end(), {"-T", "reset", node});
  run_process(loop_.get_executor(), {command, {}, fencing_limit},
              [this, weak = std::weak_ptr<int>(life_), node, first, troubles, type = device.type,
               done = std::move(done)](Result<ProcessEnd> end) {
                if (!weak.lock()) return;
                if (end.ok() && end.value().exit_status == 0) {
                  log_.write(engine::Log::Level::notice, "", node + " was fenced with " + type);
                  fenced_[node] = settings_.now();
                  down_.went_down(node, fenced_[node]);
                  status_[node].member = false;
                  done(Done{});
                  if (listener_ != nullptr) listener_->members_changed();
                  return;
                }
                const std::string why = "stonith -t " + type + " -T reset " + node + ": " +
                                        (!end.ok() ? end.error() : "exit status " + std::to_string(end.value().exit_status));
                fence(node, first + 1, troubles.empty() ? why : troubles + "; " + why, done);
              });
}

std::vector<HaresourcesLine> HeartbeatCluster::haresources() const {
  return parse_haresources(text_of(settings_.directory + "/haresources"));
}

void HeartbeatCluster::intent_of_stop(const engine::StopQuestion& question,
                                      engine::Callback<engine::StopIntent> done) {
  intent::HeartbeatStop stop;
  stop.cause = cause_of(question.heartbeat_cause);
  stop.left_of_it = left_of(haresources(), question.resource);
  stop.peer = peer();
  const engine::StopIntent meant = in_engine_words(intent::decide_heartbeat(stop));
  boost::asio::post(loop_, [done, meant] { done(meant); });
}

void HeartbeatCluster::judge_offer(const engine::OfferQuestion& question, engine::Callback<engine::OfferJudgement> done) {
  const NodeName other = peer();
  const auto judge = [this, other, question, done = std::move(done)] { done(judge_peer(other, question)); };
  // Asking Heartbeat is dear. What was known when the peer went down may be long past.
  if (!question.linked(other) || down_.is_down(other)) return ask_now(other, judge);
  boost::asio::post(loop_, [weak = std::weak_ptr<int>(life_), judge] {
    if (weak.lock()) judge();
  });
}

engine::OfferJudgement HeartbeatCluster::judge_peer(const NodeName& other, const engine::OfferQuestion& question) {
  intent::HeartbeatOffer offer;
  offer.peer = other;
  offer.heartbeat_here = active_here() && !heartbeat_stops(settings_.proc);
  offer.stonith = !cf_.stonith.empty();
  offer.peer_down = down_.is_down(other);
  offer.peer_member = (question.linked(other) && !offer.peer_down) || status_[other].member.value_or(true);
  offer.peer_left = question.left.contains(other);
  offer.peer_rebooted = question.rebooted.contains(other);
  const auto silent = question.silent.find(other);
  if (!offer.peer_member && silent != question.silent.end()) {
    offer.peer_missed = settings_.now() - std::max(silent->second, status_[other].missed_since);
  }
  if (must_fence(offer) && being_fenced_.insert(other).second) {
    request_fencing(other, "it was to fetch a domain that is offered here, and is dead for Heartbeat, which does not fence it",
                    [this, other](Outcome outcome) {
                      being_fenced_.erase(other);
                      status_[other].missed_since = settings_.now();  // a failed one is tried again after as long
                      if (!outcome.ok()) log_.write(engine::Log::Level::warning, "", other + " can't be fenced: " + outcome.error());
                    });
  }
  return in_engine_words(intent::judge_heartbeat_offer(offer));
}

void HeartbeatCluster::report_failure(const std::string&, const std::string&, std::function<bool()>, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] {
    done(Error{"Heartbeat does not watch what it has started; start it again by its script in resource.d or init.d"});
  });
}

void HeartbeatCluster::stay_off(const std::string&, std::function<bool()>, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] { done(Error{"Heartbeat does not start it again here, but a take-over or a standby starts it on the other node"}); });
}

void HeartbeatCluster::clean_up(const std::string&, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] {
    done(Error{"Heartbeat starts nothing a second time by itself: hb_takeover, or its init script with 'start', does"});
  });
}

void HeartbeatCluster::parameters_of(const std::string&, engine::Callback<Result<std::map<std::string, std::string>>> done) {
  boost::asio::post(loop_, [done] { done(Error{"Heartbeat has no configuration that its nodes share"}); });
}

}  // namespace migrationd::io
