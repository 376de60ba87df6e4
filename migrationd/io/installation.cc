// SPDX-License-Identifier: GPL-2.0-or-later
// Each file is one line, "migrationd-WORD 1 VALUE CHECKSUM": the checksum is the first 16 hexadecimal digits of the
// SHA-256 of all before it.
#include "migrationd/io/installation.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>

#include "migrationd/base/ids.h"
#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr std::size_t size_limit = 4096;

std::string hex(const unsigned char* bytes, std::size_t count) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

std::string checksum(const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  unsigned int length = 0;
  if (EVP_Digest(text.data(), text.size(), digest, &length, EVP_sha256(), nullptr) != 1) return {};
  return hex(digest, 8);
}

std::string line_of(const std::string& word, const std::string& value) {
  const std::string body = "migrationd-" + word + " 1 " + value + " ";
  return body + checksum(body) + "\n";
}

/// The value in the file `word`; nothing when there is no such file.
Result<std::optional<std::string>> read_value(const Fd& directory, const std::string& word, const std::string& path,
                                              const std::string& remedy) {
  const Fd fd(::openat(directory.get(), word.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return std::optional<std::string>{};
    return Error{"can't open " + path + ": " + errno_text(errno) + "; it must be a regular file. " + remedy};
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return Error{path + " is not a regular file. " + remedy};
  auto content = read_all(fd, size_limit, path);
  if (!content.ok()) return Error{content.error() + ". " + remedy};
  const std::string& text = content.value();
  const std::string opening = "migrationd-" + word + " ";
  if (text.starts_with(opening) && !text.starts_with(opening + "1 "))
    return Error{path + " was written by a newer migrationd: update this node; the file was left as it is"};
  const auto first = opening.size() + 2;
  const auto last = text.find(' ', first);
  if (!text.starts_with(opening + "1 ") || last == std::string::npos ||
      text != line_of(word, text.substr(first, last - first)))
    return Error{path + " is damaged (its checksum is wrong). " + remedy};
  return std::optional<std::string>(text.substr(first, last - first));
}

}  // namespace

Result<std::string> random_uuid() {
  unsigned char bytes[16];
  const auto random = random_bytes(bytes, sizeof bytes);
  if (!random.ok()) return Error{random.error()};
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string text = hex(bytes, sizeof bytes);
  for (std::size_t at : {20, 16, 12, 8}) text.insert(at, "-");
  return text;
}

Result<Identity> begin_incarnation(const std::string& state_dir) {
  // Both files go together: a UUID whose counter is lost would let old attempts pass for new ones.
  const std::string remedy = "Nothing was changed. Restore it from a backup; or, when no domain runs on this node, remove " +
                             state_dir + "/installation and " + state_dir +
                             "/incarnation: the node then counts as reinstalled, and \"migrationctl forget\" with its name "
                             "on another node lets the others go on without its old word";
  auto directory = open_private_directory(state_dir);
  if (!directory.ok()) return Error{directory.error()};
  const Fd& dir = directory.value();
  const std::string uuid_path = state_dir + "/installation", count_path = state_dir + "/incarnation";

  auto uuid = read_value(dir, "installation", uuid_path, remedy);
  if (!uuid.ok()) return Error{uuid.error()};
  auto count = read_value(dir, "incarnation", count_path, remedy);
  if (!count.ok()) return Error{count.error()};

  Identity identity;
  if (count.value()) {
    const std::string& digits = *count.value();
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), identity.incarnation);
    if (code != std::errc() || end != digits.data() + digits.size() ||
        identity.incarnation == std::numeric_limits<std::uint64_t>::max())
      return Error{count_path + " holds no usable number. " + remedy};
  }
  if (uuid.value()) {
    if (!DomainUuid::parse(*uuid.value())) return Error{uuid_path + " holds no UUID. " + remedy};
    if (!count.value()) return Error{count_path + " is missing though " + uuid_path + " is there. " + remedy};
    identity.installation = *uuid.value();
  }
  // The counter goes first: a crash between the two leaves a counter without a UUID, which is harmless.
  ++identity.incarnation;
  auto written = write_whole(dir, "incarnation", 0600, line_of("incarnation", std::to_string(identity.incarnation)),
                             Replace::yes, count_path);
  if (!written.ok()) return Error{written.error()};
  if (!uuid.value()) {
    auto fresh = random_uuid();
    if (!fresh.ok()) return Error{fresh.error()};
    identity.installation = fresh.value();
    written = write_whole(dir, "installation", 0600, line_of("installation", identity.installation), Replace::no, uuid_path);
    if (!written.ok()) return Error{written.error()};
  }
  return identity;
}

}  // namespace migrationd::io
