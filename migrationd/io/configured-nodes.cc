// SPDX-License-Identifier: GPL-2.0-or-later
// Answers of a cluster without a manager.
#include "migrationd/io/configured-nodes.h"

#include <boost/asio/post.hpp>

namespace migrationd::io {

void ConfiguredNodes::start(NodesChanged nodes_changed) {
  boost::asio::post(loop_, [this, nodes_changed] {
    nodes_changed(others_);
    if (listener_ != nullptr) listener_->members_changed();
  });
}

std::set<NodeName> ConfiguredNodes::others() const {
  std::set<NodeName> names;
  for (const auto& [name, addresses] : others_) names.insert(name);
  return names;
}

void ConfiguredNodes::staying(engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] { done(Done{}); });
}

void ConfiguredNodes::fenced_since(const NodeName&, Instant, engine::Callback<bool> done) {
  boost::asio::post(loop_, [done] { done(false); });
}

void ConfiguredNodes::request_fencing(const NodeName&, const std::string&, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] { done(Error{"no cluster manager is configured, so nothing can fence"}); });
}

void ConfiguredNodes::fencing_configured(engine::Callback<bool> done) {
  boost::asio::post(loop_, [done] { done(false); });
}

void ConfiguredNodes::intent_of_stop(const engine::StopQuestion&, engine::Callback<engine::StopIntent> done) {
  boost::asio::post(loop_, [done] {
    done({engine::Intent::stop, "", "no cluster manager is configured: a stop is a stop", false});
  });
}

void ConfiguredNodes::judge_offer(const engine::OfferQuestion&, engine::Callback<engine::OfferJudgement> done) {
  boost::asio::post(loop_, [done] { done({handoff::Judgement::stands, ""}); });
}

void ConfiguredNodes::report_failure(const std::string&, const std::string&, std::function<bool()>, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] { done(Error{"no cluster manager is configured; start it again by hand"}); });
}

void ConfiguredNodes::stay_off(const std::string&, std::function<bool()>, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] { done(Done{}); });
}

void ConfiguredNodes::clean_up(const std::string&, engine::Callback<Outcome> done) {
  boost::asio::post(loop_, [done] { done(Done{}); });
}

void ConfiguredNodes::parameters_of(const std::string&, engine::Callback<Result<std::map<std::string, std::string>>> done) {
  boost::asio::post(loop_, [done] { done(Error{"without a cluster manager there is no configuration that the nodes share"}); });
}

}  // namespace migrationd::io
