// SPDX-License-Identifier: GPL-2.0-or-later
// Takes written addresses apart.
#include "migrationd/io/address.h"

#include <algorithm>
#include <charconv>

namespace migrationd::io {

namespace {
std::optional<std::uint16_t> parse_port(const std::string& text) {
  std::uint16_t port = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (code != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

bool valid_host(const std::string& host, const char* others) {
  const auto fits = [others](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(others).find(c) != std::string_view::npos;
  };
  return !host.empty() && host.size() <= 255 && host[0] != '-' && std::all_of(host.begin(), host.end(), fits);
}
}  // namespace

std::optional<HostPort> parse_address(const std::string& text) {
  HostPort parsed;
  std::string port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string::npos) return std::nullopt;
    parsed.host = text.substr(1, close - 1);
    if (!valid_host(parsed.host, ".:%-_")) return std::nullopt;
    if (close + 1 < text.size()) {
      if (text[close + 1] != ':') return std::nullopt;
      has_port = true;
      port = text.substr(close + 2);
    }
  } else if (std::count(text.begin(), text.end(), ':') > 1) {
    parsed.host = text;  // an IPv6 address without brackets has no port
    if (!valid_host(parsed.host, ".:%-_")) return std::nullopt;
  } else {
    const auto colon = text.find(':');
    parsed.host = text.substr(0, colon);
    if (!valid_host(parsed.host, ".-_")) return std::nullopt;
    has_port = colon != std::string::npos;
    if (has_port) port = text.substr(colon + 1);
  }
  if (has_port) {
    parsed.port = parse_port(port);
    if (!parsed.port) return std::nullopt;
  }
  return parsed;
}

}  // namespace migrationd::io
