// SPDX-License-Identifier: Apache-2.0
#include "core/csv_cells.h"

namespace thermoe {
namespace {

/// A carriage return ends the lines of some systems.
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

void skip_blanks(std::string_view& text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
}

}  // namespace

std::string_view CsvCells::split(std::string_view line) {
  cells_.clear();
  unquoted_.clear();
  for (;;) {
    skip_blanks(line);
    if (!line.empty() && line.front() == '"') {
      if (const auto problem = take_quoted(line); !problem.empty()) return problem;
      if (line.empty()) return {};
      line.remove_prefix(1);  // the comma
      continue;
    }
    const std::size_t comma = line.find(',');
    cells_.push_back(without_blanks_around(line.substr(0, comma)));
    if (comma == std::string_view::npos) return {};
    line.remove_prefix(comma + 1);
  }
}

/// Takes a quoted cell off `rest`, up to its comma or the end.
std::string_view CsvCells::take_quoted(std::string_view& rest) {
  std::string& text = unquoted_.emplace_back();
  std::size_t i = 1;
  for (; i < rest.size(); ++i) {
    if (rest[i] != '"') {
      text += rest[i];
    } else if (i + 1 < rest.size() && rest[i + 1] == '"') {
      text += rest[i++];
    } else {
      break;
    }
  }
  if (i >= rest.size()) return "a quote is not closed";
  rest.remove_prefix(i + 1);
  skip_blanks(rest);
  if (!rest.empty() && rest.front() != ',') {
    return "a quoted cell goes on after its closing quote; write a comma after it";
  }
  cells_.push_back(text);
  return {};
}

std::string csv_cell(std::string_view text) {
  const bool bare = text.find_first_of(",\"\r\n") == std::string_view::npos &&
                    without_blanks_around(text).size() == text.size();
  if (bare) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

std::string_view without_blanks_around(std::string_view text) {
  skip_blanks(text);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace thermoe
