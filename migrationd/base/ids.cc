// SPDX-License-Identifier: GPL-2.0-or-later
// Text forms of the ids.
#include "migrationd/base/ids.h"

namespace migrationd {

std::optional<DomainUuid> DomainUuid::parse(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  DomainUuid uuid;
  uuid.text_.reserve(36);
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    const bool hyphen_due = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen_due != (c == '-')) return std::nullopt;
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (!hex && !hyphen_due) return std::nullopt;
    uuid.text_.push_back(c);
  }
  return uuid;
}

std::string to_string(Epoch epoch) { return std::to_string(epoch.value); }

std::string to_string(Attempt attempt) {
  return std::to_string(attempt.incarnation) + "." + std::to_string(attempt.number);
}

}  // namespace migrationd
