// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <regex>
#include <string>
#include <string_view>

namespace thermoe {

/// Finds the number that a command prints: the last match of a regular expression with one group,
/// line by line in what the command writes to its two outputs.
class OutputNumber {
 public:
  /// A line is looked at this far: a regular expression needs stack for every byte.
  static constexpr std::size_t kLongestLine = 2048;

  /// ECMAScript, as in C++ and JavaScript. Throws UsageError for a malformed one, and for one that
  /// has not exactly one group.
  explicit OutputNumber(std::string pattern);

  /// What came from an output: 0 the command's standard output, 1 its standard error. \n and \r end
  /// a line.
  void add(std::size_t output, std::string_view bytes);
  /// The outputs are at their end.
  void finish();
  /// Forgets what was found.
  void clear();

  /// The number; absent if nothing matched, or what matched is no number > 0: `fault` says which.
  std::optional<double> number() const;
  std::string fault() const;

 private:
  void look(std::string& line);

  std::string pattern_;
  std::regex regex_{};
  std::array<std::string, 2> lines_{};
  std::optional<std::string> match_{};
};

}  // namespace thermoe
