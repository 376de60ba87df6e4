// SPDX-License-Identifier: GPL-2.0-or-later
// Members, fencing, and the watch on the CIB. What a stop means is in pacemaker-intent.cc.
#include "migrationd/io/pacemaker.h"

#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <pugixml.hpp>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/process.h"

namespace migrationd::io {

namespace {

constexpr Milliseconds query_limit{10'000};
/// Power fencing takes its time: devices with retries and a topology.
constexpr Milliseconds fencing_limit{120'000};
constexpr Milliseconds tick_interval{1'000};

Clocks clocks_now() {
  timespec wall{};
  clock_gettime(CLOCK_REALTIME, &wall);
  return {boot_time(), Milliseconds{wall.tv_sec * std::int64_t{1000} + wall.tv_nsec / 1'000'000}};
}

/// "2026-11-21 03:02:01Z", "2026-11-21 03:02:01.123456 +01:00" and the like, since the epoch.
std::optional<Milliseconds> time_of(const std::string& text) {
  std::tm broken{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d", &broken);
  if (rest == nullptr) return std::nullopt;
  while (*rest == ' ' || *rest == 'T') ++rest;
  rest = strptime(rest, "%H:%M:%S", &broken);
  if (rest == nullptr) return std::nullopt;
  int fraction = 0;
  if (*rest == '.') {
    ++rest;
    for (int worth = 100; *rest >= '0' && *rest <= '9'; ++rest, worth /= 10) fraction += (*rest - '0') * worth;
  }
  while (*rest == ' ') ++rest;
  const Milliseconds at{timegm(&broken) * std::int64_t{1000} + fraction};
  if (*rest == '\0' || *rest == 'Z') return at;
  int hours = 0;
  int minutes = 0;
  if ((*rest != '+' && *rest != '-') || std::sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2) return std::nullopt;
  const Milliseconds offset{(hours * 3600 + minutes * 60) * 1000};
  return *rest == '+' ? at - offset : at + offset;
}

}  // namespace

Result<std::vector<Fencing>> power_fencings(const std::string& xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size()) || !document.child("pacemaker-result")) {
    return Error{"stonith_admin did not answer in its XML form"};
  }
  std::vector<Fencing> all;
  for (const auto& found : document.select_nodes("//fence_event")) {
    const pugi::xml_node event = found.node();
    const std::string action = event.attribute("action").value();
    if (action != "off" && action != "reboot") continue;
    if (std::string(event.attribute("status").value()) != "success") continue;
    const std::string completed = event.attribute("completed").value();
    const auto at = time_of(completed);
    if (!at) continue;
    std::string key = action + ' ' + completed;
    for (const char* more : {"delegate", "client", "origin"}) key += std::string(" ") + event.attribute(more).value();
    all.push_back({*at, key});
  }
  return all;
}

PacemakerCluster::PacemakerCluster(boost::asio::io_context& loop, PacemakerSettings settings, engine::Log& log)
    : loop_(loop), settings_(std::move(settings)), log_(log), utilization_(loop.get_executor(), log), ticks_(loop) {
  fencings_.clocks(clocks_now());
}

PacemakerCluster::~PacemakerCluster() { stop(); }

void PacemakerCluster::start(NodesChanged nodes_changed) {
  nodes_changed_ = std::move(nodes_changed);
  corosync_ = std::make_unique<Corosync>(loop_, settings_.corosync_conf,
                                         [this](const CorosyncView& view) { viewed(view); });
  watch_cib();
  watch_clocks();
}

void PacemakerCluster::stop() {
  ticks_.cancel();
  corosync_.reset();
  watch_.reset();
  life_.reset();
}

/// The daemon begins before the cluster manager, so it is no alarm.
void PacemakerCluster::say_whether_it_answers(const CorosyncView& view) {
  if (view.connected) {
    if (!answers_.value_or(true)) log_.write(engine::Log::Level::notice, "", "Corosync answers here");
  } else if (answers_.value_or(true) && view.trouble.empty()) {  // trouble is said with an alarm
    log_.write(answers_ ? engine::Log::Level::warning : engine::Log::Level::notice, "",
               std::string("Corosync does not answer here") + (answers_ ? " any more" : "") + ": the nodes are those of " +
                   settings_.corosync_conf + ", and the cluster starts nothing on this node until it does "
                   "(`systemctl status corosync pacemaker`)");
  }
  answers_ = view.connected;
}

void PacemakerCluster::viewed(const CorosyncView& view) {
  say_whether_it_answers(view);
  if (!view.trouble.empty()) {
    log_.raise(AlarmKind::nodes_unknown, Subject::daemon(), "Corosync does not run here, and " + view.trouble + ": " +
                   (view.nodes.empty() ? "no node is known, and nothing is started" : "the nodes known before stay"));
  }
  if (view.find(settings_.self) == nullptr) {
    // Without the list of nodes nothing could be proven absent; an empty list would prove everything.
    if (view.trouble.empty() && (view.nodes != view_.nodes || view_.nodes.empty())) {
      log_.raise(AlarmKind::nodes_unknown, Subject::daemon(),
                 "the nodelist of Corosync (" + settings_.corosync_conf + ") does not name this node '" +
                     settings_.self + "': nothing is started until it does");
    }
    view_.connected = false;
    return;
  }
  if (view.trouble.empty()) log_.clear(AlarmKind::nodes_unknown, Subject::daemon(), "Corosync's nodelist names this node");
  const bool nodes_differ = view.nodes != view_.nodes;
  // Who is new or comes back may have been fenced before: that is to be known as old when it is silent next.
  std::set<NodeName> joined;
  for (const CorosyncNode& node : view.nodes) {
    const bool known = view_.connected && view_.find(node.name) != nullptr;
    const bool came = view.member(node.name) && !(view_.connected && view_.member(node.name));
    if (node.name != settings_.self && (!known || came)) looks_wanted_.insert(node.name);
    // A node that is back before Corosync misses it shows only in its controller.
    const bool controller_came = view.controller(node.name) && !view_.controller(node.name);
    if (node.name != settings_.self && was_connected_ && (came || controller_came)) joined.insert(node.name);
  }
  view_ = view;
  if (nodes_differ && nodes_changed_) {
    std::map<NodeName, std::vector<std::string>> others;
    for (const CorosyncNode& node : view.nodes) {
      if (node.name != settings_.self) others[node.name] = node.addresses;
    }
    nodes_changed_(others);
  }
  was_connected_ = was_connected_ || view.connected;
  if (listener_ == nullptr) return;
  for (const NodeName& node : joined) listener_->joined(node);
  listener_->members_changed();
}

std::vector<std::string> PacemakerCluster::own_addresses() const {
  const CorosyncNode* self = view_.find(settings_.self);
  return self == nullptr ? std::vector<std::string>{} : self->addresses;
}

std::set<NodeName> PacemakerCluster::others() const {
  std::set<NodeName> names;
  for (const CorosyncNode& node : view_.nodes) {
    if (node.name != settings_.self) names.insert(node.name);
  }
  return names;
}

bool PacemakerCluster::member(const NodeName& node) const { return view_.connected && view_.member(node); }

bool PacemakerCluster::active_here() const { return view_.connected && view_.controllers.contains(view_.self); }

/// Between two, fencing decides; some have no quorum then, and are told to ignore it (no-quorum-policy).
bool PacemakerCluster::quorate() const { return others().size() < 2 || (view_.connected && view_.quorate); }

// ---------------------------------------------------------------- the CIB's changes

void PacemakerCluster::watch_cib() {
  Fd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd || inotify_add_watch(fd.get(), settings_.cib_directory.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
    log_.write(engine::Log::Level::info, "",
               "changes of the cluster's configuration are not seen at once (" + settings_.cib_directory + ": " +
                   std::strerror(errno) + "); offers are judged anew every 5 s all the same");
    return;
  }
  watch_ = std::make_unique<boost::asio::posix::stream_descriptor>(loop_, fd.release());
  read_watch();
}

void PacemakerCluster::read_watch() {
  watch_->async_read_some(boost::asio::buffer(watch_buffer_),
                          [this, weak = std::weak_ptr<int>(life_)](boost::system::error_code error, std::size_t) {
                            if (error || !weak.lock()) return;
                            utilization_.configuration_changed();
                            if (listener_ != nullptr) listener_->configuration_changed();
                            read_watch();
                          });
}

// ---------------------------------------------------------------- fencing

void PacemakerCluster::watch_clocks() {
  ticks_.expires_after(tick_interval);
  ticks_.async_wait([this, weak = std::weak_ptr<int>(life_)](boost::system::error_code error) {
    if (error || !weak.lock()) return;
    tick();
    watch_clocks();
  });
}

void PacemakerCluster::tick() {
  if (fencings_.clocks(clocks_now())) {
    log_.write(engine::Log::Level::warning, "",
               "the clock was set back: a fencing from the time that it shows again proves only when it is seen to come");
    for (const NodeName& node : others()) looks_wanted_.insert(node);
  }
  if (!active_here()) return;
  for (const NodeName& node : std::set<NodeName>(looks_wanted_)) {
    if (!looks_under_way_.insert(node).second) continue;
    look_at_history(node, [this, node](const Result<std::vector<Fencing>>& found) {
      looks_under_way_.erase(node);
      if (found.ok()) looks_wanted_.erase(node);  // else with the next tick
    });
  }
}

void PacemakerCluster::look_at_history(const NodeName& node, engine::Callback<Result<std::vector<Fencing>>> done) {
  // Without --verbose only one of several fencings is told.
  const ProcessOrder order{{"stonith_admin", "--history", node, "--verbose", "--output-as=xml"}, {}, query_limit};
  run_process(loop_.get_executor(), order,
              [this, weak = std::weak_ptr<int>(life_), node, order, asked = clocks_now().boot, done](Result<ProcessEnd> end) {
                if (!weak.lock()) return;
                if (!end.ok()) return done(Error{end.error()});
                if (end.value().exit_status != 0) return done(Error{describe(order, end.value())});
                auto found = power_fencings(end.value().out);
                if (found.ok()) {
                  fencings_.looked(node, asked, clocks_now().boot, found.value());
                } else {
                  log_.write(engine::Log::Level::warning, "", "fencing history of " + node + ": " + found.error());
                }
                done(found);
              });
}

void PacemakerCluster::fenced_since(const NodeName& node, Instant since, engine::Callback<bool> done) {
  look_at_history(node, [this, node, since, done](const Result<std::vector<Fencing>>& found) {
    if (!found.ok()) return done(false);
    const Clocks now = clocks_now();
    if (fencings_.clocks(now)) {
      for (const NodeName& other : others()) looks_wanted_.insert(other);
    }
    const FencingMemory::Verdict verdict = fencings_.judge(node, since, now, found.value());
    if (doubts_[node] != verdict.doubt) {
      doubts_[node] = verdict.doubt;
      if (!verdict.doubt.empty()) {
        log_.write(engine::Log::Level::warning, "", node + " does not count as fenced yet: " + verdict.doubt);
      }
    }
    done(verdict.proven);
  });
}

void PacemakerCluster::request_fencing(const NodeName& node, const std::string& why, engine::Callback<Outcome> done) {
  if (!active_here()) {
    boost::asio::post(loop_, [done] { done(Error{"the cluster manager does not run here"}); });
    return;
  }
  if (node != settings_.self && !quorate()) {
    boost::asio::post(loop_, [done] { done(Error{"this node's side of the cluster has no quorum, and the other may be well"}); });
    return;
  }
  log_.write(engine::Log::Level::warning, "", "fencing of " + node + " is asked for: " + why);
  carry_out({{"stonith_admin", "--reboot", node, "--timeout=100", "--tag=migrationd"}, {}, fencing_limit}, std::move(done));
}

void PacemakerCluster::fencing_configured(engine::Callback<bool> done) {
  run_process(loop_.get_executor(), {{"cibadmin", "--query", "--local"}, {}, query_limit},
              [weak = std::weak_ptr<int>(life_), done](Result<ProcessEnd> end) {
                if (weak.lock()) done(!end.ok() || end.value().exit_status != 0 || fencing_in_cib(end.value().out));
              });
}

void PacemakerCluster::clean_up(const std::string& resource, engine::Callback<Outcome> done) {
  carry_out({{"crm_resource", "--cleanup", "--resource", resource, "--node", settings_.self}, {}, query_limit}, std::move(done));
}

void PacemakerCluster::keep_utilization(const std::map<std::string, engine::Utilization>& resources) {
  if (active_here()) utilization_.keep(resources);
}

void PacemakerCluster::carry_out(const ProcessOrder& order, engine::Callback<Outcome> done) {
  run_process(loop_.get_executor(), order, [weak = std::weak_ptr<int>(life_), order, done](Result<ProcessEnd> end) {
    if (!weak.lock()) return;
    if (!end.ok()) {
      done(Error{end.error()});
    } else if (end.value().exit_status != 0) {
      done(Error{describe(order, end.value())});
    } else {
      done(Done{});
    }
  });
}

}  // namespace migrationd::io
