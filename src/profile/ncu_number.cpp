// SPDX-License-Identifier: Apache-2.0
#include "profile/ncu_number.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string>

#include "core/csv_cells.h"

namespace thermoe {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_at(std::string_view text, std::size_t from) {
  std::size_t n = 0;
  while (from + n < text.size() && is_digit(text[from + n])) ++n;
  return n;
}

/// Length of an exponent at the end of a number; 0 for none.
std::size_t exponent_at(std::string_view text, std::size_t from) {
  if (from >= text.size() || (text[from] != 'e' && text[from] != 'E')) return 0;
  std::size_t n = 1;
  if (from + n < text.size() && (text[from + n] == '-' || text[from + n] == '+')) ++n;
  const std::size_t digits = digits_at(text, from + n);
  return digits == 0 ? 0 : n + digits;
}

/// Whether the text is a number whose thousands, if separated, are so by commas, and whose fraction
/// follows a point.
bool is_plain_number(std::string_view text) {
  std::size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
  const std::size_t leading = digits_at(text, at);
  if (leading == 0) return false;
  at += leading;
  const bool separated = at < text.size() && text[at] == ',';
  if (separated && leading > 3) return false;
  while (at < text.size() && text[at] == ',') {
    if (digits_at(text, at + 1) != 3) return false;
    at += 4;
  }
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = digits_at(text, at + 1);
    if (fraction == 0) return false;
    at += 1 + fraction;
  }
  at += exponent_at(text, at);
  return at == text.size();
}

}  // namespace

bool is_foreign_number(std::string_view cell) {
  if (cell.empty() || is_plain_number(cell)) return false;
  bool digit = false, separator = false;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    const auto byte = static_cast<unsigned char>(cell[i]);
    digit = digit || is_digit(cell[i]);
    // U+00A0, U+202F and U+2019 separate thousands in some locales.
    if (byte == 0xC2 || byte == 0xA0 || byte == 0xE2 || byte == 0x80 || byte == 0xAF ||
        byte == 0x99 || byte == ' ' || byte == '\'' || byte == ',' || byte == '.') {
      separator = true;
    } else if (!is_digit(cell[i]) && !(cell[i] == '-' && i == 0)) {
      return false;
    }
  }
  return digit && separator;
}

std::optional<double> ncu_number(std::string_view cell) {
  if (!is_plain_number(cell)) return std::nullopt;
  std::string plain;
  for (const char c : cell) {
    if (c != ',') plain += c;
  }
  double value = 0.0;
  const auto [stop, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (error != std::errc() || stop != plain.data() + plain.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> ncu_duration(std::string_view cell, std::string_view unit) {
  constexpr std::array<std::pair<std::string_view, double>, 12> kUnits = {{{"ns", 1.0},
                                                                           {"nsecond", 1.0},
                                                                           {"us", 1e3},
                                                                           {"usecond", 1e3},
                                                                           {"\xC2\xB5s", 1e3},
                                                                           {"ms", 1e6},
                                                                           {"msecond", 1e6},
                                                                           {"s", 1e9},
                                                                           {"second", 1e9},
                                                                           {"nanosecond", 1.0},
                                                                           {"microsecond", 1e3},
                                                                           {"millisecond", 1e6}}};
  const auto value = ncu_number(cell);
  for (const auto& [name, ns] : kUnits) {
    if (unit != name || !value || *value < 0.0 || *value * ns > 1e18) continue;
    return std::llround(*value * ns);
  }
  return std::nullopt;
}

std::optional<Extent> ncu_extent(std::string_view cell) {
  if (!cell.starts_with('(') || !cell.ends_with(')')) return std::nullopt;
  CsvCells sizes;
  const std::string_view inner = cell.substr(1, cell.size() - 2);
  if (!sizes.split(inner).empty() || sizes.size() != 3) return std::nullopt;
  Extent extent{};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string_view text = sizes[i];
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), extent[i]);
    if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  }
  return extent;
}

}  // namespace thermoe
