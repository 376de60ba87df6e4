// SPDX-License-Identifier: GPL-2.0-or-later
// Frames: how messages lie one after another in a byte stream.
//
//   0        2         3      4                8
//   | 'm' 'd' | version | 0x00 | length, big-end | payload of `length` bytes ...
//
// The length is judged as soon as its last byte is there, before anything of the payload is kept: memory grows
// only with bytes that were really received, never with what a header promises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"

namespace migrationd::wire {

/// Version of the frame itself; the version of the messages is negotiated in Hello.
inline constexpr std::uint8_t frame_version = 1;
inline constexpr std::size_t frame_header_size = 8;
/// Largest payload in bytes before both sides have said who they are, and after.
inline constexpr std::size_t frame_limit_unauthenticated = 16 * 1024;
inline constexpr std::size_t frame_limit = 4 * 1024 * 1024;

/// The payload with its header before it. The caller sees to it that the payload is within the peer's limit
/// and below 4 GiB.
std::string frame(std::string_view payload);

/// Takes a stream in chunks of any size and gives out the payloads of its frames.
class FrameParser {
 public:
  explicit FrameParser(std::size_t limit) : limit_(limit) {}

  /// Counts for headers that are read from now on.
  void set_limit(std::size_t limit) { limit_ = limit; }

  /// Appends what was received. An empty frame is allowed.
  void feed(std::string_view chunk);

  /// The next complete payload; nothing when more bytes are needed. An error (not a frame, another frame
  /// version, too long) is final: the stream can't be read any further and each later call repeats it.
  Result<std::optional<std::string>> next();

  /// Bytes that were fed and not given out yet.
  std::size_t pending() const { return buffer_.size() - start_; }

 private:
  Error fail(std::string text);

  std::size_t limit_;
  std::string buffer_;
  std::size_t start_ = 0;  ///< what lies before it in buffer_ was given out
  std::string failure_;
};

}  // namespace migrationd::wire
