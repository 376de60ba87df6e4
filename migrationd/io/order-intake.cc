// SPDX-License-Identifier: GPL-2.0-or-later
// The agent's words, checked.
#include "migrationd/io/order-intake.h"

#include <cerrno>
#include <cstring>

#include "migrationd/io/domain-xml.h"
#include "migrationd/io/migrate-options.h"
#include "migrationd/resource/migration-uri.h"

namespace migrationd::io {

using wire::OcfCode;

namespace {

constexpr std::size_t definitions_kept = 4096;

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

engine::Policy::Handoff handoff_of(resource::Handoff handoff) {
  switch (handoff) {
    case resource::Handoff::automatic: return engine::Policy::Handoff::automatic;
    case resource::Handoff::off: return engine::Policy::Handoff::off;
  }
  return engine::Policy::Handoff::automatic;
}

}  // namespace

bool OrderIntake::serves(const std::map<std::string, std::string>& given) const {
  const auto hypervisor = given.find("hypervisor");
  return hypervisor == given.end() || hypervisor->second.empty() || resource::same_hypervisor(hypervisor->second, libvirt_uri_);
}

Result<resource::Parameters> OrderIntake::parse(const std::map<std::string, std::string>& given) const {
  auto parameters = resource::parse(given);
  if (!parameters.ok() || serves(given)) return parameters;
  return Error{"parameter hypervisor='" + given.at("hypervisor") + "' is refused: the migrationd of this node serves " + libvirt_uri_ +
               ", one hypervisor a node; correct the parameter, or libvirt_uri in migrationd.conf"};
}

Result<resource::Parameters> OrderIntake::usable(const std::map<std::string, std::string>& given) const {
  auto parameters = parse(given);
  if (!parameters.ok()) return parameters;
  const auto options = parse_migrate_options(parameters.value().migrate_options);
  if (!options.ok()) return Error{options.error()};
  return parameters;
}

Result<engine::Definition> OrderIntake::definition(const resource::Parameters& parameters) {
  struct stat now {};
  if (stat(parameters.config.c_str(), &now) != 0) {
    return Error{"the domain's definition " + parameters.config + " can't be read: " + std::strerror(errno)};
  }
  const auto found = known_.find(parameters.config);
  if (found == known_.end() || !same_file(found->second.file, now)) {
    auto read = read_domain_xml(parameters.config);
    if (!read.ok()) return Error{read.error()};
    if (known_.size() >= definitions_kept) known_.clear();
    const DomainXml& xml = read.value();
    known_[parameters.config] = {now, {xml.uuid, xml.name, xml.xml, xml.memory_kib}};
  }
  const engine::Definition& definition = known_[parameters.config].definition;
  if (!parameters.name.empty() && parameters.name != definition.name) {
    return Error{"the parameter name says '" + parameters.name + "', but " + parameters.config +
                 " defines the domain '" + definition.name + "': correct one of them"};
  }
  return definition;
}

std::variant<engine::Order, Refused> OrderIntake::order(const wire::LocalRequest& request) {
  static const std::map<std::string, engine::Order::Kind> kinds = {
      {"start", engine::Order::Kind::start},           {"stop", engine::Order::Kind::stop},
      {"monitor", engine::Order::Kind::monitor},       {"status", engine::Order::Kind::monitor},
      {"migrate_to", engine::Order::Kind::migrate_to}, {"migrate_from", engine::Order::Kind::migrate_from},
      {"reload-agent", engine::Order::Kind::reload}};
  const auto kind = kinds.find(request.operation);
  if (kind == kinds.end()) return Refused{OcfCode::unimplemented, "unknown action '" + request.operation + "'"};

  engine::Order order;
  order.kind = kind->second;
  order.face = request.face;
  order.resource = request.resource;
  order.timeout = request.timeout;
  order.cause = request.cause;
  for (const auto& [name, value] : request.parameters) {
    if (!resource::added_by_cluster_manager(name)) order.parameters[name] = value;
  }
  if (const auto target = request.parameters.find("CRM_meta_migrate_target"); target != request.parameters.end()) {
    order.target = target->second;
  }
  const bool begins = order.kind == engine::Order::Kind::start || order.kind == engine::Order::Kind::migrate_to;
  const auto parameters = begins ? usable(request.parameters) : parse(request.parameters);
  if (!parameters.ok() && order.kind != engine::Order::Kind::stop) return Refused{OcfCode::not_configured, parameters.error()};
  if (!parameters.ok()) return stop_by_the_good_ones(std::move(order), parameters.error());
  auto read = definition(parameters.value());
  if (read.ok()) {
    order.definition = std::move(read.value());
  } else {
    order.no_definition = read.error();
  }
  return order;
}

/// A stop is never refused for a parameter: what runs must be able to end.
engine::Order OrderIntake::stop_by_the_good_ones(engine::Order order, const std::string& complaint) {
  resource::GoodParameters good = resource::good_parameters(order.parameters);
  order.parameters = std::move(good.given);
  if (!serves(order.parameters)) order.parameters.erase("hypervisor");
  order.complaint = complaint;
  order.no_definition = complaint;
  if (good.parsed.config.empty()) return order;
  auto read = definition(good.parsed);
  if (read.ok()) {
    order.definition = std::move(read.value());
  } else {
    order.no_definition = read.error();
  }
  return order;
}

Refused OrderIntake::validate(const wire::LocalRequest& request) {
  const auto parameters = usable(request.parameters);
  if (!parameters.ok()) return {OcfCode::not_configured, parameters.error()};
  const auto read = definition(parameters.value());
  if (!read.ok()) return {OcfCode::not_installed, read.error()};
  return {OcfCode::success, ""};
}

engine::PolicyReader policy_reader(std::map<std::string, std::string> defaults) {
  return [defaults = std::move(defaults)](const std::map<std::string, std::string>& given) -> Result<engine::Policy> {
    std::map<std::string, std::string> all = given;
    for (const auto& [name, value] : defaults) {
      if (auto& slot = all[name]; slot.empty()) slot = value;
    }
    if (all["config"].empty()) all["config"] = "/";  // a domain known from a peer only: its way is still needed
    auto parsed = resource::parse(all);
    if (!parsed.ok()) return Error{parsed.error()};
    const resource::Parameters parameters = std::move(parsed.value());
    engine::Policy policy;
    policy.handoff = handoff_of(parameters.handoff);
    policy.handoff_timeout = parameters.handoff_timeout;
    policy.start_timeout = parameters.start_timeout;
    policy.unfenced_membership = parameters.unfenced == resource::Unfenced::membership;
    policy.force_stop = parameters.force_stop;
    policy.shutdown_mode = parameters.shutdown_mode;
    if (parameters.shutdown_timeout) {
      policy.shutdown_timeout = *parameters.shutdown_timeout;
      if (policy.shutdown_timeout.count() == 0) policy.force_stop = true;
    }
    policy.way_to = [parameters](const std::string&, const NodeName& node) {
      engine::MigrateOrder order;
      order.to = node;
      const auto uri = resource::migration_uri(parameters, node);
      order.uri = uri.ok() ? uri.value() : "";
      order.migrate_uri = resource::migrate_uri(parameters, node);
      order.downtime = parameters.migration_downtime;
      order.speed_mib = parameters.migration_speed;
      order.options = parameters.migrate_options;
      return order;
    };
    return policy;
  };
}

}  // namespace migrationd::io
