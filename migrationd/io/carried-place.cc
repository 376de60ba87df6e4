// SPDX-License-Identifier: GPL-2.0-or-later
// The sockets of carried migrations, on disk.
#include "migrationd/io/carried-place.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <memory>
#include <vector>

#include <pugixml.hpp>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr std::size_t name_length = 32;
constexpr int backlog = 64;

template <class Id>
bool number(std::string_view text, Id& to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc{} && end == text.data() + text.size();
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{path + " is too long for a socket's name; give a shorter runtime_dir"};
  path.copy(address.sun_path, path.size());
  return address;
}

bool migration_name(std::string_view name) {
  return name.size() == name_length && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::optional<Owner> owner_of_label(const std::string& label) {
  const std::size_t colon = label.find(':');
  if (colon == std::string::npos) return std::nullopt;
  const std::string user = label.substr(0, colon), group = label.substr(colon + 1);
  std::vector<char> room(16384);
  Owner owner{};
  passwd user_entry{}, *user_found = nullptr;
  if (user.starts_with('+')) {
    if (!number(std::string_view(user).substr(1), owner.user)) return std::nullopt;
  } else if (::getpwnam_r(user.c_str(), &user_entry, room.data(), room.size(), &user_found) == 0 && user_found != nullptr) {
    owner.user = user_entry.pw_uid;
  } else if (!number(user, owner.user)) {
    return std::nullopt;
  }
  ::group group_entry{}, *group_found = nullptr;
  if (group.starts_with('+')) {
    if (!number(std::string_view(group).substr(1), owner.group)) return std::nullopt;
  } else if (::getgrnam_r(group.c_str(), &group_entry, room.data(), room.size(), &group_found) == 0 && group_found != nullptr) {
    owner.group = group_entry.gr_gid;
  } else if (!number(group, owner.group)) {
    return std::nullopt;
  }
  return owner;
}

Result<Owner> emulator_owner(const std::string& domain_xml, const std::string& capabilities) {
  pugi::xml_document domain, host;
  if (domain.load_buffer(domain_xml.data(), domain_xml.size())) {
    for (const pugi::xml_node label : domain.child("domain").children("seclabel"))
      // libvirt makes a dynamic one anew on each node.
      if (std::string_view(label.attribute("model").value()) == "dac" && std::string_view(label.attribute("type").value()) == "static")
        if (const auto owner = owner_of_label(label.child("label").text().get())) return *owner;
  }
  if (!host.load_buffer(capabilities.data(), capabilities.size())) return Error{"libvirt's capabilities are not known yet"};
  for (const pugi::xml_node model : host.child("capabilities").child("host").children("secmodel")) {
    if (std::string_view(model.child("model").text().get()) != "dac") continue;
    for (const pugi::xml_node label : model.children("baselabel"))
      if (const auto owner = owner_of_label(label.text().get())) return *owner;
  }
  return Error{"neither the domain's definition nor libvirt's capabilities say which user runs its emulator (the label of the security model dac)"};
}

Result<std::string> new_migration_name() {
  std::array<unsigned char, name_length / 2> bytes{};
  if (auto filled = random_bytes(bytes.data(), bytes.size()); !filled) return Error{filled.error()};
  constexpr const char* digits = "0123456789abcdef";
  std::string name;
  for (const unsigned char byte : bytes) {
    name += digits[byte >> 4];
    name += digits[byte & 15];
  }
  return name;
}

Outcome CarriedPlace::prepare() const {
  const std::string longest = socket(std::string(name_length, '0'), wire::CarriedStream::libvirt);
  if (const auto fits = address_of(longest); !fits.ok()) return Error{fits.error()};
  const auto failed = [&](const char* what) { return Error{"the directory " + streams_ + " for the streams of migrations " + what + ": " + errno_text(errno)}; };
  if (::mkdir(streams_.c_str(), 0711) != 0 && errno != EEXIST) return failed("can't be made");
  struct stat status {};
  if (::lstat(streams_.c_str(), &status) != 0) return failed("can't be looked at");
  if (!S_ISDIR(status.st_mode) || status.st_uid != ::geteuid())
    return Error{streams_ + " is not this user's own directory; take it away, the daemon makes it"};
  if (::chmod(streams_.c_str(), 0711) != 0) return failed("can't be opened for the emulators");
  std::vector<std::string> left;
  if (const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(streams_.c_str()), ::closedir); listing)
    while (const dirent* entry = ::readdir(listing.get()))
      if (migration_name(entry->d_name)) left.emplace_back(entry->d_name);
  for (const std::string& migration : left) remove(migration);
  return Done{};
}

void CarriedPlace::close() const { ::rmdir(streams_.c_str()); }

std::string CarriedPlace::socket(const std::string& migration, wire::CarriedStream stream) const {
  if (stream == wire::CarriedStream::libvirt) return runtime_dir_ + "/" + migration + ".libvirt.sock";
  return directory(migration) + "/" + wire::to_string(stream) + ".sock";
}

Outcome CarriedPlace::make(const std::string& migration, mode_t mode) const {
  const std::string path = directory(migration);
  if (::mkdir(path.c_str(), 0700) != 0 || ::chmod(path.c_str(), mode) != 0)
    return Error{"the directory " + path + " for the sockets of a migration can't be made: " + errno_text(errno)};
  return Done{};
}

Outcome CarriedPlace::give(const std::string& migration, Owner owner) const {
  const std::string path = directory(migration);
  const Fd opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened || ::fchmod(opened.get(), 0700) != 0 || ::fchown(opened.get(), owner.user, owner.group) != 0)
    return Error{"the directory " + path + " can't be given to user " + std::to_string(owner.user) + ": " + errno_text(errno)};
  return Done{};
}

void CarriedPlace::remove(const std::string& migration) const {
  ::unlink(socket(migration, wire::CarriedStream::libvirt).c_str());
  const std::string path = directory(migration);
  Fd opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened) return;
  (void)!::fchown(opened.get(), ::geteuid(), ::getegid());  // nobody fills it again meanwhile
  opened.reset();
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);  // follows no links, and takes what a process of the emulator's user may have left
}

Result<Fd> listen_at(const std::string& path, Owner owner) {
  const auto address = address_of(path);
  if (!address.ok()) return Error{address.error()};
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* raw = reinterpret_cast<const sockaddr*>(&address.value());
  // Nobody else connects between the two: before listen() nobody can.
  if (!socket || ::bind(socket.get(), raw, sizeof(sockaddr_un)) != 0 || ::chmod(path.c_str(), 0600) != 0 ||
      ::chown(path.c_str(), owner.user, owner.group) != 0 || ::listen(socket.get(), backlog) != 0)
    return Error{"can't listen on " + path + ": " + errno_text(errno)};
  return socket;
}

Result<Fd> connect_to(const std::string& path) {
  const auto address = address_of(path);
  if (!address.ok()) return Error{address.error()};
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.value()), sizeof(sockaddr_un)) != 0)
    return Error{"can't connect to " + path + ": " + (errno == EAGAIN ? std::string("it accepts no connections") : errno_text(errno))};
  return socket;
}

std::string libvirt_socket(const std::string& uri) {
  constexpr std::string_view option = "socket=";
  const std::size_t query = uri.find('?');
  if (query != std::string::npos) {
    const std::size_t at = uri.find(option, query);
    if (at != std::string::npos) {
      const std::size_t from = at + option.size();
      return uri.substr(from, uri.find_first_of("&#", from) - from);
    }
  }
  const std::string driver = "/run/libvirt/virt" + uri.substr(0, uri.find_first_of("+:")) + "d-sock";
  return ::access(driver.c_str(), F_OK) == 0 ? driver : "/run/libvirt/libvirt-sock";
}

}  // namespace migrationd::io
