// SPDX-License-Identifier: GPL-2.0-or-later
// engine::ClusterManager on Pacemaker with Corosync: members from Corosync's quorum service, what a stop means
// from the scheduler itself, fencing through stonith_admin. Everything that asks Pacemaker is a child process
// with a deadline, so a hung cluster manager holds up nobody.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "migrationd/io/cluster-source.h"
#include "migrationd/io/corosync.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/process.h"

namespace migrationd::io {

struct PacemakerSettings {
  NodeName self;
  std::string corosync_conf = "/etc/corosync/corosync.conf";
  std::string cib_directory = "/var/lib/pacemaker/cib";
  std::string runtime_dir = "/run/migrationd";
};

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
  void fenced_since(const NodeName& node, Instant since, engine::Callback<bool> done) override;
  void request_fencing(const NodeName& node, const std::string& why, engine::Callback<Outcome> done) override;
  void intent_of_stop(const engine::StopQuestion& question, engine::Callback<engine::StopIntent> done) override;
  void judge_offer(const engine::StopQuestion& question, engine::Callback<engine::OfferJudgement> done) override;
  void clean_up(const std::string& resource, engine::Callback<Outcome> done) override;

 private:
  void viewed(const CorosyncView& view);
  void watch_cib();
  void read_watch();
  /// Runs a program of the cluster manager's; ok when it ends with 0.
  void carry_out(const ProcessOrder& order, engine::Callback<Outcome> done);

  boost::asio::io_context& loop_;
  PacemakerSettings settings_;
  engine::Log& log_;
  engine::ClusterListener* listener_ = nullptr;
  NodesChanged nodes_changed_;
  CorosyncView view_;
  std::unique_ptr<Corosync> corosync_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> watch_;
  std::array<char, 4096> watch_buffer_{};
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

/// How many seconds ago the newest successful power fencing (off or reboot) of the answer of
/// `stonith_admin --history NODE --output-as=xml` was, at `now` (seconds since the epoch); nothing if none was.
/// Errors: not that kind of XML.
Result<std::optional<std::int64_t>> newest_fencing(const std::string& xml, std::int64_t now);

}  // namespace migrationd::io
