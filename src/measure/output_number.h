// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <regex.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "measure/posix_pattern.h"

namespace thermoe {

/// Finds the number that a command prints: the last match of a regular expression with one group,
/// line by line in what the command writes to its two outputs.
class OutputNumber {
 public:
  /// A line is looked at this far: the time that takes may grow with the square of it.
  static constexpr std::size_t kLongestLine = 2048;

  /// As posix_pattern has it, matched without going back and forth, in bounded time. Throws
  /// UsageError for a malformed one, and for one that has not exactly one group.
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
  void compile();
  void look(std::string& line);

  std::string pattern_;
  PosixPattern posix_;
  std::shared_ptr<regex_t> regex_{};
  std::size_t looked_at_ = 0;  ///< bytes since it was compiled
  std::array<std::string, 2> lines_{};
  std::optional<std::string> match_{};
};

}  // namespace thermoe
