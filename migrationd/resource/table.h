// SPDX-License-Identifier: GPL-2.0-or-later
// The table of all parameters that the resource agent accepts. The meta-data, the validation and the manual
// are made from it, so that they can't disagree.
#pragma once

#include <span>
#include <string_view>

namespace migrationd::resource {

enum class Type { string, boolean, integer, duration, choice };

struct Row {
  std::string_view name;
  Type type = Type::string;
  /// The default, as the meta-data shows it.
  std::string_view preset;
  /// Type::choice: the words, separated by '|'; an empty word is allowed.
  std::string_view choices;
  bool required = false;
  /// A change takes effect by reload-agent, without restarting the domain.
  bool reloadable = true;
  /// Only in a resource's file: a cluster manager that passes parameters has its own way to say it.
  bool only_in_file = false;
  /// No two resources may share the value.
  bool unique = false;
  /// Empty: implemented. Otherwise what it will come with; until then any value but the default is refused.
  std::string_view comes_with;
  std::string_view short_text;
  std::string_view long_text;
};

/// All parameters, in the order in which the meta-data lists them.
std::span<const Row> table();

/// The row of that name, or nullptr.
const Row* find_row(std::string_view name);

}  // namespace migrationd::resource
