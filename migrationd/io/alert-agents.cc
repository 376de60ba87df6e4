// SPDX-License-Identifier: GPL-2.0-or-later
// See alert-agents.h. The names and meanings are Pacemaker's (lib/common/alerts.c has the list); CRM_notify_... are those of
// its older interface, which it sets, too.
#include "migrationd/io/alert-agents.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "migrationd/io/process.h"

namespace migrationd::io {

namespace {

/// The release of Pacemaker whose alerts these are like; agents ask for 1.1.15 at least.
constexpr const char* interface_version = "2.1.5";

// Pacemaker's numbers, for the agents that look at them.
constexpr const char* ocf_success = "0";
constexpr const char* ocf_error = "1";
constexpr const char* execution_done = "0";
constexpr const char* execution_error = "4";

/// Pacemaker's default format, "%H:%M:%S.%06N", in local time.
std::string clock_text(WallTime at) {
  const std::time_t seconds = static_cast<std::time_t>(at.since_epoch.count() / 1000);
  std::tm local{};
  char text[32] = {};
  if (localtime_r(&seconds, &local) == nullptr) return "";
  const std::size_t length = std::strftime(text, sizeof text, "%H:%M:%S", &local);
  return std::string(text, length) + "." + std::to_string(1000 + at.since_epoch.count() % 1000).substr(1) + "000";
}

/// One line, as agents put it into a subject or a line of a file.
std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) line.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  return line;
}

}  // namespace

Result<std::optional<gid_t>> group_of_user(const std::string& user) {
  std::vector<char> buffer(64 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (const int error = getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found); error != 0) return Error{std::strerror(error)};
  return found == nullptr ? std::nullopt : std::optional<gid_t>(entry.pw_gid);
}

std::vector<std::string> alert_environment(const AlertNews& news, const NodeName& self, const std::string& recipient) {
  const alarms::Alarm& alarm = news.alarm;
  const bool stands = alarm.stands();
  const std::string text = one_line(stands ? alarm.text : "cleared: " + alarm.cleared_why + " (it was: " + alarm.text + ")");
  std::vector<std::string> environment;
  const auto set = [&](const std::string& name, const std::string& value) {
    environment.push_back("CRM_alert_" + name + "=" + value);
    environment.push_back("CRM_notify_" + name + "=" + value);
  };
  set("version", interface_version);
  if (!recipient.empty()) set("recipient", recipient);
  set("node_sequence", std::to_string(news.sequence));
  set("timestamp", clock_text(news.at));
  set("timestamp_epoch", std::to_string(news.at.since_epoch.count() / 1000));
  set("timestamp_usec", std::to_string(news.at.since_epoch.count() % 1000 * 1000));
  set("desc", text);
  // To an agent an operation "fencing" that succeeded is a node that was fenced; what is over here may have ended otherwise.
  const bool fencing = stands && alarm.kind == to_string(AlarmKind::fencing_failed);
  switch (alarm.subject.what) {
    case Subject::What::domain:
      set("kind", "resource");
      set("node", self);
      set("rsc", one_line(!alarm.subject.resource.empty() ? alarm.subject.resource
                          : !alarm.subject.name.empty()   ? alarm.subject.name
                                                          : alarm.subject.uuid));
      set("task", alarm.kind);
      set("interval", "0");
      set("target_rc", ocf_success);
      set("rc", stands ? ocf_error : ocf_success);
      set("status", stands ? execution_error : execution_done);
      set("exec_time", "0");
      break;
    case Subject::What::node:
    case Subject::What::daemon:
      set("kind", fencing ? "fencing" : "node");
      set("node", alarm.subject.what == Subject::What::node ? one_line(alarm.subject.name) : self);
      set("nodeid", "0");
      if (!fencing) break;
      set("task", "reboot");
      set("rc", ocf_error);
      break;
  }
  // What Pacemaker has no words for.
  environment.push_back("MIGRATIOND_alarm_id=" + std::to_string(alarm.id));
  environment.push_back("MIGRATIOND_alarm_kind=" + alarm.kind);
  environment.push_back(std::string("MIGRATIOND_alarm_severity=") + to_string(alarm.severity));
  environment.push_back(std::string("MIGRATIOND_alarm_state=") + (stands ? "raised" : "cleared"));
  environment.push_back("MIGRATIOND_alarm_node=" + self);
  environment.push_back("MIGRATIOND_alarm_uuid=" + alarm.subject.uuid);
  return environment;
}

AlertAgents::AlertAgents(boost::asio::io_context& loop, AlertSettings settings, engine::Log& log)
    : loop_(loop), settings_(std::move(settings)), log_(log) {
  for (const AlertAgent& agent : settings_.agents) queues_.push_back({agent, {}, false, false});
  if (geteuid() != 0) return;
  const auto group = settings_.group_of(settings_.user);
  if (!group.ok()) {  // not the same as no such user: never as root for it
    queues_.clear();
    log_.write(engine::Log::Level::warning, "", "no alert agent is run: the user " + settings_.user + " can't be looked up: " + group.error() +
                                                    "; restart migrationd when it can");
  } else if (group.value()) {  // util-linux runs a program as another user
    as_user_ = {"setpriv", "--reuid", settings_.user, "--regid", std::to_string(*group.value()), "--init-groups", "--"};
  }
}

void AlertAgents::tell(const alarms::Alarm& alarm, WallTime at) {
  const AlertNews news{alarm, at, ++sequence_};
  for (std::size_t which = 0; which < queues_.size(); ++which) {
    Queue& queue = queues_[which];
    std::vector<std::string> recipients = queue.agent.recipients;
    if (recipients.empty()) recipients.emplace_back();
    for (std::string& recipient : recipients) queue.waiting.push_back({news, std::move(recipient)});
    while (queue.waiting.size() > settings_.waiting_limit) {
      const auto warning = std::find_if(queue.waiting.begin(), queue.waiting.end(), [](const Run& one) { return one.news.alarm.severity == Severity::warning; });
      queue.waiting.erase(warning == queue.waiting.end() ? queue.waiting.begin() : warning);
      if (!std::exchange(queue.overflowed, true))
        log_.write(engine::Log::Level::warning, "", "the alert agent " + queue.agent.path + " is too slow: it is not told of all alarms");
    }
    run_next(which);
  }
}

void AlertAgents::run_next(std::size_t which) {
  Queue& queue = queues_[which];
  if (queue.running || queue.waiting.empty()) return;
  queue.running = true;
  const Run run = std::move(queue.waiting.front());
  queue.waiting.pop_front();
  ProcessOrder order;
  order.argv = as_user_;
  order.argv.push_back(queue.agent.path);
  order.environment = alert_environment(run.news, settings_.self, run.recipient);
  order.deadline = settings_.limit;
  order.output_limit = 4096;
  const std::string about = "the alert agent " + queue.agent.path + " for alarm " + std::to_string(run.news.alarm.id);
  run_process(loop_.get_executor(), order, [this, weak = std::weak_ptr<int>(life_), which, about, order](Result<ProcessEnd> end) {
    if (!weak.lock()) return;
    Queue& queue = queues_[which];
    queue.running = false;
    if (queue.waiting.empty()) queue.overflowed = false;
    if (!end.ok() || end.value().exit_status != 0)
      log_.write(engine::Log::Level::warning, "", about + ": " + (end.ok() ? describe(order, end.value()) : end.error()));
    run_next(which);
  });
}

}  // namespace migrationd::io
