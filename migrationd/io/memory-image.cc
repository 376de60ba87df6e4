// SPDX-License-Identifier: GPL-2.0-or-later
// See memory-image.h. Files are named by the domain's UUID and epoch alone, and only such names are touched.
#include "migrationd/io/memory-image.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <vector>

#include "migrationd/io/domain-xml.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr std::string_view suffix = ".memory";

std::string name_of(const DomainUuid& uuid, Epoch epoch) { return uuid.str() + "." + std::to_string(epoch.value) + std::string(suffix); }
std::string unfinished(const std::string& name) { return "." + name + ".new"; }

/// Whether a file is, or was to become, an image of this domain.
bool image_of(const DomainUuid& uuid, std::string_view name) {
  if (name.starts_with('.')) {
    if (!name.ends_with(".new")) return false;
    name = name.substr(1, name.size() - 5);
  }
  if (!name.starts_with(uuid.str() + ".") || !name.ends_with(suffix)) return false;
  name.remove_prefix(uuid.str().size() + 1);
  name.remove_suffix(suffix.size());
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

Result<Fd> open_directory(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return Error{"the directory " + path + " of the parameter snapshot can't be opened: " + errno_text(errno)};
  return fd;
}

Result<std::vector<std::string>> images_in(const std::string& directory, const DomainUuid& uuid) {
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(::opendir(directory.c_str()), ::closedir);
  if (!opened) return Error{"the directory " + directory + " of the parameter snapshot can't be read: " + errno_text(errno)};
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(opened.get()))
    if (image_of(uuid, entry->d_name)) names.push_back(entry->d_name);
  if (errno != 0) return Error{"the directory " + directory + " of the parameter snapshot can't be read: " + errno_text(errno)};
  return names;
}

Outcome failed(const std::string& step, const std::string& path) { return Error{step + " " + path + ": " + errno_text(errno)}; }

Outcome remove(const Fd& directory, const std::string& name, const std::string& path) {
  if (::unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT) return failed("remove", path);
  if (::fsync(directory.get()) != 0) return failed("fsync after the removal of", path);
  return Done{};
}

/// Removes all images but `kept`; what was removed.
Result<FoundImage> clear(const DomainUuid& uuid, const std::string& directory, const std::string& kept) {
  const auto opened = open_directory(directory);
  if (!opened) return Error{opened.error()};
  const auto names = images_in(directory, uuid);
  if (!names) return Error{names.error()};
  FoundImage found;
  for (const std::string& name : names.value()) {
    const std::string path = directory + "/" + name;
    if (name == kept) {
      found.path = path;
      continue;
    }
    if (const Outcome removed = remove(opened.value(), name, path); !removed)
      return Error{removed.error() + ": that memory is older than the disks; remove it by hand"};
    found.note += (found.note.empty() ? "" : ", ") + name;
  }
  if (!found.note.empty()) found.note = "saved memory that is older than its disks, or half of one, was removed from " + directory + ": " + found.note;
  return found;
}

}  // namespace

Outcome save_memory(const Connection& connection, const DomainUuid& uuid, const engine::MemoryImage& image) {
  const std::string what = "save the memory of domain " + uuid.str();
  const std::string name = name_of(uuid, image.epoch), path = image.directory + "/" + name;
  const std::string temporary = image.directory + "/" + unfinished(name);
  const auto directory = open_directory(image.directory);
  if (!directory) return Error{what + ": " + directory.error()};
  const Result<DomainHandle> domain = find_domain(connection, uuid);
  if (!domain) return Error{what + ": " + domain.error()};
  Outcome outcome = Done{};
  if (virDomainSaveFlags(domain.value().get(), temporary.c_str(), nullptr, 0) != 0) {
    outcome = libvirt_error(what);
  } else if (const Fd file(::open(temporary.c_str(), O_RDONLY | O_CLOEXEC)); !file || ::fsync(file.get()) != 0) {
    outcome = failed(what + ": fsync", temporary);
  } else if (::rename(temporary.c_str(), path.c_str()) != 0) {
    outcome = failed(what + ": rename", temporary);
  } else if (::fsync(directory.value().get()) != 0) {
    outcome = failed(what + ": fsync", image.directory);
  }
  if (!outcome) ::unlink(temporary.c_str());
  return outcome;
}

Result<FoundImage> find_image(const DomainUuid& uuid, const engine::MemoryImage& image) {
  return clear(uuid, image.directory, name_of(uuid, image.epoch));
}

Result<FoundImage> discard_images(const DomainUuid& uuid, const std::string& directory) { return clear(uuid, directory, ""); }

Outcome restore_memory(const Connection& connection, const DomainUuid& uuid, const engine::MemoryImage& image, const std::string& path) {
  const std::string what = "go on from the memory of domain " + uuid.str() + " in " + path;
  const auto directory = open_directory(image.directory);
  if (!directory) return Error{what + ": " + directory.error()};
  const auto kept = [&](const Error& why) -> Outcome {
    // Nothing ran, so it is as good for who starts it next.
    const std::string next = image.directory + "/" + name_of(uuid, image.epoch.next());
    if (::rename(path.c_str(), next.c_str()) != 0 || ::fsync(directory.value().get()) != 0) return Error{why.text + "; and " + failed("rename", path).error()};
    return Error{why.text + "; to give that memory up and have it boot afresh, remove " + next};
  };
  const std::unique_ptr<char, decltype(&std::free)> xml(virDomainSaveImageGetXMLDesc(connection.get(), path.c_str(), 0), &std::free);
  if (!xml) return kept(libvirt_error(what));
  const Result<DomainXml> saved = parse_domain_xml(xml.get(), path);
  if (!saved) return kept(Error{what + ": " + saved.error()});
  if (saved.value().uuid != uuid) return kept(Error{what + ": it is that of the domain " + saved.value().uuid.str()});
  if (virDomainRestoreFlags(connection.get(), path.c_str(), nullptr, VIR_DOMAIN_SAVE_PAUSED) != 0) return kept(libvirt_error(what));
  const auto end = [&](Error why) -> Outcome {
    const Result<DomainHandle> domain = find_domain(connection, uuid);
    if (domain) virDomainDestroy(domain.value().get());
    return why;
  };
  if (const Outcome removed = remove(directory.value(), path.substr(path.rfind('/') + 1), path); !removed)
    return end(Error{what + ": " + removed.error() + ", and so it could be used twice"});
  const Result<DomainHandle> domain = find_domain(connection, uuid);
  if (!domain) return Error{what + ": " + domain.error()};
  if (virDomainResume(domain.value().get()) != 0) return end(libvirt_error(what));
  return Done{};
}

}  // namespace migrationd::io
