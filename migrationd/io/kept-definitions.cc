// SPDX-License-Identifier: GPL-2.0-or-later
// See kept-definitions.h.
#include "migrationd/io/kept-definitions.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include <nlohmann/json.hpp>

#include "migrationd/engine/definition-keeper.h"
#include "migrationd/io/domain-xml.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

using nlohmann::json;

constexpr std::string_view magic = "<!-- migrationd-definition ";
constexpr std::string_view version = "1";
constexpr std::string_view comment_end = " -->\n";
constexpr std::string_view comment_begin = "<!-- ";
constexpr std::size_t digest_length = 64;
/// The comments before the XML take little beside it.
constexpr std::size_t file_limit = engine::kept_definition_limit + 64 * 1024;
constexpr Milliseconds disk_limit{10'000};

std::string sha256(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  unsigned length = 0;
  EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr);
  static const char hex[] = "0123456789abcdef";
  std::string spelled;
  for (unsigned i = 0; i < length; ++i) {
    spelled += hex[digest[i] >> 4];
    spelled += hex[digest[i] & 15];
  }
  return spelled;
}

/// A comment in XML has no "--" in it; in these facts dashes are in texts only, where JSON can write them otherwise.
std::string without_dashes(const std::string& text) {
  std::string safe;
  for (char c : text) c == '-' ? safe += "\\u002d" : safe += c;
  return safe;
}

std::string file_of(const DomainUuid& uuid) { return uuid.str() + ".xml"; }
std::string named(const DomainUuid& uuid) { return "the definition that is kept of domain " + uuid.str(); }

Result<Fd> open_definitions(const std::string& state_dir) {
  if (Result<Fd> state = open_private_directory(state_dir); !state) return state;
  return open_private_directory(state_dir + "/definitions");
}

Result<engine::KeptDefinition> load(const Fd& directory, const DomainUuid& uuid) {
  const Fd fd(::openat(directory.get(), file_of(uuid).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return Error{"can't open it: " + errno_text(errno)};
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error{"can't examine it: " + errno_text(errno)};
  if (!S_ISREG(status.st_mode)) return Error{"it is not a regular file"};
  const Result<std::string> content = read_all(fd, file_limit, named(uuid));
  if (!content) return Error{content.error()};
  Result<engine::KeptDefinition> definition = decode_definition(content.value());
  if (definition && definition.value().uuid != uuid) return Error{"it is another domain's (" + definition.value().uuid.str() + ")"};
  return definition;
}

}  // namespace

bool no_such_file(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) != 0 && errno == ENOENT;
}

std::string encode_definition(const engine::KeptDefinition& d) {
  const json facts = {{"uuid", d.uuid.str()},     {"name", d.name},     {"resource", d.resource}, {"config", d.config},
                      {"origin", d.origin},       {"epoch", d.epoch.value}, {"version", d.version}, {"digest", d.digest}};
  const std::string body = std::string(comment_begin) + without_dashes(facts.dump(-1, ' ', false, json::error_handler_t::replace)) +
                           std::string(comment_end) + d.xml;
  return std::string(magic) + std::string(version) + " " + sha256(body) + std::string(comment_end) + body;
}

Result<engine::KeptDefinition> decode_definition(std::string_view content) {
  if (!content.starts_with(magic)) return Error{"it is no definition that migrationd keeps"};
  const std::size_t end = content.find(comment_end);
  if (end == std::string_view::npos) return Error{"its first line is broken"};
  const std::string_view head = content.substr(magic.size(), end - magic.size());
  const std::size_t blank = head.find(' ');
  if (head.substr(0, blank) != version) return Error{"it has the version " + std::string(head.substr(0, std::min<std::size_t>(blank, 20))) + ", and this release reads version 1 only"};
  const std::string_view body = content.substr(end + comment_end.size());
  if (blank == std::string_view::npos || head.substr(blank + 1) != sha256(body)) return Error{"its checksum does not fit: it was changed or is incomplete"};
  const std::size_t facts_end = body.find(comment_end);
  if (!body.starts_with(comment_begin) || facts_end == std::string_view::npos) return Error{"its second line is broken"};
  const json facts = json::parse(body.substr(comment_begin.size(), facts_end - comment_begin.size()), nullptr, /*allow_exceptions=*/false);
  engine::KeptDefinition d;
  try {
    const auto number = [&](const char* field) {
      if (!facts.at(field).is_number_unsigned()) throw std::runtime_error(std::string(field) + " is no whole number");
      return facts.at(field).get<std::uint64_t>();
    };
    const auto uuid = DomainUuid::parse(facts.at("uuid").get<std::string>());
    if (!uuid) return Error{"its uuid is no UUID"};
    d.uuid = *uuid;
    d.name = facts.at("name").get<std::string>();
    d.resource = facts.at("resource").get<std::string>();
    d.config = facts.at("config").get<std::string>();
    d.origin = facts.at("origin").get<std::string>();
    d.epoch.value = number("epoch");
    d.version = number("version");
    d.digest = facts.at("digest").get<std::string>();
  } catch (const std::exception& wrong) {
    return Error{std::string("its second line is broken: ") + wrong.what()};
  }
  d.xml = body.substr(facts_end + comment_end.size());
  if (const Outcome good = examine_definition(d); !good) return Error{good.error()};
  return d;
}

Outcome examine_definition(const engine::KeptDefinition& definition) {
  if (definition.digest.size() != digest_length || sha256(definition.xml) != definition.digest) return Error{"it is not as its digest says"};
  const Result<DomainXml> xml = parse_domain_xml(definition.xml, "the definition of " + definition.name);
  if (!xml) return Error{xml.error()};
  if (xml.value().uuid != definition.uuid)
    return Error{"it is the definition of the domain " + xml.value().uuid.str() + ", not of " + definition.uuid.str()};
  if (xml.value().name != definition.name) return Error{"the domain is called " + xml.value().name + " in it, not " + definition.name};
  return Done{};
}

LoadedDefinitions load_definitions(const std::string& state_dir) {
  const Result<Fd> directory = open_definitions(state_dir);
  if (!directory) return {{}, {directory.error()}};
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(::fcntl(directory.value().get(), F_DUPFD_CLOEXEC, 3)), ::closedir);
  LoadedDefinitions loaded;
  const auto unlisted = [&] { loaded.refused.push_back("can't list " + state_dir + "/definitions: " + errno_text(errno)); };
  if (!list) {
    unlisted();
    return loaded;
  }
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(list.get());
    if (entry == nullptr) break;
    const std::string file = entry->d_name;
    if (file[0] == '.') continue;  // ".", ".." and what a crash left of a write
    const auto uuid = file.ends_with(".xml") ? DomainUuid::parse(file.substr(0, file.size() - 4)) : std::nullopt;
    if (!uuid || file_of(*uuid) != file) {
      loaded.refused.push_back(file + ": is not named by a domain's UUID");
      continue;
    }
    auto definition = load(directory.value(), *uuid);
    if (definition) loaded.kept.push_back(std::move(definition.value()));
    else loaded.refused.push_back(file + ": " + definition.error());
  }
  if (errno != 0) unlisted();
  return loaded;
}

std::optional<engine::KeptDefinition> kept_instead_of(const std::string& state_dir, const std::string& resource, const std::string& config) {
  if (state_dir.empty() || resource.empty() || config.empty() || !no_such_file(config)) return std::nullopt;
  LoadedDefinitions loaded = load_definitions(state_dir);
  for (engine::KeptDefinition& one : loaded.kept)
    if (one.resource == resource && one.config == config) return std::move(one);
  return std::nullopt;
}

KeptDefinitions::KeptDefinitions(boost::asio::io_context& loop, std::string state_dir)
    : state_dir_(std::move(state_dir)), writes_(loop, 1), reads_(loop, 4) {}

std::string KeptDefinitions::digest(const std::string& xml) const { return sha256(xml); }

void KeptDefinitions::read_config(const std::string& file, engine::Callback<Result<std::optional<engine::Definition>>> done) {
  reads_.run<std::optional<engine::Definition>>(
      file, "read " + file, disk_limit,
      [file]() -> Result<std::optional<engine::Definition>> {
        auto xml = read_domain_xml(file);
        if (!xml && no_such_file(file)) return std::optional<engine::Definition>();
        if (!xml) return Error{xml.error()};
        return std::optional(engine::Definition{xml.value().uuid, xml.value().name, xml.value().xml, xml.value().memory_kib});
      },
      std::move(done));
}

void KeptDefinitions::keep_definition(const engine::KeptDefinition& definition, engine::Callback<Outcome> done) {
  writes_.run<Done>(
      definition.uuid.str(), "write " + named(definition.uuid), disk_limit,
      [definition, state_dir = state_dir_]() -> Result<Done> {
        const Result<Fd> directory = open_definitions(state_dir);
        if (!directory) return Error{directory.error()};
        const Outcome written = write_whole(directory.value(), file_of(definition.uuid), 0600, encode_definition(definition), Replace::yes, named(definition.uuid));
        if (!written) return Error{written.error()};
        return Done{};
      },
      std::move(done));
}

void KeptDefinitions::remove_definition(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  writes_.run<Done>(
      uuid.str(), "remove " + named(uuid), disk_limit,
      [uuid, state_dir = state_dir_]() -> Result<Done> {
        const Result<Fd> directory = open_definitions(state_dir);
        if (!directory) return Error{directory.error()};
        if (::unlinkat(directory.value().get(), file_of(uuid).c_str(), 0) != 0 && errno != ENOENT)
          return Error{"can't remove " + named(uuid) + ": " + errno_text(errno)};
        ::fsync(directory.value().get());
        return Done{};
      },
      std::move(done));
}

}  // namespace migrationd::io
