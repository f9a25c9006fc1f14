// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thermoe {

/// Reads a CSV file with a header line by line (RFC 4180), as CsvFile writes it. A last line
/// without its line break was torn by the end of the process that wrote it: it is dropped, and
/// `torn()` says so. Reads about 200 MB a second; memory does not grow with the file.
class CsvReader {
 public:
  /// Reads the header. Throws FormatError for a file that cannot be read or has no header.
  explicit CsvReader(std::string path);

  const std::vector<std::string>& columns() const { return columns_; }
  /// Place of a column, or nothing.
  std::optional<std::size_t> find(std::string_view name) const;
  /// Place of a column. Throws FormatError naming file and column.
  std::size_t need(std::string_view name) const;

  /// Moves to the next row; false at the end. Throws FormatError naming file and line for a row
  /// with more or fewer cells than the header.
  bool next();
  /// A cell of the row, valid until the next `next()`.
  std::string_view cell(std::size_t column) const { return cells_[column]; }
  /// A cell as a number; absent where it is empty, or the NaN or infinity of a diverged figure.
  /// Throws FormatError naming file, line and column for anything else.
  std::optional<double> number(std::size_t column) const;

  /// Whether a torn last line was dropped. Known once `next()` has returned false.
  bool torn() const { return torn_; }
  /// Line of the row in the file, from 1 (the header).
  std::int64_t line() const { return line_; }
  const std::string& path() const { return path_; }

 private:
  bool fill();
  std::optional<std::string_view> take_line();
  void split(std::string_view line);
  std::string_view unquote(std::string_view& rest);

  std::string path_;
  std::ifstream in_;
  std::vector<char> buffer_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::vector<std::string> columns_{};
  std::vector<std::string_view> cells_{};
  std::deque<std::string> unquoted_{};  // of the row; a deque, as cells_ refers to them
  std::int64_t line_ = 0;
  std::int64_t following_ = 1;
  bool torn_ = false;
};

}  // namespace thermoe
