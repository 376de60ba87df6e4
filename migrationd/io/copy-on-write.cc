// SPDX-License-Identifier: GPL-2.0-or-later
// See copy-on-write.h.
#include "migrationd/io/copy-on-write.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "migrationd/io/domain-xml.h"
#include "migrationd/io/file.h"
#include "migrationd/io/process.h"

namespace migrationd::io {

namespace {

using Steady = std::chrono::steady_clock;

/// How long a program may take, until when all must be done, and who says that it is not wanted any more.
struct Pace {
  Milliseconds limit;
  std::optional<Steady::time_point> until;
  std::stop_token given_up;
};

constexpr const char* was_given_up = "the boot was given up";

/// In this thread, to its end. Ok: its output.
Result<std::string> carry_out(std::vector<std::string> argv, const Pace& pace, const std::string& from_package) {
  boost::asio::io_context loop;
  const std::stop_callback leave(pace.given_up, [&loop] { loop.stop(); });  // the loop's end is the program's
  std::optional<Result<ProcessEnd>> ended;
  const std::string program = argv.front();
  const auto left = pace.until ? std::chrono::duration_cast<Milliseconds>(*pace.until - Steady::now()) : pace.limit;
  const std::string no_time = "the start's time does not suffice for it: give the operation start a longer timeout";
  if (left <= Milliseconds{0}) return Error{program + " was not begun: " + no_time};
  const ProcessOrder order{std::move(argv), {}, std::min(pace.limit, left)};
  run_process(loop.get_executor(), order, [&](Result<ProcessEnd> end) { ended = std::move(end); });
  loop.run();
  if (!ended || pace.given_up.stop_requested()) return Error{was_given_up};
  if (!ended->ok() && pace.until && Steady::now() + Milliseconds{5} >= *pace.until) return Error{ended->error() + "; " + no_time};
  if (!ended->ok()) return Error{ended->error() + " (it comes with the package " + from_package + ")"};
  if (ended->value().exit_status != 0) return Error{describe(order, ended->value())};
  return ended->value().out;
}

Outcome make(const engine::CopyOnWrite& disk, const std::string& temporary, const Pace& pace) {
  const auto info = carry_out({"qemu-img", "info", "--output=json", disk.backing}, pace, "qemu-utils");
  if (!info) return Error{info.error()};
  const auto format = image_format(info.value());
  if (!format) return Error{disk.backing + ": " + format.error()};
  const auto made = carry_out({"qemu-img", "create", "-q", "-f", "qcow2", "-b", disk.backing, "-F", format.value(), temporary}, pace, "qemu-utils");
  if (!made) return Error{made.error()};
  if (disk.copied_in.empty()) return Done{};
  std::vector<std::string> copy{"virt-copy-in", "-a", temporary};
  copy.insert(copy.end(), disk.copied_in.begin(), disk.copied_in.end());
  copy.push_back("/");
  const auto copied = carry_out(std::move(copy), pace, "libguestfs-tools");
  return copied ? Outcome{Done{}} : Outcome{Error{copied.error()}};
}

}  // namespace

Result<std::string> image_format(const std::string& answer) {
  const auto json = nlohmann::json::parse(answer, nullptr, /*allow_exceptions=*/false);
  const auto format = json.is_object() ? json.find("format") : json.end();
  if (!json.is_object() || format == json.end() || !format->is_string()) return Error{"qemu-img does not tell its format"};
  return format->get<std::string>();
}

Result<std::string> make_disk(const engine::CopyOnWrite& disk, const std::string& xml, Milliseconds limit, const std::stop_token& given_up) {
  const Steady::time_point begun = Steady::now();
  const std::string what = "make the disk " + disk.image;
  const Result<DomainXml> domain = parse_domain_xml(xml, "the domain's definition");
  if (!domain) return Error{what + ": " + domain.error()};
  const auto& disks = domain.value().disks;
  if (std::none_of(disks.begin(), disks.end(), [&](const Disk& one) { return one.source == disk.image; }))
    return Error{what + ": the domain's definition has no disk with that file; it is where the parameter backingfile has the disk made"};
  struct stat status {};
  const bool there = ::stat(disk.image.c_str(), &status) == 0;
  if (!there && errno != ENOENT) return Error{what + ": " + errno_text(errno)};
  if (there && status.st_size > 0 && !disk.anew) return std::string();
  // In its place an empty directory is seen where the storage is not mounted: a new disk in it would have nothing of the guest's.
  if (!disk.beside.empty() && ::access(disk.beside.c_str(), R_OK) != 0)
    return Error{what + ": the parameter config names " + disk.beside + ", which can't be read here: " + errno_text(errno) + "; is its storage mounted?"};
  const std::string temporary = disk.image + ".new";
  ::unlink(temporary.c_str());  // what a node left that died in the middle of it
  std::optional<Steady::time_point> until;
  if (disk.time > Milliseconds{0}) until = begun + disk.time;
  Outcome made = make(disk, temporary, {limit, until, given_up});
  if (made && given_up.stop_requested()) made = Error{was_given_up};
  if (!made) {
    ::unlink(temporary.c_str());
    return Error{what + ": " + made.error()};
  }
  if (::rename(temporary.c_str(), disk.image.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return Error{what + ": rename: " + errno_text(code)};
  }
  return "its disk " + disk.image + " was made anew on top of " + disk.backing;
}

}  // namespace migrationd::io
