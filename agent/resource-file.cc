// SPDX-License-Identifier: GPL-2.0-or-later
// Reads /etc/migrationd/resources/NAME.conf.
#include "agent/resource-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace migrationd::agent {

namespace {

constexpr std::size_t size_limit = 64 * 1024;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool is_parameter_name(std::string_view text) {
  for (const char c : text)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  return !text.empty();
}

}  // namespace

Result<Parameters> parse_resource_file(std::string_view text) {
  Parameters parameters;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = line.find('=');
    const std::string name(trimmed(line.substr(0, equals)));
    if (equals == std::string_view::npos || !is_parameter_name(name))
      return Error{"line " + std::to_string(number) + " isn't NAME = VALUE"};
    if (!parameters.emplace(name, trimmed(line.substr(equals + 1))).second)
      return Error{"line " + std::to_string(number) + " sets " + name + " once more"};
  }
  return parameters;
}

Result<Parameters> read_resource_file(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name + ".conf";
  const std::string default_config = "/etc/libvirt/qemu/" + name + ".xml";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return Parameters{{"config", default_config}};
    return Error{"the resource's file " + path + " can't be opened: " + std::strerror(errno)};
  }
  std::string text;
  int error = 0;
  struct stat about {};
  if (::fstat(fd, &about) != 0) error = errno;
  else if (!S_ISREG(about.st_mode)) error = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
  while (error == 0 && text.size() <= size_limit) {
    char part[4096];
    const ssize_t got = ::read(fd, part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    text.append(part, static_cast<std::size_t>(got));
  }
  ::close(fd);
  if (error != 0) return Error{"the resource's file " + path + " can't be read: " + std::strerror(error)};
  if (text.size() > size_limit) return Error{"the resource's file " + path + " is larger than 64 KiB"};
  auto parameters = parse_resource_file(text);
  if (!parameters) return Error{"the resource's file " + path + ": " + parameters.error()};
  parameters.value().try_emplace("config", default_config);
  return parameters;
}

}  // namespace migrationd::agent
