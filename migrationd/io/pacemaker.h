// SPDX-License-Identifier: GPL-2.0-or-later
// engine::ClusterManager on Pacemaker with Corosync: members from Corosync's quorum service, what a stop means
// from the scheduler itself, fencing through stonith_admin. Everything that asks Pacemaker is a child process
// with a deadline, so a hung cluster manager holds up nobody.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/io/cluster-source.h"
#include "migrationd/io/corosync.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/fencing-memory.h"
#include "migrationd/io/process.h"
#include "migrationd/io/utilization.h"

namespace migrationd::io {

struct PacemakerSettings {
  NodeName self;
  std::string corosync_conf = "/etc/corosync/corosync.conf";
  std::string cib_directory = "/var/lib/pacemaker/cib";
  std::string runtime_dir = "/run/migrationd";
};

/// The power fencings in the answer of `stonith_admin --history NODE --verbose --output-as=xml`.
/// Errors: not that kind of XML.
Result<std::vector<Fencing>> power_fencings(const std::string& xml);

/// Whether a CIB, as cibadmin prints it, configures fencing. One that can't be read does.
bool fencing_in_cib(const std::string& cib);

/// Whether Pacemaker uses `node` and goes on to, by the answer of `crm_mon -1 --output-as=xml`. Error: why it does not (being
/// shut down, standby, no quorum), or that it can't be told.
Outcome staying_by_monitor(const std::string& xml, const NodeName& node);

/// Whether Pacemaker restarts `resource` when its monitor fails, by `cibadmin --query --scope configuration`. Error: its on-fail says
/// something else, or it can't be told.
Outcome restarted_on_failure(const std::string& configuration, const std::string& resource);
/// Whether Pacemaker believes that `resource`, one of this agent's, runs on `node` and there alone, and looks after it, by the
/// answer of `crm_mon -1 --output-as=xml`. Error: why not (unmanaged, failed already, being stopped), or that it can't be told.
Outcome running_by_monitor(const std::string& xml, const std::string& resource, const NodeName& node);

/// What crm_resource says of a resource's priority, as a number; nothing said: 0.
Result<int> priority_in(const std::string& said);

/// The parameters of the resource in the answer of `crm_resource --resource ID --query-xml`. Errors: none is in it, it is not of
/// this agent, or its parameters depend on rules or are kept elsewhere, so that they can't be told.
/// Whether the answer of `crm_resource --query-xml` shows a resource of this agent's.
bool still_ours_in(const std::string& answer, const std::string& resource);
/// The ids of all resources, of `cibadmin --query --scope resources`.
Result<std::set<std::string>> resources_in(const std::string& cib);
Result<std::map<std::string, std::string>> parameters_in(const std::string& answer, const std::string& resource);

class PacemakerCluster : public ClusterSource {
 public:
  PacemakerCluster(boost::asio::io_context& loop, PacemakerSettings settings, engine::Log& log);
  ~PacemakerCluster() override;

  void start(NodesChanged nodes_changed) override;
  void stop() override;
  std::vector<std::string> own_addresses() const override;

  void listen(engine::ClusterListener* listener) override { listener_ = listener; }
  std::set<NodeName> others() const override;
  bool member(const NodeName& node) const override;
  bool active_here() const override;
  bool quorate() const override;
  void staying(engine::Callback<Outcome> done) override;
  void fenced_since(const NodeName& node, Instant since, engine::Callback<bool> done) override;
  void request_fencing(const NodeName& node, const std::string& why, engine::Callback<Outcome> done) override;
  void fencing_configured(engine::Callback<bool> done) override;
  void intent_of_stop(const engine::StopQuestion& question, engine::Callback<engine::StopIntent> done) override;
  void judge_offer(const engine::OfferQuestion& question, engine::Callback<engine::OfferJudgement> done) override;
  void report_failure(const std::string& resource, const std::string& what, std::function<bool()> wanted, engine::Callback<Outcome> done) override;
  void stay_off(const std::string& resource, std::function<bool()> wanted, engine::Callback<Outcome> done) override;
  void clean_up(const std::string& resource, engine::Callback<Outcome> done) override;
  void parameters_of(const std::string& resource, engine::Callback<Result<std::map<std::string, std::string>>> done) override;
  void priority_of(const std::string& resource, engine::Callback<Result<int>> done) override;
  void still_ours(const std::string& resource, engine::Callback<bool> done) override;
  void resources(engine::Callback<Result<std::set<std::string>>> done) override;
  void keep_utilization(const std::map<std::string, engine::Utilization>& resources) override;

  /// What Corosync's thread tells, on the loop.
  void viewed(const CorosyncView& view);

 private:
  /// Of an answer that has a whole configuration in it, or the state of all resources.
  static constexpr std::size_t largest_configuration = 64 * 1024 * 1024;

  /// Runs one of Pacemaker's programs and reads its answer.
  template <class T>
  void ask(const ProcessOrder& order, std::function<Result<T>(const std::string&)> read, engine::Callback<Result<T>> done);
  /// Says it when Corosync begins or ceases to answer.
  void say_whether_it_answers(const CorosyncView& view);
  void watch_cib();
  void read_watch();
  /// The wall clock is watched, and the histories that are wanted are looked at.
  void watch_clocks();
  void tick();
  /// Looks at the history of `node` and remembers it.
  void look_at_history(const NodeName& node, engine::Callback<Result<std::vector<Fencing>>> done);
  /// crm_mon's answer in its XML form.
  void monitor(engine::Callback<Result<std::string>> done);
  /// Carries it out about a resource that Pacemaker believes to run here.
  void carry_out_if_it_runs_here(const std::string& resource, const ProcessOrder& order, std::function<bool()> wanted, engine::Callback<Outcome> done);
  /// Runs a program of the cluster manager's; ok when it ends with 0.
  void carry_out(const ProcessOrder& order, engine::Callback<Outcome> done);

  boost::asio::io_context& loop_;
  PacemakerSettings settings_;
  engine::Log& log_;
  engine::ClusterListener* listener_ = nullptr;
  NodesChanged nodes_changed_;
  CorosyncView view_;
  bool was_connected_ = false;  ///< to a running Corosync, once
  std::optional<bool> answers_;  ///< what was said last of Corosync
  std::unique_ptr<Corosync> corosync_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> watch_;
  std::array<char, 4096> watch_buffer_{};
  FencingMemory fencings_;
  std::set<NodeName> looks_wanted_;   ///< whose history of fencings is to be remembered
  std::set<NodeName> looks_under_way_;
  std::map<NodeName, std::string> doubts_;  ///< said last
  std::vector<engine::Callback<Result<std::string>>> monitor_asked_;  ///< all answered by the one crm_mon that runs
  UtilizationKeeper utilization_;
  boost::asio::steady_timer ticks_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

template <class T>
void PacemakerCluster::ask(const ProcessOrder& order, std::function<Result<T>(const std::string&)> read, engine::Callback<Result<T>> done) {
  run_process(loop_.get_executor(), order, [weak = std::weak_ptr<int>(life_), order, read, done](Result<ProcessEnd> end) {
    if (!weak.lock()) return;
    if (!end.ok()) return done(Error{end.error()});
    if (end.value().exit_status != 0) return done(Error{describe(order, end.value())});
    done(read(end.value().out));
  });
}

}  // namespace migrationd::io
