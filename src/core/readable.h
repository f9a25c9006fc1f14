// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// The text after `key` and its colon in the first line that starts with it, without blanks around:
/// value_of("MemTotal: 3 kB\n", "MemTotal") is "3 kB".
std::optional<std::string> value_of(const std::string& text, const std::string& key);

/// Without blanks and line ends around.
std::string trimmed(const std::string& text);

/// Names in a folder, in natural order ("v9" before "v10"); empty if it cannot be read.
std::vector<std::string> names_in(const std::string& folder);

/// Whether `a` comes before `b` with digits compared as numbers.
bool natural_less(const std::string& a, const std::string& b);

/// The first run of digits and dots that starts with a digit, at or after `from`: a version.
std::optional<std::string> first_version(const std::string& text, std::size_t from = 0);

/// The leading numbers of "13.0.88": {13, 0, 88}.
std::vector<int> version_numbers(const std::string& version);

}  // namespace thermoe
