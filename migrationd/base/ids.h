// SPDX-License-Identifier: GPL-2.0-or-later
// The names and numbers that every room speaks of: node, domain UUID, epoch, attempt.
// They are types of their own so that an epoch can't be passed where an attempt is meant.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace migrationd {

/// A node's name, exactly as the cluster manager writes it.
using NodeName = std::string;

/// A domain's UUID in lower-case text form, 36 characters. Only made by `parse`, so that it is always safe
/// as a file name.
class DomainUuid {
 public:
  DomainUuid() = default;
  /// The UUID that `text` spells (upper or lower case, with hyphens); nothing if it spells none.
  static std::optional<DomainUuid> parse(std::string_view text);
  const std::string& str() const { return text_; }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const DomainUuid&) const = default;

 private:
  std::string text_;
};

/// Grows with each change of owner; the larger epoch wins an argument.
struct Epoch {
  std::uint64_t value = 0;
  Epoch next() const { return {value + 1}; }
  auto operator<=>(const Epoch&) const = default;
};

/// One try of a claimer: the incarnation of its daemon (grows with each start) and a number within it.
struct Attempt {
  std::uint64_t incarnation = 0;
  std::uint64_t number = 0;
  bool none() const { return incarnation == 0 && number == 0; }
  auto operator<=>(const Attempt&) const = default;
};

std::string to_string(Epoch epoch);
std::string to_string(Attempt attempt);

}  // namespace migrationd
