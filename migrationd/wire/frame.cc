// SPDX-License-Identifier: GPL-2.0-or-later
// Frames in and out of a byte stream.
#include "migrationd/wire/frame.h"

#include <algorithm>
#include <array>

namespace migrationd::wire {

namespace {
constexpr std::array<unsigned char, 4> opening = {'m', 'd', frame_version, 0};
}

std::string frame(std::string_view payload) {
  const auto length = static_cast<std::uint32_t>(payload.size());
  std::string bytes;
  bytes.reserve(frame_header_size + payload.size());
  for (unsigned char c : opening) bytes.push_back(static_cast<char>(c));
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>((length >> shift) & 0xff));
  bytes.append(payload);
  return bytes;
}

void FrameParser::feed(std::string_view chunk) {
  if (!failure_.empty()) return;  // nobody will ask for it
  if (start_ > 0) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
  buffer_.append(chunk);
}

Error FrameParser::fail(std::string text) {
  failure_ = std::move(text);
  buffer_ = {};
  start_ = 0;
  return {failure_};
}

Result<std::optional<std::string>> FrameParser::next() {
  if (!failure_.empty()) return Error{failure_};
  const auto at = [this](std::size_t i) { return static_cast<unsigned char>(buffer_[start_ + i]); };

  // The opening is judged byte by byte, so that garbage shorter than a header is found, too.
  const std::size_t seen = std::min(pending(), opening.size());
  for (std::size_t i = 0; i < seen; ++i) {
    if (at(i) == opening[i]) continue;
    if (i == 2)
      return fail("a frame of version " + std::to_string(at(i)) + " came, only version " +
                  std::to_string(frame_version) + " is known here: the other side is a newer migrationd");
    return fail("what came is not a frame (byte " + std::to_string(i) + " is " + std::to_string(at(i)) +
                "): the other side does not speak migrationd's protocol");
  }
  if (pending() < frame_header_size) return std::optional<std::string>{};

  std::size_t length = 0;
  for (std::size_t i = 4; i < frame_header_size; ++i) length = length << 8 | at(i);
  if (length > limit_)
    return fail("a frame of " + std::to_string(length) + " bytes was announced, " + std::to_string(limit_) +
                " are allowed at this point");
  if (pending() - frame_header_size < length) return std::optional<std::string>{};

  std::optional<std::string> payload(buffer_.substr(start_ + frame_header_size, length));
  start_ += frame_header_size + length;
  if (start_ == buffer_.size()) {
    buffer_.clear();
    start_ = 0;
  }
  return payload;
}

}  // namespace migrationd::wire
