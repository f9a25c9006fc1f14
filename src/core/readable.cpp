// SPDX-License-Identifier: Apache-2.0
#include "core/readable.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace thermoe {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The digits at `at` without leading zeros; moves `at` behind them.
std::string_view take_number(const std::string& text, std::size_t& at) {
  while (at < text.size() && text[at] == '0') ++at;
  const std::size_t from = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return std::string_view(text).substr(from, at - from);
}

}  // namespace

std::optional<std::string> value_of(const std::string& text, const std::string& key) {
  for (std::size_t line = 0; line < text.size();) {
    const std::size_t end = std::min(text.find('\n', line), text.size());
    const std::size_t colon = text.find(':', line);
    if (colon < end && trimmed(text.substr(line, colon - line)) == key) {
      return trimmed(text.substr(colon + 1, end - colon - 1));
    }
    line = end + 1;
  }
  return std::nullopt;
}

std::string trimmed(const std::string& text) {
  const char* blanks = " \t\r\n";
  const std::size_t from = text.find_first_not_of(blanks);
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  std::filesystem::directory_iterator entry(folder, ignored);
  for (; entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

bool natural_less(const std::string& a, const std::string& b) {
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::string_view x = take_number(a, i), y = take_number(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      continue;
    }
    if (a[i] != b[j]) return a[i] < b[j];
    ++i, ++j;
  }
  if (i < a.size() || j < b.size()) return j < b.size();
  return a < b;  // "01" and "1" are one number and two names
}

std::optional<std::string> first_version(const std::string& text, std::size_t from) {
  while (from < text.size() && !is_digit(text[from])) ++from;
  if (from >= text.size()) return std::nullopt;
  std::size_t end = from;
  while (end < text.size() && (is_digit(text[end]) || text[end] == '.')) ++end;
  while (text[end - 1] == '.') --end;
  return text.substr(from, end - from);
}

std::vector<int> version_numbers(const std::string& version) {
  std::vector<int> numbers;
  for (std::size_t at = 0; at < version.size() && is_digit(version[at]);) {
    int number = 0;
    for (; at < version.size() && is_digit(version[at]); ++at) {
      number = std::min(number * 10 + (version[at] - '0'), 99'999'999);
    }
    numbers.push_back(number);
    if (at < version.size() && version[at] == '.') ++at;
  }
  return numbers;
}

}  // namespace thermoe
