// SPDX-License-Identifier: Apache-2.0
#include "measure/output_number.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {

OutputNumber::OutputNumber(std::string pattern) : pattern_(std::move(pattern)) {
  try {
    regex_.assign(pattern_, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {  // the standard library's, told as ours
    throw UsageError(
        fmt::format("--units-regex '{}': is no regular expression: {}", pattern_, error.what()));
  }
  if (regex_.mark_count() != 1) {
    throw UsageError(
        fmt::format("--units-regex '{}': has {} groups; put one pair of parentheses around the "
                    "number, as in 'generated ([0-9.]+) tokens' ((?:...) groups without counting)",
                    pattern_, regex_.mark_count()));
  }
}

void OutputNumber::add(std::size_t output, std::string_view bytes) {
  std::string& line = lines_.at(output);
  while (!bytes.empty()) {
    const auto end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    line.append(piece.substr(0, kLongestLine - line.size()));
    if (end == std::string_view::npos) return;
    look(line);
    bytes.remove_prefix(end + 1);
  }
}

void OutputNumber::finish() {
  for (std::string& line : lines_) look(line);
}

void OutputNumber::clear() {
  for (std::string& line : lines_) line.clear();
  match_.reset();
}

void OutputNumber::look(std::string& line) {
  // The last match of a line, too: progress bars repeat themselves.
  for (std::sregex_iterator found(line.begin(), line.end(), regex_), end; found != end; ++found) {
    match_ = (*found)[1].str();
  }
  line.clear();
}

std::optional<double> OutputNumber::number() const {
  if (!match_) return std::nullopt;
  double value = 0.0;
  const char* end = match_->data() + match_->size();
  const auto [stop, error] = std::from_chars(match_->data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value) || value <= 0.0) {
    return std::nullopt;
  }
  return value;
}

std::string OutputNumber::fault() const {
  if (!match_) {
    return fmt::format(
        "no line of the command's output matches --units-regex '{}' (lines are looked at up to {} "
        "bytes)",
        pattern_, kLongestLine);
  }
  if (number()) return "";
  return fmt::format(
      "--units-regex '{}' found '{}' in the command's output, which is no number above 0 (decimal, "
      "without separators, such as 1234.5)",
      pattern_, printable(match_->substr(0, 80), true));
}

}  // namespace thermoe
