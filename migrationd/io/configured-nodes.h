// SPDX-License-Identifier: GPL-2.0-or-later
// The cluster of a daemon without a cluster manager: the nodes of its own configuration file. Nobody plans
// and nobody fences here, so a stop is always a real one, and a silent node is never proven absent.
#pragma once

#include <boost/asio/io_context.hpp>

#include "migrationd/io/cluster-source.h"

namespace migrationd::io {

class ConfiguredNodes : public ClusterSource {
 public:
  ConfiguredNodes(boost::asio::io_context& loop, std::map<NodeName, std::vector<std::string>> others,
                  std::vector<std::string> own)
      : loop_(loop), others_(std::move(others)), own_(std::move(own)) {}

  void start(NodesChanged nodes_changed) override;
  void stop() override {}
  std::vector<std::string> own_addresses() const override { return own_; }
  void listen(engine::ClusterListener* listener) override { listener_ = listener; }
  std::set<NodeName> others() const override;
  bool member(const NodeName&) const override { return false; }
  bool active_here() const override { return false; }
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
  boost::asio::io_context& loop_;
  std::map<NodeName, std::vector<std::string>> others_;
  std::vector<std::string> own_;
  engine::ClusterListener* listener_ = nullptr;
};

}  // namespace migrationd::io
