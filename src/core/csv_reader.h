// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/csv_cells.h"

namespace thermoe {

/// Reads a CSV file with a header line by line (RFC 4180). A byte order mark, blank lines, comments
/// (`#`) before the header, and blanks around names and cells do not count. Reads about 200 MB a
/// second; memory does not grow with the file.
class CsvReader {
 public:
  /// A last line without its line break was torn by the end of the process that wrote it: it is
  /// dropped, and `torn()` says so. Not every program writes that line break: with `kMayBeWhole`
  /// such a line is taken if it has as many cells as the header.
  enum class LastLine { kTorn, kMayBeWhole };

  /// Reads the header. Throws FormatError for a file that cannot be read or has no header of names,
  /// with the remedy for one in another format (semicolons, tabs, UTF-16, no text).
  explicit CsvReader(const std::string& path, LastLine last_line = LastLine::kTorn);
  /// The same from any stream; `path` is for messages.
  CsvReader(std::string path, std::unique_ptr<std::istream> in, LastLine last_line);

  const std::vector<std::string>& columns() const { return columns_; }
  /// Place of a column, or nothing.
  std::optional<std::size_t> find(std::string_view name) const;
  /// Place of a column. Throws FormatError naming file and column, and one that is nearly it.
  std::size_t need(std::string_view name) const;

  /// Moves to the next row; false at the end. Throws FormatError naming file and line for a row
  /// with more or fewer cells than the header.
  bool next();
  /// The same for readers that can do without a row: `row_problem` says what is wrong with it.
  bool next_row();
  /// Empty for a row whose cells can be looked at.
  const std::string& row_problem() const { return row_problem_; }

  /// A cell of the row, valid until the next `next()`.
  std::string_view cell(std::size_t column) const { return cells_[column]; }
  /// A cell as a number; absent where it is empty, or the NaN or infinity of a diverged figure.
  /// Throws FormatError naming file, line and column for anything else.
  std::optional<double> number(std::size_t column) const;
  /// Whether the row is the header again, as where two files were joined.
  bool repeats_header() const;

  /// Whether a torn last line was dropped. Known once `next()` has returned false.
  bool torn() const { return torn_; }
  /// Line of the row in the file, from 1 (the header).
  std::int64_t line() const { return line_; }
  /// "line 1", or where the header stands below comments.
  std::string header_place() const;
  const std::string& path() const { return path_; }

 private:
  void read_header();
  bool fill();
  std::optional<std::string_view> take_line();
  std::optional<std::string_view> take_last_line();

  std::string path_;
  std::unique_ptr<std::istream> in_;
  LastLine last_line_;
  std::vector<char> buffer_{};
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::vector<std::string> columns_{};
  CsvCells cells_{};
  std::string row_problem_{};
  std::int64_t line_ = 0;
  std::int64_t header_line_ = 1;
  std::int64_t following_ = 1;
  bool torn_ = false;
};

/// Whether `name` is probably meant to be `known`: the same but for case and punctuation, without
/// its unit (`temp_gpu` for `temp_gpu_c`), or with a slip or two.
bool is_near_miss(std::string_view name, std::string_view known);

}  // namespace thermoe
