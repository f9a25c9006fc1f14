// SPDX-License-Identifier: Apache-2.0
#include "measure/output_number.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/terminal_text.h"

namespace thermoe {
namespace {

constexpr std::size_t kForgetAfter = 8192;  // the matcher keeps each state that it was ever in

}  // namespace

OutputNumber::OutputNumber(std::string pattern)
    : pattern_(std::move(pattern)), posix_(posix_pattern(pattern_)) {
  compile();
}

void OutputNumber::compile() {
  looked_at_ = 0;
  regex_t made;
  if (const int error = ::regcomp(&made, posix_.text.c_str(), REG_EXTENDED); error != 0) {
    char why[128];
    ::regerror(error, &made, why, sizeof why);
    throw UsageError(fmt::format("--units-regex '{}': is no regular expression: {}",
                                 printable(pattern_, true), why));
  }
  regex_ = {new regex_t(made), [](regex_t* regex) {
              ::regfree(regex);
              delete regex;
            }};
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
  looked_at_ += line.size();
  if (looked_at_ > kForgetAfter) compile();
  std::vector<regmatch_t> found(posix_.group + 1);
  // The last match of a line, too: progress bars repeat themselves.
  for (regoff_t at = 0; at < static_cast<regoff_t>(line.size());) {
    found[0] = {.rm_so = at, .rm_eo = static_cast<regoff_t>(line.size())};
    if (::regexec(regex_.get(), line.c_str(), found.size(), found.data(), REG_STARTEND) != 0) break;
    const regmatch_t& group = found.back();
    if (group.rm_so >= 0) match_ = line.substr(group.rm_so, group.rm_eo - group.rm_so);
    at = std::max(found[0].rm_eo, at + 1);
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
