// SPDX-License-Identifier: Apache-2.0
#include "cli/number_option.h"

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <string_view>

#include "core/terminal_text.h"

namespace thermoe {
namespace {

/// "from 1 to 1024", "of at least 0".
template <class T>
std::string range_words(T min, T max) {
  if (max == std::numeric_limits<T>::max()) return fmt::format("of at least {}", min);
  return fmt::format("from {} to {}", min, max);
}

/// 010 would be octal to some readers, and 00 nothing that anybody means.
bool has_leading_zero(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';
}

/// NaN lies in no range, so the comparison refuses it; infinity lies above the largest number.
template <class T>
bool is_number_within(std::string_view text, T min, T max) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !has_leading_zero(text) &&
         value >= min && value <= max;
}

template <class T>
CLI::Validator number(const char* kind, T min, T max) {
  const std::string range = range_words(min, max);
  return CLI::Validator(
      [=](std::string& text) {
        return is_number_within(text, min, max)
                   ? std::string()
                   : fmt::format("{} is not a {} {} (decimal, such as {})", printable(text, true),
                                 kind, range, min);
      },
      range, kind);
}

}  // namespace

CLI::Validator whole_number(std::int64_t min, std::int64_t max) {
  return number("whole number", min, max);
}

CLI::Validator real_number(double min, double max) { return number("number", min, max); }

}  // namespace thermoe
