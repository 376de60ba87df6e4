// SPDX-License-Identifier: GPL-2.0-or-later
// What Pacemaker plans: what a stop means, asked of the scheduler (crm-simulate), and whether this node is one to move
// a domain to. The answers in the engine's words.
#include <algorithm>
#include <charconv>
#include <utility>

#include <boost/asio/post.hpp>
#include <pugixml.hpp>

#include "migrationd/io/crm-simulate.h"
#include "migrationd/io/engine-words.h"
#include "migrationd/io/pacemaker.h"

namespace migrationd::io {

namespace {

/// The asker gives up after 8 s.
constexpr Milliseconds staying_limit{5'000};

SchedulerQuestion about(const engine::StopQuestion& question, const PacemakerSettings& settings) {
  SchedulerQuestion asked;
  asked.resource = question.resource;
  asked.node = settings.self;
  asked.directory = settings.runtime_dir;
  return asked;
}

}  // namespace

void PacemakerCluster::intent_of_stop(const engine::StopQuestion& question, engine::Callback<engine::StopIntent> done) {
  if (question.face != "ocf" || !active_here()) {
    boost::asio::post(loop_, [done, question] {
      done({engine::Intent::stop, "",
            question.face == "ocf" ? "Pacemaker does not run here" : "a stop by hand, outside Pacemaker", false});
    });
    return;
  }
  explain_stop(loop_.get_executor(), about(question, settings_),
               [weak = std::weak_ptr<int>(life_), done](const intent::Decision& decision) {
                 if (!weak.lock()) return;
                 done(in_engine_words(decision));
               });
}

bool fencing_in_cib(const std::string& cib) {
  pugi::xml_document document;
  const auto configuration = document.load_string(cib.c_str()) ? document.child("cib").child("configuration") : pugi::xml_node();
  if (!configuration) return true;
  const auto property = [&](const std::string& name) {
    return std::string(configuration.select_node(("crm_config//nvpair[@name='" + name + "']").c_str()).node().attribute("value").value());
  };
  const std::string enabled = property("stonith-enabled");
  const std::string watchdog = property("stonith-watchdog-timeout");  // SBD without a disk fences, and is no resource
  if (enabled == "false" || enabled == "no" || enabled == "off" || enabled == "0" || enabled == "n") return false;
  const bool by_watchdog = !watchdog.empty() && watchdog.find_first_of("123456789-") != std::string::npos;
  return by_watchdog || configuration.select_node("resources//*[self::primitive or self::template][@class='stonith']");
}

Result<bool> ours_in(const std::string& answer, const std::string& resource, pugi::xml_document& document) {
  const std::size_t begin = answer.find("<primitive");
  if (begin == std::string::npos || !document.load_string(answer.c_str() + begin))
    return Error{"the cluster's configuration has no resource " + resource};
  const pugi::xml_node primitive = document.child("primitive");
  const auto is = [&](const char* name, const char* value) { return std::string(primitive.attribute(name).value()) == value; };
  if (!is("id", resource.c_str())) return Error{"the cluster's configuration does not tell of the resource " + resource};
  return is("class", "ocf") && is("provider", "migrationd") && is("type", "VirtualDomain");
}

Result<std::map<std::string, std::string>> parameters_in(const std::string& answer, const std::string& resource) {
  pugi::xml_document document;
  const Result<bool> ours = ours_in(answer, resource, document);
  if (!ours) return Error{ours.error()};
  const pugi::xml_node primitive = document.child("primitive");
  if (!ours.value()) return Error{resource + " is no ocf:migrationd:VirtualDomain in the cluster's configuration"};
  std::map<std::string, std::string> parameters;
  for (pugi::xml_node set : primitive.children("instance_attributes")) {
    if (set.attribute("id-ref") || set.child("rule") || set.select_node("nvpair[@id-ref]"))
      return Error{"the parameters of " + resource + " are not all its own, or depend on rules"};
    for (pugi::xml_node pair : set.children("nvpair")) parameters.emplace(pair.attribute("name").value(), pair.attribute("value").value());
  }
  return parameters;
}

void PacemakerCluster::parameters_of(const std::string& resource, engine::Callback<Result<std::map<std::string, std::string>>> done) {
  ask<std::map<std::string, std::string>>({{"crm_resource", "--resource", resource, "--query-xml"}, {}, staying_limit},
                                          [resource](const std::string& said) { return parameters_in(said, resource); }, std::move(done));
}

Result<int> priority_in(const std::string& said) {
  constexpr int infinity = 1'000'000;  // Pacemaker's own
  const std::string word = said.substr(0, said.find_first_of(" \t\r\n"));
  if (word.empty()) return 0;  // it has none
  if (word == "INFINITY" || word == "+INFINITY") return infinity;
  if (word == "-INFINITY") return -infinity;
  const char* begin = word.c_str() + (word.front() == '+' ? 1 : 0);
  int number = 0;
  const auto [end, error] = std::from_chars(begin, word.c_str() + word.size(), number);
  if (error != std::errc{} || end != word.c_str() + word.size()) return Error{"the priority '" + word + "' is no number"};
  return std::clamp(number, -infinity, infinity);
}

/// Asked so, it is also the one of the resource's group or of the defaults.
void PacemakerCluster::priority_of(const std::string& resource, engine::Callback<Result<int>> done) {
  ask<int>({{"crm_resource", "--resource", resource, "--meta", "--get-parameter", "priority"}, {}, staying_limit}, priority_in, std::move(done));
}

bool still_ours_in(const std::string& answer, const std::string& resource) {
  pugi::xml_document document;
  const Result<bool> ours = ours_in(answer, resource, document);
  return ours && ours.value();
}

void PacemakerCluster::still_ours(const std::string& resource, engine::Callback<bool> done) {
  ask<bool>({{"crm_resource", "--resource", resource, "--query-xml"}, {}, staying_limit},
            [resource](const std::string& answer) -> Result<bool> { return still_ours_in(answer, resource); },
            [done = std::move(done)](Result<bool> ours) { done(ours.ok() && ours.value()); });
}

Result<std::set<std::string>> resources_in(const std::string& cib) {
  pugi::xml_document document;
  if (!document.load_buffer(cib.data(), cib.size()) || !document.child("resources"))
    return Error{"cibadmin did not answer with the resources' configuration"};
  std::set<std::string> all;
  for (const pugi::xpath_node& found : document.select_nodes("//primitive")) all.insert(found.node().attribute("id").value());
  return all;
}

void PacemakerCluster::resources(engine::Callback<Result<std::set<std::string>>> done) {
  ask<std::set<std::string>>({{"cibadmin", "--query", "--local", "--scope", "resources"}, {}, staying_limit, largest_configuration}, resources_in,
                             std::move(done));
}

Outcome staying_by_monitor(const std::string& xml, const NodeName& node) {
  const std::string unsure = "it can't be told whether Pacemaker goes on to use that node: ";
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return Error{unsure + "crm_mon did not answer in its XML form"};
  const pugi::xml_node result = document.child("pacemaker-result");
  const pugi::xml_node found = result.child("nodes").find_child_by_attribute("node", "name", node.c_str());
  if (!found) return Error{unsure + "crm_mon does not list it"};
  const auto says = [&](const char* what) { return found.attribute(what).as_bool(); };
  if (says("shutdown")) return Error{"Pacemaker is being stopped there"};
  if (!says("online") || says("unclean") || says("pending")) return Error{"Pacemaker does not use that node: it is not online"};
  if (says("standby") || says("standby_onfail")) return Error{"that node is in standby"};
  const pugi::xml_node summary = result.child("summary");
  const std::string without_quorum = summary.child("cluster_options").attribute("no-quorum-policy").as_string();
  if (!summary.child("current_dc").attribute("with_quorum").as_bool() && without_quorum != "ignore")
    return Error{"that node's part of the cluster has no quorum"};
  return Done{};
}

void PacemakerCluster::staying(engine::Callback<Outcome> done) {
  if (!active_here()) {
    boost::asio::post(loop_, [done] { done(Error{"Pacemaker does not run there"}); });
    return;
  }
  monitor([self = settings_.self, done = std::move(done)](const Result<std::string>& said) {
    done(said.ok() ? staying_by_monitor(said.value(), self) : Outcome(Error{said.error()}));
  });
}

void PacemakerCluster::monitor(engine::Callback<Result<std::string>> done) {
  monitor_asked_.push_back(std::move(done));
  if (monitor_asked_.size() > 1) return;
  const ProcessOrder order{{"crm_mon", "-1", "--output-as=xml"}, {}, staying_limit, largest_configuration};
  ask<std::string>(order, [](const std::string& said) -> Result<std::string> { return said; }, [this](const Result<std::string>& said) {
    for (auto& done : std::exchange(monitor_asked_, {})) done(said);
  });
}

void PacemakerCluster::judge_offer(const engine::OfferQuestion& question,
                                   engine::Callback<engine::OfferJudgement> done) {
  if (!active_here()) {
    boost::asio::post(loop_, [done] {
      done({handoff::Judgement::real_stop, "the cluster manager left this node"});
    });
    return;
  }
  io::judge_offer(loop_.get_executor(), about(question.stop, settings_),
                  [weak = std::weak_ptr<int>(life_), done](const Result<intent::Judged>& judged) {
                    if (!weak.lock()) return;
                    if (!judged.ok()) {
                      done({handoff::Judgement::stands, judged.error()});
                    } else {
                      done(in_engine_words(judged.value()));
                    }
                  });
}

}  // namespace migrationd::io
