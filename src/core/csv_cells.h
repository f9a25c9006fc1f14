// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// The cells of one line of CSV (RFC 4180): a cell in double quotes may hold commas, line breaks,
/// and quotes doubled. Blanks around a cell do not count, those within its quotes do.
class CsvCells {
 public:
  /// Splits a line without its line break, which must live as long as its cells are looked at.
  /// Returns what is wrong with its quotes; empty if nothing is.
  std::string_view split(std::string_view line);

  std::size_t size() const { return cells_.size(); }
  std::string_view operator[](std::size_t i) const { return cells_[i]; }
  auto begin() const { return cells_.begin(); }
  auto end() const { return cells_.end(); }

 private:
  std::string_view take_quoted(std::string_view& rest);

  std::vector<std::string_view> cells_{};
  std::deque<std::string> unquoted_{};  // a deque, as cells_ refers to them
};

/// The text as a cell that reads back as it is: quoted where it must be.
std::string csv_cell(std::string_view text);

/// The text of a file without the byte order mark that some programs put before UTF-8.
std::string_view without_byte_order_mark(std::string_view text);

std::string_view without_blanks_around(std::string_view text);

}  // namespace thermoe
