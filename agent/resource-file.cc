// SPDX-License-Identifier: GPL-2.0-or-later
// Reads /etc/migrationd/resources/NAME.conf.
#include "agent/resource-file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "migrationd/wire/local-codec.h"

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

ResourceFile parse_resource_file(std::string_view text) {
  ResourceFile file;
  std::set<std::string> twice;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = line.find('=');
    const std::string name(trimmed(line.substr(0, equals)));
    std::string trouble;
    if (equals == std::string_view::npos || !is_parameter_name(name)) {
      trouble = "isn't NAME = VALUE";
    } else if (!file.parameters.emplace(name, trimmed(line.substr(equals + 1))).second) {
      trouble = "sets " + name + " once more";
      twice.insert(name);
    }
    if (!trouble.empty() && file.complaint.empty()) file.complaint = "line " + std::to_string(number) + " " + trouble;
  }
  for (const std::string& name : twice) file.parameters.erase(name);  // nobody knows which of them is meant
  return file;
}

ResourceFile read_resource_file(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name + ".conf";
  const std::string default_config = "/etc/libvirt/qemu/" + name + ".xml";
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {{{"config", default_config}}, ""};
    return {{}, "the resource's file " + path + " can't be opened: " + std::strerror(errno)};
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
  if (error != 0) return {{}, "the resource's file " + path + " can't be read: " + std::strerror(error)};
  if (text.size() > size_limit) return {{}, "the resource's file " + path + " is larger than 64 KiB"};
  ResourceFile file = parse_resource_file(text);
  if (file.complaint.empty()) file.parameters.try_emplace("config", default_config);
  else file.complaint = "the resource's file " + path + ": " + file.complaint;
  return file;
}

void drop_what_cannot_be_sent(ResourceFile& file) {
  for (auto at = file.parameters.begin(); at != file.parameters.end();) {
    if (wire::encode(wire::LocalRequest{.parameters = {*at}})) {
      ++at;
      continue;
    }
    if (file.complaint.empty()) file.complaint = "the value of " + at->first + " isn't UTF-8 and is not used";
    at = file.parameters.erase(at);
  }
}

}  // namespace migrationd::agent
