// SPDX-License-Identifier: GPL-2.0-or-later
// The agent's words, checked.
#include "migrationd/io/order-intake.h"

#include "migrationd/io/kept-definitions.h"
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

/// As ocf:heartbeat:VirtualDomain names it, but the dots of directories don't count.
std::string disk_beside(const std::string& config) {
  const std::size_t name = config.rfind('/') + 1;
  return config.substr(0, config.find('.', name)) + ".qcow2";
}

engine::Utilization utilization_of(const resource::Parameters& parameters, const engine::DomainView& view) {
  engine::Utilization all;
  const auto say = [&all](const char* name, resource::Parameters::Attribute wanted, std::uint64_t value) {
    switch (wanted) {
      case resource::Parameters::Attribute::set:
        if (value > 0) all[name] = value;
        break;
      case resource::Parameters::Attribute::unset: all[name] = std::nullopt; break;
      case resource::Parameters::Attribute::leave: break;
    }
  };
  say("cpu", parameters.cpu, view.vcpus);
  say("host_memory", parameters.host_memory, view.memory_kib / 1024);
  say("hv_memory", parameters.hv_memory, view.memory_kib / 1024);
  return all;
}

void without(engine::Order& order, const NoDefinition& none) {
  Refused refused = refuse(Fault::node, none.why);
  order.no_definition = {refused.code, std::move(refused.reason)};
  order.misnamed = none.misnamed;
}

}  // namespace

void OrderIntake::define(engine::Order& order, const resource::Parameters& parameters) {
  struct stat now {};
  const bool there = stat(parameters.config.c_str(), &now) == 0;
  const auto found = known_.find(parameters.config);
  if (there && found != known_.end() && same_file(found->second.file, now)) {
    const engine::Definition& definition = found->second.definition;
    if (std::string why = misnaming(parameters, definition.name); !why.empty()) return without(order, {std::move(why), true});
    order.definition = definition;
    return;
  }
  const auto read = read_definition(parameters);
  if (const auto* none = std::get_if<NoDefinition>(&read)) {
    order.no_file = no_such_file(parameters.config);
    return without(order, *none);
  }
  const DomainXml& xml = std::get<DomainXml>(read);
  order.definition = {xml.uuid, xml.name, xml.xml, xml.memory_kib};
  if (!there) return;
  if (known_.size() >= definitions_kept) known_.clear();
  known_[parameters.config] = {now, *order.definition};
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
  const auto checked = begins ? check_all_parameters(request.parameters, libvirt_uri_) : check_parameters(request.parameters, libvirt_uri_);
  if (const auto* refused = std::get_if<Refused>(&checked)) {
    if (order.kind != engine::Order::Kind::stop) return *refused;
    return stop_by_the_good_ones(std::move(order), *refused);
  }
  define(order, std::get<resource::Parameters>(checked));
  return order;
}

/// A stop is never refused for a parameter: what runs must be able to end.
engine::Order OrderIntake::stop_by_the_good_ones(engine::Order order, const Refused& refused) {
  resource::GoodParameters good = resource::good_parameters(order.parameters);
  order.parameters = std::move(good.given);
  if (!serves(libvirt_uri_, order.parameters)) order.parameters.erase("hypervisor");
  order.complaint = refused.reason;
  order.no_definition = {refused.code, refused.reason};
  if (!good.parsed.config.empty()) define(order, good.parsed);
  return order;
}

engine::PolicyReader policy_reader(std::map<std::string, std::string> defaults) {
  return [defaults = std::move(defaults)](const std::map<std::string, std::string>& given) -> Result<engine::Policy> {
    std::map<std::string, std::string> all = given;
    for (const auto& [name, value] : defaults) {
      if (auto& slot = all[name]; slot.empty()) slot = value;
    }
    if (all["config"].empty()) all["config"] = std::string("/");  // a domain known from a peer only: its way is still needed
    auto parsed = resource::parse(all);
    if (!parsed.ok()) return Error{parsed.error()};
    const resource::Parameters parameters = std::move(parsed.value());
    engine::Policy policy;
    policy.handoff = handoff_of(parameters.handoff);
    policy.handoff_timeout = parameters.handoff_timeout;
    policy.start_timeout = parameters.start_timeout;
    policy.unfenced_membership = parameters.unfenced == resource::Unfenced::membership;
    const auto unfenced = defaults.find("unfenced");
    policy.unfenced_by_configuration = unfenced != defaults.end() && unfenced->second == "membership";
    policy.force_stop = parameters.force_stop;
    policy.shutdown_mode = parameters.shutdown_mode;
    if (parameters.shutdown_timeout) {
      policy.shutdown_timeout = *parameters.shutdown_timeout;
      if (policy.shutdown_timeout.count() == 0) policy.force_stop = true;
    }
    policy.start_resources = parameters.start_resources;
    policy.restart_if_incompatible = parameters.restart_if_incompatible;
    policy.stay_off = parameters.stay_off;
    if (!parameters.backingfile.empty())
      policy.disk = engine::CopyOnWrite{parameters.backingfile, disk_beside(parameters.config), parameters.stateless, parameters.copyindirs, parameters.config};
    policy.priority = parameters.priority;
    if (parameters.save_config) policy.save_config_to = parameters.config;
    policy.sync_config = parameters.sync_config;
    policy.utilization = [parameters](const engine::DomainView& view) { return utilization_of(parameters, view); };
    policy.way_to = [parameters](const std::string&, const NodeName& node) {
      engine::MigrateOrder order;
      order.to = node;
      order.carried = resource::carried(parameters);
      if (order.carried) order.via = resource::carried_via(parameters, node);
      const auto uri = resource::migration_uri(parameters, node);
      order.uri = uri.ok() ? uri.value() : "";
      order.migrate_uri = resource::migrate_uri(parameters, node);
      order.downtime = parameters.migration_downtime;
      order.speed_mib = parameters.migration_speed;
      order.options = parameters.migrate_options;
      order.auto_converge = parameters.auto_converge;
      order.post_copy = order.carried && parameters.post_copy;
      return order;
    };
    return policy;
  };
}

}  // namespace migrationd::io
