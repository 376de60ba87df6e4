// SPDX-License-Identifier: GPL-2.0-or-later
// See config-settings.h.
#include "migrationd/io/config-settings.h"

#include "migrationd/io/key-file.h"
#include "migrationd/io/tls-certificate.h"
#include "migrationd/io/tls-psk.h"

namespace migrationd::io {

Result<LinkAuthenticationPtr> read_authentication(const Config& config, const NodeName& self) {
  if (config.authentication == Authentication::certificate) {
    auto certificates = read_certificates(config.certificates, self);
    if (!certificates.ok()) return Error{certificates.error()};
    return authentication_by_certificate(std::move(certificates.value()));
  }
  auto keys = read_key_file(config.key);
  if (!keys.ok()) return Error{keys.error()};
  return authentication_by_key(std::move(keys.value()));
}

LogSettings log_settings(const Config& config) {
  LogSettings settings;
  switch (config.log_target) {
    case LogTarget::journal:  // libqb's syslog reaches the journal under systemd
    case LogTarget::syslog: settings.target = LogSettings::Target::syslog; break;
    case LogTarget::file: settings.target = LogSettings::Target::file; break;
    case LogTarget::standard_error: settings.target = LogSettings::Target::standard_error; break;
  }
  settings.file = config.log_file;
  switch (config.log_level) {
    case LogLevel::debug: settings.least = engine::Log::Level::debug; break;
    case LogLevel::info: settings.least = engine::Log::Level::info; break;
    case LogLevel::notice: settings.least = engine::Log::Level::notice; break;
    case LogLevel::warning: settings.least = engine::Log::Level::warning; break;
    case LogLevel::error: settings.least = engine::Log::Level::alarm; break;
  }
  settings.blackbox = config.state_dir + "/blackbox";
  return settings;
}

std::map<std::string, std::string> resource_defaults(const Config& config) {
  std::map<std::string, std::string> defaults;
  switch (config.handoff) {
    case Handoff::automatic: defaults["handoff"] = "auto"; break;
    case Handoff::off: defaults["handoff"] = "off"; break;
  }
  switch (config.unfenced) {
    case Unfenced::refuse: defaults["unfenced"] = "refuse"; break;
    case Unfenced::membership: defaults["unfenced"] = "membership"; break;
  }
  defaults["handoff_timeout"] = std::to_string(config.handoff_timeout.count()) + "ms";
  defaults["start_timeout"] = std::to_string(config.start_timeout.count()) + "ms";
  defaults["hypervisor"] = config.libvirt_uri;
  // It is the default anyway, but not one that contradicts a resource which names a way of libvirt's own.
  if (config.migration_transport != "migrationd") defaults["migration_transport"] = config.migration_transport;
  return defaults;
}

}  // namespace migrationd::io
