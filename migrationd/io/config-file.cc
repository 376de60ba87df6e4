// SPDX-License-Identifier: GPL-2.0-or-later
// Boost.Program_options reads each line by itself: so an error has its line, and a value given twice is noticed,
// both of which it doesn't offer for a whole file.
#include "migrationd/io/config-file.h"

#include <fcntl.h>

#include <algorithm>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <cerrno>
#include <charconv>
#include <functional>
#include <optional>
#include <sstream>

#include "migrationd/io/address.h"
#include "migrationd/io/file.h"
#include "migrationd/resource/parameters.h"
#include "migrationd/wire/peer-codec.h"

namespace migrationd::io {

namespace options = boost::program_options;

namespace {

constexpr std::size_t size_limit = 1024 * 1024;

/// Takes a value into the Config; the error says what is allowed.
using Setter = std::function<Outcome(Config&, const std::string&)>;

struct Key {
  const char* name;
  bool repeatable;
  Setter set;
  const char* why_once = "";  ///< more than "remove one of the two", when that does not speak for itself
};

template <class E>
Setter choice(E Config::*field, std::vector<std::pair<const char*, E>> words) {
  return [field, words = std::move(words)](Config& config, const std::string& value) -> Outcome {
    std::string allowed;
    for (const auto& [word, meaning] : words) {
      if (value == word) {
        config.*field = meaning;
        return Done{};
      }
      allowed += (allowed.empty() ? "" : ", ") + std::string(word);
    }
    return Error{"it must be one of " + allowed};
  };
}

Setter path(std::string Config::*field) {
  return [field](Config& config, const std::string& value) -> Outcome {
    if (!value.starts_with('/')) return Error{"it must be an absolute path, beginning with /"};
    config.*field = value;
    return Done{};
  };
}

Setter certificate_path(std::string CertificateFiles::*field) {
  return [field](Config& config, const std::string& value) -> Outcome {
    if (!value.starts_with('/')) return Error{"it must be an absolute path, beginning with /"};
    config.certificates.*field = value;
    return Done{};
  };
}

std::vector<std::string> words(const std::string& value) {
  std::istringstream stream(value);
  std::vector<std::string> list;
  for (std::string word; stream >> word;) list.push_back(word);
  return list;
}

/// "90", "90s", "2min", "500ms", "1h": a whole number and a unit; without one it's seconds.
std::optional<Milliseconds> parse_time(const std::string& value) {
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (code != std::errc() || number < 0 || number > 1'000'000'000) return std::nullopt;
  std::string unit(end, value.data() + value.size());
  unit.erase(0, unit.find_first_not_of(' ') == unit.npos ? unit.size() : unit.find_first_not_of(' '));
  if (unit.empty() || unit == "s" || unit == "sec") return Milliseconds(number * 1000);
  if (unit == "ms" || unit == "msec") return Milliseconds(number);
  if (unit == "m" || unit == "min") return Milliseconds(number * 60'000);
  if (unit == "h" || unit == "hr") return Milliseconds(number * 3'600'000);
  return std::nullopt;
}

Setter time(Milliseconds Config::*field) {
  return [field](Config& config, const std::string& value) -> Outcome {
    const auto parsed = parse_time(value);
    if (!parsed || *parsed < Milliseconds(1000) || *parsed > Milliseconds(86'400'000))
      return Error{"it must be a time from 1s to 24h, such as 90s or 2min"};
    config.*field = *parsed;
    return Done{};
  };
}

Outcome set_node_name(Config& config, const std::string& value) {
  if (!wire::valid_node_name(value)) return Error{"a node's name has no blanks and at most 255 bytes"};
  config.node_name = value;
  return Done{};
}

Outcome set_node(Config& config, const std::string& value) {
  auto list = words(value);
  if (list.size() < 2) return Error{"it must be a node's name and its addresses, such as: node = alpha 192.0.2.1"};
  if (!wire::valid_node_name(list[0])) return Error{"\"" + list[0].substr(0, 64) + "\" can't be a node's name"};
  const NodeName name = list[0];
  list.erase(list.begin());
  for (const auto& address : list)
    if (!parse_address(address)) return Error{"\"" + address + "\" is no address: an IP address or a name, and :PORT if it's another"};
  if (!config.nodes.emplace(name, list).second) return Error{"node " + name + " is there already: write all its addresses on one line"};
  return Done{};
}

Outcome set_port(Config& config, const std::string& value) {
  std::uint16_t port = 0;
  const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), port);
  if (code != std::errc() || end != value.data() + value.size() || port == 0)
    return Error{"it must be a TCP port, 1 to 65535"};
  config.port = port;
  return Done{};
}

Outcome set_listen(Config& config, const std::string& value) {
  const auto list = words(value);
  if (list.empty()) return Error{"it must be \"cluster\", \"any\" or addresses of this node"};
  if (list.size() == 1 && list[0] == "cluster") return Done{};
  if (list.size() == 1 && list[0] == "any") {
    config.listen_everywhere = true;
    return Done{};
  }
  for (const auto& address : list) {
    if (address == "cluster" || address == "any" || !parse_address(address))
      return Error{"\"" + address + "\" is no address; allowed are \"cluster\" alone, \"any\" alone, or addresses of this node"};
  }
  config.listen = list;
  return Done{};
}

Outcome set_log_target(Config& config, const std::string& value) {
  if (value == "journal") config.log_target = LogTarget::journal;
  else if (value == "syslog") config.log_target = LogTarget::syslog;
  else if (value == "stderr") config.log_target = LogTarget::standard_error;
  else if (value.starts_with("file:/")) {
    config.log_target = LogTarget::file;
    config.log_file = value.substr(5);
  } else return Error{"it must be one of journal, syslog, stderr, or file:/PATH"};
  return Done{};
}

Outcome set_libvirt_uri(Config& config, const std::string& value) {
  if (value.find("://") == std::string::npos || value.find(' ') != std::string::npos)
    return Error{"it must be a libvirt URI, such as qemu:///system or xen:///system"};
  config.libvirt_uri = value;
  return Done{};
}

Outcome set_transport(Config& config, const std::string& value) {
  if (auto possible = resource::check_transport(value); !possible.ok()) return possible;
  config.migration_transport = value;
  return Done{};
}

Outcome set_migrations_at_once(Config& config, const std::string& value) {
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size() || number < 1 || number > 100) return Error{"it must be a number from 1 to 100"};
  config.migrations_at_once = number;
  return Done{};
}

Outcome set_alert_agent(Config& config, const std::string& value) {
  if (!value.starts_with('/')) return Error{"it must be an absolute path, beginning with /"};
  config.alert_agents.push_back({value, {}});
  return Done{};
}

Outcome set_alert_recipient(Config& config, const std::string& value) {
  if (config.alert_agents.empty()) return Error{"it belongs to the alert_agent above it, and there is none"};
  if (value.empty()) return Error{"an agent without a recipient has no such line"};
  config.alert_agents.back().recipients.push_back(value);
  return Done{};
}

const std::vector<Key>& keys() {
  static const std::vector<Key> list = {
      {"alert_agent", true, set_alert_agent},
      {"alert_recipient", true, set_alert_recipient},
      {"authentication", false,
       choice(&Config::authentication, {{"key", Authentication::key}, {"certificate", Authentication::certificate}})},
      {"ca_certificate", false, certificate_path(&CertificateFiles::ca)},
      {"ca_revoked", false, certificate_path(&CertificateFiles::revoked)},
      {"client_certificate", false, certificate_path(&CertificateFiles::client_certificate)},
      {"client_key", false, certificate_path(&CertificateFiles::client_key)},
      {"cluster", false,
       choice(&Config::cluster, {{"auto", ClusterKind::automatic},
                                 {"pacemaker", ClusterKind::pacemaker},
                                 {"heartbeat", ClusterKind::heartbeat},
                                 {"none", ClusterKind::none}})},
      {"handoff", false,
       choice(&Config::handoff, {{"auto", Handoff::automatic}, {"off", Handoff::off}})},
      {"handoff_timeout", false, time(&Config::handoff_timeout)},
      {"key", false, path(&Config::key)},
      {"libvirt_uri", false, set_libvirt_uri, "; a daemon serves one hypervisor"},
      {"listen", false, set_listen},
      {"log_level", false,
       choice(&Config::log_level, {{"debug", LogLevel::debug},
                                   {"info", LogLevel::info},
                                   {"notice", LogLevel::notice},
                                   {"warning", LogLevel::warning},
                                   {"error", LogLevel::error}})},
      {"log_target", false, set_log_target},
      {"migration_transport", false, set_transport},
      {"migrations_at_once", false, set_migrations_at_once},
      {"node", true, set_node},
      {"node_name", false, set_node_name},
      {"port", false, set_port},
      {"runtime_dir", false, path(&Config::runtime_dir)},
      {"server_certificate", false, certificate_path(&CertificateFiles::server_certificate)},
      {"server_key", false, certificate_path(&CertificateFiles::server_key)},
      {"start_timeout", false, time(&Config::start_timeout)},
      {"state_dir", false, path(&Config::state_dir)},
      {"unfenced", false,
       choice(&Config::unfenced, {{"refuse", Unfenced::refuse}, {"membership", Unfenced::membership}})},
  };
  return list;
}

/// Key and value of one line; nothing when there is neither.
Result<std::optional<std::pair<std::string, std::string>>> parse_line(const std::string& line) {
  static const options::options_description nothing_registered;
  try {
    std::istringstream stream(line);
    const auto parsed = options::parse_config_file(stream, nothing_registered, /*allow_unregistered=*/true);
    if (parsed.options.empty()) return std::optional<std::pair<std::string, std::string>>{};
    const auto& option = parsed.options.front();
    return std::optional(std::pair(option.string_key, option.value.empty() ? "" : option.value.front()));
  } catch (const options::error&) {
    return Error{"this is no line \"key = value\""};
  }
}

/// The line in which each key was given first.
using Given = std::map<std::string, int>;

Outcome take_line(Config& config, Given& given, std::string line, int number) {
  if (!line.empty() && line.back() == '\r') line.pop_back();
  const auto first = line.find_first_not_of(" \t");
  if (first != line.npos && line[first] == '[') return Error{"there are no sections in this file: remove the line"};
  if (line.find('\0') != line.npos) return Error{"this is no text file"};
  const auto parsed = parse_line(line);
  if (!parsed.ok()) return Error{parsed.error()};
  if (!parsed.value()) return Done{};
  const auto& [name, value] = *parsed.value();
  const auto key = std::find_if(keys().begin(), keys().end(), [&n = name](const Key& k) { return n == k.name; });
  if (key == keys().end()) {
    std::string known;
    for (const Key& k : keys()) known += (known.empty() ? "" : ", ") + std::string(k.name);
    return Error{"the key \"" + name.substr(0, 64) + "\" is unknown; known are " + known};
  }
  if (const auto [earlier, fresh] = given.emplace(name, number); !fresh && !key->repeatable)
    return Error{"\"" + name + "\" was given already in line " + std::to_string(earlier->second) + ": remove one of the two" + key->why_once};
  if (const auto set = key->set(config, value); !set.ok())
    return Error{"\"" + value.substr(0, 128) + "\" is no value for \"" + name + "\": " + set.error()};
  return Done{};
}

/// Takes every line that is right. The first error, with its place; empty: there's none.
std::string take_lines(Config& config, Given& given, const std::string& content, const std::string& path) {
  std::string error;
  std::istringstream lines(content);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const auto taken = take_line(config, given, std::move(line), number);
    if (!taken.ok() && error.empty()) error = path + ":" + std::to_string(number) + ": " + taken.error();
  }
  return error;
}

/// The file's content; nothing: there is no such file.
Result<std::optional<std::string>> read_content(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::optional<std::string>();
  if (!fd) return Error{"can't open the configuration file " + path + ": " + errno_text(errno)};
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error{"can't examine " + path + ": " + errno_text(errno)};
  if (S_ISDIR(status.st_mode)) return Error{"the configuration file " + path + " is a directory: name the file in it"};
  if (!S_ISREG(status.st_mode)) return Error{"the configuration file " + path + " is not a regular file"};
  if (status.st_mode & 022)
    return Error{"the configuration file " + path + " can be changed by others than its owner: do chmod go-w " + path};
  auto content = read_all(fd, size_limit, "the configuration file " + path);
  if (!content.ok()) return Error{content.error()};
  return std::optional(std::move(content.value()));
}

}  // namespace

Result<Config> parse_config(const std::string& content, const std::string& path) {
  Config config;
  Given given;
  if (std::string error = take_lines(config, given, content, path); !error.empty()) return Error{std::move(error)};
  if (!config.nodes.empty() && config.cluster != ClusterKind::none)
    return Error{path + ":" + std::to_string(given.at("node")) +
                 ": \"node\" only goes with \"cluster = none\"; otherwise the cluster manager says which nodes there are"};
  if (config.cluster == ClusterKind::none && config.nodes.empty())
    return Error{path + ":" + std::to_string(given.at("cluster")) +
                 ": with \"cluster = none\" the nodes must be listed here, each as: node = NAME ADDRESS"};
  return config;
}

Result<Config> read_config_file(const std::string& path, bool must_exist) {
  const auto content = read_content(path);
  if (!content.ok()) return Error{content.error()};
  if (content.value()) return parse_config(*content.value(), path);
  if (!must_exist) return Config{};
  return Error{"can't open the configuration file " + path + ": " + errno_text(ENOENT) +
               "; name another with --config, or leave it out for the defaults"};
}

ConfigRest read_rest_of_config_file(const std::string& path) {
  ConfigRest rest;
  Given given;
  const auto content = read_content(path);
  if (!content.ok()) rest.complaint = content.error();
  else if (content.value()) rest.complaint = take_lines(rest.config, given, *content.value(), path);
  return rest;
}

}  // namespace migrationd::io
