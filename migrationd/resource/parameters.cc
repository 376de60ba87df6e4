// SPDX-License-Identifier: GPL-2.0-or-later
// Checks and types the resource's parameters.
#include "migrationd/resource/parameters.h"

#include <charconv>

#include "migrationd/resource/duration.h"
#include "migrationd/resource/migration-uri.h"
#include "migrationd/resource/table.h"

namespace migrationd::resource {

namespace {

Error bad_value(std::string_view name, std::string_view value, std::string_view why) {
  return {"parameter " + std::string(name) + "='" + std::string(value) + "' is refused: " + std::string(why)};
}

bool has_control(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return true;
  return false;
}

// The spellings that ocf_is_true of the OCF shell functions takes for true, and their opposites.
std::optional<bool> parse_boolean(std::string_view text) {
  for (const std::string_view yes : {"yes", "true", "1", "on", "YES", "TRUE", "True", "ja", "ON"})
    if (text == yes) return true;
  for (const std::string_view no : {"no", "false", "0", "off", "NO", "FALSE", "False", "nein", "OFF"})
    if (text == no) return false;
  return std::nullopt;
}

std::optional<std::uint64_t> parse_integer(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_choice(std::string_view choices, std::string_view value) {
  while (true) {
    const std::size_t bar = choices.find('|');
    if (choices.substr(0, bar) == value) return true;
    if (bar == std::string_view::npos) return false;
    choices.remove_prefix(bar + 1);
  }
}

std::string choice_list(std::string_view choices) {
  std::string list;
  for (const char c : choices) {
    if (c != '|') list += c;
    else if (!list.empty()) list += ", ";
  }
  return list;
}

// What the type alone can say about a value.
Outcome check_type(const Row& row, std::string_view value) {
  if (value.size() > 4096) return bad_value(row.name, value.substr(0, 64), "it is longer than 4096 bytes");
  if (has_control(value)) return bad_value(row.name, "...", "it has control characters, such as a line break");
  switch (row.type) {
    case Type::string:
      return Done{};
    case Type::boolean:
      if (!parse_boolean(value)) return bad_value(row.name, value, "say yes or no");
      return Done{};
    case Type::integer:
      if (!parse_integer(value)) return bad_value(row.name, value, "it must be a whole number that isn't negative");
      return Done{};
    case Type::duration:
      if (auto duration = parse_duration(value); !duration) return bad_value(row.name, value, duration.error());
      return Done{};
    case Type::choice:
      if (!is_choice(row.choices, value))
        return bad_value(row.name, value, "it must be one of " + choice_list(row.choices));
      return Done{};
  }
  return Done{};
}

// Values of parameters that aren't implemented yet: only what means the same as leaving them out.
Outcome check_no_op(const Row& row, std::string_view value) {
  if (row.comes_with.empty() || value == row.preset) return Done{};
  if (row.type == Type::boolean && parse_boolean(value) == parse_boolean(row.preset)) return Done{};
  std::string why = "not implemented yet, comes with " + std::string(row.comes_with) + " in a later version; remove it";
  if (!row.preset.empty()) why += " or set it to " + std::string(row.preset);
  return bad_value(row.name, value, why);
}

Outcome check_path(std::string_view name, std::string_view value) {
  if (!value.starts_with('/')) return bad_value(name, value, "it must be an absolute path");
  return Done{};
}

Outcome check_domain_name(std::string_view value) {
  if (value.size() > 255) return bad_value("name", value.substr(0, 64), "a domain's name has at most 255 bytes");
  if (value.find('/') != std::string_view::npos) return bad_value("name", value, "a domain's name can't have a slash");
  if (value == "." || value == "..") return bad_value("name", value, "that is no domain's name");
  return Done{};
}

Outcome check_uri(std::string_view name, std::string_view value) {
  if (value.find(' ') != std::string_view::npos) return bad_value(name, value, "a URI can't have spaces");
  if (value.find(':') == std::string_view::npos && name != "migrateuri")
    return bad_value(name, value, "it isn't a libvirt URI, such as qemu:///system");
  return Done{};
}

Outcome check_shutdown_mode(std::string_view value) {
  std::string_view rest = value;
  while (true) {
    const std::size_t comma = rest.find(',');
    if (!is_choice("acpi|agent|initctl|signal|paravirt", rest.substr(0, comma)))
      return bad_value("shutdown_mode", value, "it may have acpi, agent, initctl, signal and paravirt, separated by commas");
    if (comma == std::string_view::npos) return Done{};
    rest.remove_prefix(comma + 1);
  }
}

// Both become part of a host in a URI, and could otherwise send the guest's memory elsewhere.
Outcome check_word(std::string_view name, std::string_view value, std::string_view extra) {
  for (const char c : value) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && extra.find(c) == std::string_view::npos)
      return bad_value(name, value, "it may have letters, digits and " + std::string(extra) + " only");
  }
  return Done{};
}

// `options` without its words --migrateuri=URI, the last of which goes to `uri`.
std::string without_migrateuri(std::string_view options, std::string& uri) {
  constexpr std::string_view uri_option = "--migrateuri=";
  std::string rest;
  while (true) {
    const std::size_t begin = options.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return rest;
    options.remove_prefix(begin);
    const std::string_view word = options.substr(0, options.find_first_of(" \t"));
    options.remove_prefix(word.size());
    if (word.starts_with(uri_option)) uri = word.substr(uri_option.size());
    else rest.append(rest.empty() ? "" : " ").append(word);
  }
}

std::optional<Transport> transport_of(std::string_view word) {
  for (const Transport transport : {Transport::migrationd, Transport::ssh, Transport::tls, Transport::tcp})
    if (word == to_string(transport)) return transport;
  return std::nullopt;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t begin = text.find_first_not_of(' '); begin != std::string_view::npos; begin = text.find_first_not_of(' ')) {
    text.remove_prefix(begin);
    words.emplace_back(text.substr(0, text.find(' ')));
    text.remove_prefix(words.back().size());
  }
  return words;
}

/// Which attribute autoset_utilization_X or unset_utilization_X is about; none: it is another parameter.
Parameters::Attribute* attribute_of(Parameters& to, std::string_view name) {
  if (name.ends_with("set_utilization_cpu")) return &to.cpu;
  if (name.ends_with("set_utilization_host_memory")) return &to.host_memory;
  if (name.ends_with("set_utilization_hv_memory")) return &to.hv_memory;
  return nullptr;
}

// What goes beyond the type, for the implemented ones; puts the value where it belongs.
Outcome assign(Parameters& to, std::string_view name, const std::string& value) {
  const auto milliseconds = [&] { return parse_duration(value).value(); };
  if (name == "config") {
    to.config = value;
    return check_path(name, value);
  }
  if (name == "name") {
    to.name = value;
    return check_domain_name(value);
  }
  if (name == "hypervisor") {
    to.hypervisor = value;
    return check_uri(name, value);
  }
  if (name == "force_stop") to.force_stop = *parse_boolean(value);
  if (name == "shutdown_mode") {
    to.shutdown_mode = value;
    return check_shutdown_mode(value);
  }
  if (name == "shutdown_timeout") to.shutdown_timeout = milliseconds();
  if (name == "migration_transport")
    to.migration_transport = *transport_of(value);
  if (name == "migration_user") {
    to.migration_user = value;
    return check_word(name, value, "-_.");
  }
  if (name == "migration_downtime") {
    const std::uint64_t number = *parse_integer(value);
    if (number > 2'000'000) return bad_value(name, value, "QEMU takes at most 2000000 ms");
    to.migration_downtime = Milliseconds(number);
  }
  if (name == "priority") {
    const std::uint64_t number = *parse_integer(value);
    if (number > 1'000'000) return bad_value(name, value, "it is more than 1000000");
    to.priority = static_cast<int>(number);
  }
  if (name == "migration_speed") {
    to.migration_speed = *parse_integer(value);
    if (to.migration_speed > 1'000'000) return bad_value(name, value, "it is more than 1000000 MiB/s");
  }
  if (name == "migration_network_suffix") {
    to.migration_network_suffix = value;
    return check_word(name, value, "-_.");
  }
  if (name == "migrateuri") {  // comes after migrate_options in the order of names, and goes before its URI
    to.migrateuri = value;
    return check_uri(name, value);
  }
  if (name == "remoteuri") {
    to.remoteuri = value;
    return check_uri(name, value);
  }
  if (name == "migrateport") {
    const std::uint64_t number = *parse_integer(value);
    if (number < 1 || number > 65535) return bad_value(name, value, "a port is a number from 1 to 65535");
    to.migrateport = static_cast<std::uint16_t>(number);
  }
  if (name == "migrate_options") {
    to.migrate_options = without_migrateuri(value, to.migrateuri);
  }
  if (name == "auto_converge") to.auto_converge = *parse_boolean(value);
  if (name == "postcopy") to.post_copy = *parse_boolean(value);
  if (name == "handoff") to.handoff = value == "off" ? Handoff::off : Handoff::automatic;
  if (name == "handoff_timeout") {
    to.handoff_timeout = milliseconds();
    if (to.handoff_timeout < Milliseconds(1000)) return bad_value(name, value, "it must be a second or longer; use handoff=off");
  }
  if (name == "start_timeout") {
    to.start_timeout = milliseconds();
    if (to.start_timeout < Milliseconds(1000)) return bad_value(name, value, "it must be a second or longer");
  }
  if (Parameters::Attribute* attribute = attribute_of(to, name)) {
    // In the order of names autoset_ comes first, and goes before unset_.
    if (name.starts_with("autoset_")) *attribute = *parse_boolean(value) ? Parameters::Attribute::set : Parameters::Attribute::leave;
    else if (*parse_boolean(value) && *attribute == Parameters::Attribute::leave) *attribute = Parameters::Attribute::unset;
  }
  if (name == "on_incompatible") to.restart_if_incompatible = value == "restart";
  if (name == "on_poweroff") to.stay_off = value == "stay-off";
  if (name == "backingfile") {
    to.backingfile = value;
    return check_path(name, value);
  }
  if (name == "stateless") to.stateless = *parse_boolean(value);
  if (name == "copyindirs") {
    to.copyindirs = words_of(value);
    for (const std::string& one : to.copyindirs)
      if (auto path = check_path(name, one); !path) return path;
  }
  if (name == "save_config_on_stop") to.save_config = *parse_boolean(value);
  if (name == "sync_config_on_stop") {  // comes after the other in the order of names
    to.sync_config = *parse_boolean(value);
    to.save_config = to.save_config || to.sync_config;
  }
  if (name == "start_resources") to.start_resources = *parse_boolean(value);
  if (name == "unfenced") to.unfenced = value == "membership" ? Unfenced::membership : Unfenced::refuse;
  return Done{};
}

constexpr const char* config_missing = "parameter config is missing: set it to the absolute path of the domain's libvirt XML";

/// What each of them may be, but not beside the others.
Outcome check_together(const Parameters& parameters) {
  if (parameters.backingfile.empty() && (parameters.stateless || !parameters.copyindirs.empty()))
    return Error{"the parameters stateless and copyindirs need backingfile: the image that the disk is made of"};
  return Done{};
}

/// One parameter, checked and typed; refused, it leaves `to` as it was.
Outcome take(Parameters& to, const std::string& name, const std::string& value) {
  if (added_by_cluster_manager(name)) return Done{};
  const Row* row = find_row(name);
  if (!row)
    return Error{"parameter " + name.substr(0, 64) + " is unknown to ocf:migrationd:VirtualDomain; see its meta-data, "
                 "and correct or remove it"};
  if (value.empty()) return Done{};
  if (name == "migration_transport")
    if (const auto transport = check_transport(value); !transport) return bad_value(name, value, transport.error());
  if (name == "handoff" && value == "on")
    return bad_value(name, value, "it would offer a domain although nobody can tell that its stop is part of a move, and so let it run on "
                                  "beneath what is to be stopped; in doubt a stop is a real one: say auto, or off");
  if (auto type = check_type(*row, value); !type) return Error{type.error()};
  if (auto no_op = check_no_op(*row, value); !no_op) return Error{no_op.error()};
  Parameters changed = to;
  if (auto assigned = assign(changed, name, value); !assigned) return Error{assigned.error()};
  to = std::move(changed);
  return Done{};
}

}  // namespace

Outcome check_transport(std::string_view value) {
  const std::string_view choices = find_row("migration_transport")->choices;
  if (!is_choice(choices, value)) return Error{"it must be one of " + choice_list(choices)};
  return Done{};
}

bool added_by_cluster_manager(std::string_view name) {
  return name.starts_with("CRM_meta_") || name.starts_with("trace_") || name == "crm_feature_set";
}

Result<Parameters> parse(const std::map<std::string, std::string>& given) {
  Parameters parameters;
  for (const auto& [name, value] : given)
    if (auto taken = take(parameters, name, value); !taken) return Error{taken.error()};
  if (parameters.config.empty()) return Error{config_missing};
  if (const auto together = check_together(parameters); !together) return Error{together.error()};
  if (auto possible = check_carried(parameters); !possible) return Error{possible.error()};
  return parameters;
}

GoodParameters good_parameters(const std::map<std::string, std::string>& given) {
  GoodParameters good;
  for (const auto& [name, value] : given) {
    if (auto taken = take(good.parsed, name, value); taken) {
      good.given[name] = value;
    } else if (good.complaint.empty()) {
      good.complaint = taken.error();
    }
  }
  if (good.parsed.config.empty() && good.complaint.empty()) good.complaint = config_missing;
  if (const auto together = check_together(good.parsed); !together && good.complaint.empty()) good.complaint = together.error();
  if (auto possible = check_carried(good.parsed); !possible && good.complaint.empty()) good.complaint = possible.error();
  return good;
}

const char* to_string(Transport transport) {
  switch (transport) {
    case Transport::automatic: return "";
    case Transport::migrationd: return "migrationd";
    case Transport::ssh: return "ssh";
    case Transport::tls: return "tls";
    case Transport::tcp: return "tcp";
  }
  return "";
}

}  // namespace migrationd::resource
