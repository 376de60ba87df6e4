// SPDX-License-Identifier: GPL-2.0-or-later
// Result<T>: a value, or an Error whose text says what failed, on what, why, and what to do.
// The pure rooms and the World's callbacks return it instead of throwing.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace migrationd {

struct Error {
  std::string text;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : value_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return value_.index() == 0; }
  explicit operator bool() const { return ok(); }
  /// The value; only when ok().
  T& value() { return std::get<0>(value_); }
  const T& value() const { return std::get<0>(value_); }
  /// The error's text; only when not ok().
  const std::string& error() const { return std::get<1>(value_).text; }

 private:
  std::variant<T, Error> value_;
};

struct Done {};
using Outcome = Result<Done>;

}  // namespace migrationd
