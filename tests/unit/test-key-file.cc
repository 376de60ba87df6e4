// SPDX-License-Identifier: GPL-2.0-or-later
// A key that others could read, change or swap is no key; and making one never destroys one.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "migrationd/io/key-file.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;
using tests::Scratch;
namespace fs = std::filesystem;

namespace {
const std::string some_key(64, 'a');

std::string refusal(const std::string& path) {
  const auto keys = read_key_file(path);
  return keys.ok() ? "accepted" : keys.error();
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string with_content(const Scratch& scratch, const std::string& content) {
  const std::string path = scratch / "key";
  tests::write_file(path, content);
  ::chmod(path.c_str(), 0400);
  const std::string answer = refusal(path);
  fs::remove(path);
  return answer;
}
}  // namespace

TEST_CASE("key-file: what create makes can be read by its owner alone") {
  Scratch scratch;
  const auto made = change_key_file(scratch / "key", KeyChange::create);
  REQUIRE(made.ok());
  const auto keys = read_key_file(scratch / "key");
  REQUIRE(keys.ok());
  CHECK(keys.value().size() == 1);
  struct stat status {};
  REQUIRE(::stat((scratch / "key").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0400);
  // Nothing is left beside it.
  CHECK(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("key-file: create never overwrites a key") {
  Scratch scratch;
  REQUIRE(change_key_file(scratch / "key", KeyChange::create).ok());
  const std::string before = tests::file_content(scratch / "key");
  const auto again = change_key_file(scratch / "key", KeyChange::create);
  REQUIRE_FALSE(again.ok());
  CHECK(says(again.error(), "exists already"));
  CHECK(says(again.error(), "keygen --rotate"));
  CHECK(tests::file_content(scratch / "key") == before);
  CHECK(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("key-file: rotating keeps the former key as the second, dropping removes it") {
  Scratch scratch;
  REQUIRE(change_key_file(scratch / "key", KeyChange::create).ok());
  const Key first = read_key_file(scratch / "key").value().front();
  REQUIRE(change_key_file(scratch / "key", KeyChange::rotate).ok());
  const auto both = read_key_file(scratch / "key").value();
  REQUIRE(both.size() == 2);
  CHECK(both[0] != first);
  CHECK(both[1] == first);
  REQUIRE(change_key_file(scratch / "key", KeyChange::drop_old).ok());
  const auto last = read_key_file(scratch / "key").value();
  REQUIRE(last.size() == 1);
  CHECK(last[0] == both[0]);
  CHECK_FALSE(change_key_file(scratch / "key", KeyChange::drop_old).ok());
}

TEST_CASE("key-file: rotating twice keeps two keys, not three") {
  Scratch scratch;
  REQUIRE(change_key_file(scratch / "key", KeyChange::create).ok());
  REQUIRE(change_key_file(scratch / "key", KeyChange::rotate).ok());
  REQUIRE(change_key_file(scratch / "key", KeyChange::rotate).ok());
  CHECK(read_key_file(scratch / "key").value().size() == 2);
}

TEST_CASE("key-file: rotating what isn't there or isn't a key changes nothing") {
  Scratch scratch;
  CHECK_FALSE(change_key_file(scratch / "key", KeyChange::rotate).ok());
  CHECK_FALSE(fs::exists(scratch / "key"));
  tests::write_file(scratch / "key", "precious");
  ::chmod((scratch / "key").c_str(), 0400);
  CHECK_FALSE(change_key_file(scratch / "key", KeyChange::rotate).ok());
  CHECK(tests::file_content(scratch / "key") == "precious");
}

TEST_CASE("key-file: create says what is wrong with the place") {
  Scratch scratch;
  const auto no_directory = change_key_file(scratch / "no/key", KeyChange::create);
  REQUIRE_FALSE(no_directory.ok());
  CHECK(says(no_directory.error(), "install -d"));
  const auto directory = change_key_file(scratch.path(), KeyChange::create);
  REQUIRE_FALSE(directory.ok());
  CHECK(says(directory.error(), "is a directory"));
}

TEST_CASE("key-file: missing, a directory, a FIFO") {
  Scratch scratch;
  CHECK(says(refusal(scratch / "key"), "is missing: make one with \"migrationctl keygen\""));
  CHECK(says(refusal(scratch.path()), "is a directory"));
  REQUIRE(::mkfifo((scratch / "fifo").c_str(), 0400) == 0);
  CHECK(says(refusal(scratch / "fifo"), "is not a regular file"));
}

TEST_CASE("key-file: readable or writable by others is refused, whatever the bit") {
  Scratch scratch;
  REQUIRE(change_key_file(scratch / "key", KeyChange::create).ok());
  for (const mode_t bit : {0040, 0020, 0010, 0004, 0002, 0001}) {
    CAPTURE(bit);
    ::chmod((scratch / "key").c_str(), 0400 | bit);
    CHECK(says(refusal(scratch / "key"), "chmod 0400"));
  }
  ::chmod((scratch / "key").c_str(), 0600);
  CHECK(refusal(scratch / "key") == "accepted");
}

TEST_CASE("key-file: another user's file is refused" * doctest::skip(::geteuid() != 0)) {
  Scratch scratch;
  REQUIRE(change_key_file(scratch / "key", KeyChange::create).ok());
  REQUIRE(::chown((scratch / "key").c_str(), 65534, 65534) == 0);
  CHECK(says(refusal(scratch / "key"), "belongs to the user id 65534"));
}

TEST_CASE("key-file: a link is judged by what it leads to") {
  Scratch scratch;
  REQUIRE(change_key_file(scratch / "real", KeyChange::create).ok());
  fs::create_symlink(scratch / "real", scratch / "link");
  CHECK(refusal(scratch / "link") == "accepted");
  REQUIRE(change_key_file(scratch / "link", KeyChange::rotate).ok());
  CHECK(fs::is_symlink(scratch / "link"));
  CHECK(read_key_file(scratch / "real").value().size() == 2);
  ::chmod((scratch / "real").c_str(), 0444);
  CHECK(says(refusal(scratch / "link"), "can be read"));
  fs::remove(scratch / "real");
  CHECK(says(refusal(scratch / "link"), "is missing"));
  CHECK_FALSE(change_key_file(scratch / "link", KeyChange::create).ok());
}

TEST_CASE("key-file: garbage is refused with its line, and never repeated") {
  Scratch scratch;
  CHECK(with_content(scratch, "# note\n\nmigrationd-key 1\nkey " + some_key + "\n") == "accepted");
  CHECK(with_content(scratch, "migrationd-key 1\r\nkey " + some_key + "\r\n") == "accepted");
  CHECK(says(with_content(scratch, ""), "empty"));
  CHECK(says(with_content(scratch, "migrationd-key 1\n"), "no key in it"));
  CHECK(says(with_content(scratch, "migrationd-key 2\nkey 00\n"), "newer migrationd"));
  CHECK(says(with_content(scratch, some_key), "not a key file"));
  CHECK(says(with_content(scratch, "migrationd-key 1\nkey " + some_key + "a\n"), "key:2: a key has 64"));
  CHECK(says(with_content(scratch, "migrationd-key 1\nkey " + some_key.substr(1) + "\n"), "has 63 characters"));
  CHECK(says(with_content(scratch, "migrationd-key 1\nkey " + some_key.substr(1) + "g\n"), "a key has 64"));
  CHECK(says(with_content(scratch, "migrationd-key 1\nkey " + std::string(64, '0') + "\n"), "zeros"));
  const std::string line = "key " + some_key + "\n";
  CHECK(says(with_content(scratch, "migrationd-key 1\n" + line + line + line), "more than two"));
  CHECK(says(with_content(scratch, std::string(100'000, 'x')), "larger than"));
  CHECK(says(with_content(scratch, std::string("\0\xff\n", 3)), "not a key file"));
  CHECK_FALSE(says(with_content(scratch, "migrationd-key 1\nkey " + some_key + "a\n"), "aaaa"));
}
