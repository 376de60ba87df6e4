// SPDX-License-Identifier: GPL-2.0-or-later
// Reads and makes the key file. No error text ever holds a part of a key.
#include "migrationd/io/key-file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <sstream>
#include <system_error>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr const char* opening = "migrationd-key 1";
constexpr std::size_t size_limit = 4096;

std::optional<Key> parse_key(const std::string& hex) {
  Key key;
  if (hex.size() != key.size() * 2) return std::nullopt;
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  for (std::size_t i = 0; i < key.size(); ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    key[i] = static_cast<unsigned char>(high << 4 | low);
  }
  return key;
}

std::string content_of(const std::vector<Key>& keys) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text = std::string("# The shared key of this cluster's migrationd. Keep it secret; the same on all nodes.\n") +
                     opening + "\n";
  for (const Key& key : keys) {
    text += "key ";
    for (unsigned char byte : key) {
      text += digits[byte >> 4];
      text += digits[byte & 15];
    }
    text += "\n";
  }
  return text;
}

Result<std::vector<Key>> parse(const std::string& content, const std::string& path) {
  std::istringstream lines(content);
  std::string line;
  std::vector<Key> keys;
  bool opened = false;
  const auto fail = [&](int number, const std::string& why) {
    return Error{path + ":" + std::to_string(number) + ": " + why +
                 "; copy the file again from a node that has it, or make a new one with: migrationctl keygen"};
  };
  int number = 0;
  while (std::getline(lines, line)) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    if (!opened) {
      if (line.starts_with("migrationd-key ") && line != opening)
        return Error{path + ":" + std::to_string(number) +
                     ": this key file is of another version than 1, so a newer migrationd wrote it: update this node"};
      if (line != opening) return fail(number, std::string("this is not a key file, which begins with \"") + opening + "\"");
      opened = true;
      continue;
    }
    if (!line.starts_with("key ")) return fail(number, "a line \"key\" with 64 hexadecimal digits was expected");
    const auto key = parse_key(line.substr(4));
    if (!key)
      return fail(number, "a key has 64 hexadecimal digits, this one has " + std::to_string(line.size() - 4) +
                              " characters or others among them");
    if (*key == Key{}) return fail(number, "a key of nothing but zeros is none");
    if (keys.size() == 2) return fail(number, "there are more than two keys");
    keys.push_back(*key);
  }
  if (!opened) return fail(number, "the file is empty");
  if (keys.empty()) return fail(number, "there is no key in it");
  return keys;
}

}  // namespace

Result<std::vector<Key>> read_key_file(const std::string& path) {
  // O_NONBLOCK: a FIFO must not hold us up.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) {
    const int code = errno;
    if (code == ENOENT)
      return Error{"the key file " + path + " is missing: make one with \"migrationctl keygen\" on one node and copy "
                   "it to the same place on all others"};
    return Error{"can't open the key file " + path + ": " + errno_text(code) + "; it must be readable by this daemon (root)"};
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error{"can't examine the key file " + path + ": " + errno_text(errno)};
  if (S_ISDIR(status.st_mode)) return Error{"the key file " + path + " is a directory: name the file in it"};
  if (!S_ISREG(status.st_mode)) return Error{"the key file " + path + " is not a regular file: replace it by one"};
  const uid_t user = ::geteuid();
  if (status.st_uid != user)
    return Error{"the key file " + path + " belongs to the user id " + std::to_string(status.st_uid) + ", not to " +
                 std::to_string(user) + ": who owns it could change it; do chown " + std::to_string(user) + " " + path};
  if (status.st_mode & 077)
    return Error{"the key file " + path + " can be read or written by others than its owner: do chmod 0400 " + path +
                 ", and if somebody may have read it, make a new key with: migrationctl keygen --rotate"};
  auto content = read_all(fd, size_limit, "the key file " + path);
  if (!content.ok()) return Error{content.error()};
  return parse(content.value(), path);
}

Result<std::string> change_key_file(const std::string& path, KeyChange change) {
  // A link is followed, so that a rotation changes the file and doesn't cut it off from its other readers.
  std::error_code code;
  std::filesystem::path real = path;
  if (std::filesystem::is_symlink(real, code)) {
    real = std::filesystem::canonical(real, code);
    if (code)
      return Error{"the key file " + path + " is a symbolic link that leads nowhere (" + code.message() +
                   "): remove it or make what it points to"};
  }
  if (real.filename().empty() || std::filesystem::is_directory(real, code))
    return Error{path + " is a directory: name the file in it, such as " + default_key_path};

  std::vector<Key> keys;
  if (change != KeyChange::create) {
    auto old = read_key_file(real);
    if (!old.ok()) return Error{old.error()};
    keys.push_back(old.value().front());
    if (change == KeyChange::drop_old && old.value().size() == 1)
      return Error{path + " holds only one key: there is no old one to drop"};
  }
  if (change != KeyChange::drop_old) {
    Key key;
    const auto random = random_bytes(key.data(), key.size());
    if (!random.ok()) return Error{random.error()};
    keys.insert(keys.begin(), key);
  }

  const auto parent = real.parent_path().empty() ? std::filesystem::path(".") : real.parent_path();
  const Fd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory)
    return Error{"can't open the directory of " + path + ": " + errno_text(errno) + "; make it with: install -d -m 0755 " +
                 parent.string()};
  const auto replace = change == KeyChange::create ? Replace::no : Replace::yes;
  const auto written = write_whole(directory, real.filename(), 0400, content_of(keys), replace, path);
  if (!written.ok()) {
    if (change == KeyChange::create && std::filesystem::exists(real, code))
      return Error{written.error() + "; a new key beside the old one: migrationctl keygen --rotate"};
    return Error{written.error()};
  }
  switch (change) {
    case KeyChange::create:
      return "made " + path + "; copy it to the same place on all other nodes, owner root, mode 0400";
    case KeyChange::rotate:
      return "put a new key before the old one in " + path + "; copy it to all other nodes and reload their daemons, then "
             "drop the old key with: migrationctl keygen --drop-old";
    case KeyChange::drop_old:
      return "only the newest key is left in " + path + "; copy it to all other nodes and reload their daemons";
  }
  return Error{"unknown change of a key file"};
}

}  // namespace migrationd::io
