// SPDX-License-Identifier: Apache-2.0
#include "profile/op_point.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/csv_cells.h"

namespace thermoe {
namespace {

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Takes the text up to a separator, or all of it, off the front.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return taken;
}

std::optional<std::vector<int>> read_shape(std::string_view text) {
  std::vector<int> shape;
  CsvCells sizes;
  if (!sizes.split(text).empty()) return std::nullopt;
  for (const std::string_view cell : sizes) {
    const auto size = number<int>(cell);
    if (!size) return std::nullopt;
    shape.push_back(*size);
  }
  return shape;
}

/// "group 128", "tokens 16", "active 73.5"; false for anything else.
bool read_words(std::string_view text, OpPoint& point) {
  bool has_tokens = false;
  while (!text.empty()) {
    const std::string_view word = take(text, ' ');
    const std::string_view value = take(text, ' ');
    const auto amount = number<double>(value);
    if (!amount || !std::isfinite(*amount) || *amount < 0.0) return false;
    if (word == "group") {
      point.key.group_size = number<int>(value);
      if (!point.key.group_size) return false;
    } else if (word == "tokens") {
      point.tokens = *amount;
      has_tokens = true;
    } else if (word == "active") {
      point.active_experts = *amount;
    } else {
      return false;
    }
  }
  return has_tokens;
}

}  // namespace

std::string to_string(const OpPoint& point) {
  std::string text = fmt::format("{} tokens {}", to_string(point.key), point.tokens);
  if (point.active_experts) text += fmt::format(" active {}", *point.active_experts);
  return text;
}

std::optional<OpPoint> read_op_point(std::string_view name) {
  OpPoint point;
  const std::size_t open = name.find(" ["), close = name.find("] ");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return std::nullopt;
  }
  point.key.op = name.substr(0, open);
  const auto shape = read_shape(name.substr(open + 2, close - open - 2));
  std::string_view rest = name.substr(close + 2);
  point.key.dtype = take(rest, ' ');
  if (!shape || point.key.op.empty() || point.key.dtype.empty()) return std::nullopt;
  point.key.shape = *shape;
  if (!read_words(rest, point)) return std::nullopt;
  return point;
}

}  // namespace thermoe
