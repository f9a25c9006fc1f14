// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace thermoe {

/// A POSIX extended regular expression, and which of its groups is asked for.
struct PosixPattern {
  std::string text{};
  std::size_t group = 0;
};

/// From --units-regex: \d, \D and (?:...) are said otherwise in POSIX. Throws UsageError with the
/// remedy for what would silently mean something else there (lazy repeats, \n, a backslash in
/// brackets), for what may take for ever (references back, counts: copies of copies), and without
/// exactly one group.
PosixPattern posix_pattern(const std::string& pattern);

}  // namespace thermoe
