// SPDX-License-Identifier: GPL-2.0-or-later
// engine::ClusterManager on classic Heartbeat (haresources). Heartbeat tells its scripts nothing and plans
// nothing ahead, so this is put together from its files, from cl_status, and from what the agent saw of its own
// call. cl_status costs a fifth of a second of CPU, so it is asked only when somebody wants to know.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/io/cluster-source.h"
#include "migrationd/io/heartbeat-files.h"

namespace migrationd::io {

struct HeartbeatSettings {
  NodeName self;
  std::string directory = "/etc/ha.d";
  std::string pid_file = "/run/heartbeat.pid";
  std::string cl_status = "cl_status";  ///< the program
  std::string proc = "/proc";
  std::string stonith = "stonith";      ///< the program
  std::function<Instant()> now;         ///< the boot clock, when empty
};

/// Who is down: Heartbeat took over from it, or it was fenced, until it is seen back. No clock is read and nothing is asked.
class DownMemory {
 public:
  void went_down(const NodeName& node, Instant at) { down_[node] = at; }
  /// Heartbeat was asked at `asked` and showed `node` as member: what was before that is past.
  void seen_as_member(const NodeName& node, Instant asked);
  bool is_down(const NodeName& node) const { return down_.contains(node); }

 private:
  std::map<NodeName, Instant> down_;
};

class HeartbeatCluster : public ClusterSource {
 public:
  HeartbeatCluster(boost::asio::io_context& loop, HeartbeatSettings settings, engine::Log& log);
  ~HeartbeatCluster() override;

  /// Heartbeat called a start because `node` is dead. It has fenced it then, where ha.cf configures STONITH, unless it
  /// thinks that the node had given up its resources: what was offered there may run on. So this is no proof of
  /// absence; it only ends what waits for that node. Without STONITH it is passed over.
  void taken_over_from(const NodeName& node);

  void start(NodesChanged nodes_changed) override;
  void stop() override;
  std::vector<std::string> own_addresses() const override { return {settings_.self}; }
  void listen(engine::ClusterListener* listener) override { listener_ = listener; }
  std::set<NodeName> others() const override;
  bool member(const NodeName& node) const override;
  bool active_here() const override;
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

 private:
  struct Status {
    /// Nothing: it is not known, as before the first answer or when Heartbeat does not say.
    std::optional<bool> member;
    std::optional<Instant> answered;  ///< when Heartbeat last answered
    Instant missed_since;  ///< while it is no member: since when all answers, none long after another, say so
    bool asking = false;
    std::vector<std::function<void()>> waiting;  ///< for the answer
  };
  /// A text of ha.cf and what is wrong with it.
  struct Read {
    std::string text;
    std::string trouble;
    bool operator==(const Read&) const = default;
  };
  void read_files();
  /// Asks cl_status unless it was asked just now.
  void ask(const NodeName& node) const;
  /// Asks it in any case; `done` when status_ is of now.
  void ask_now(const NodeName& node, std::function<void()> done) const;
  NodeName peer() const;
  /// Heartbeat was just asked about `other`, unless that is linked and was not down.
  engine::OfferJudgement judge_peer(const NodeName& other, const engine::OfferQuestion& question);
  /// Resets `node` with the devices of ha.cf from the `first` on, until one of them has done it.
  void fence(const NodeName& node, std::size_t first, const std::string& troubles, engine::Callback<Outcome> done);
  std::vector<HaresourcesLine> haresources() const;

  boost::asio::io_context& loop_;
  HeartbeatSettings settings_;
  engine::Log& log_;
  engine::ClusterListener* listener_ = nullptr;
  NodesChanged nodes_changed_;
  HaCf cf_;
  std::optional<Read> read_;  ///< what was read last; nothing: not yet
  mutable std::map<NodeName, Status> status_;
  mutable DownMemory down_;
  std::map<NodeName, Instant> fenced_;        ///< when a reset that we asked for was done
  std::set<NodeName> being_fenced_;           ///< for an offer's sake
  std::unique_ptr<boost::asio::steady_timer> timer_;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
