// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace thermoe {

/// The rows of one table, in one pass. What is no whole number where one belongs, or damaged,
/// throws FormatError naming file, table, column and row.
class SqliteRows {
 public:
  /// Moves to the next row; false at the end.
  bool next();

  /// Values of the row's columns, by their place in the list that was asked for. Text is valid
  /// until the next `next()`.
  std::int64_t integer(std::size_t column) const;
  std::optional<std::int64_t> optional_integer(std::size_t column) const;
  std::optional<std::string_view> text(std::size_t column) const;
  /// A whole number or a fraction.
  std::optional<double> number(std::size_t column) const;

  /// Throws FormatError for a value of this row.
  [[noreturn]] void refuse(std::size_t column, const std::string& problem) const;

 private:
  friend class SqliteFile;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };

  std::string path_{};
  std::string table_{};
  std::vector<std::string> columns_{};
  std::unique_ptr<sqlite3_stmt, Finalize> statement_{};
  std::int64_t row_ = 0;
  std::int64_t most_rows_ = 0;  // that a file of this size can hold
};

/// A SQLite file of foreign origin: opened to read only, without a lock, a journal or any code that
/// its schema may hold; views, triggers and virtual tables are never run. Throws FormatError,
/// naming the file, for what is no whole database of at most 16 MiB a value.
class SqliteFile {
 public:
  explicit SqliteFile(const std::string& path);

  /// Whether there is a table of that name. Throws FormatError where a view or a virtual table
  /// takes its place.
  bool has_table(const std::string& table) const;
  bool has_column(const std::string& table, const std::string& column) const;

  /// A pass over a table. Of an optional column that is not there every value is absent.
  struct Column {
    std::string name{};
    bool needed = true;
  };
  SqliteRows rows(const std::string& table, const std::vector<Column>& columns) const;
  /// At most so many rows it has: to reserve memory.
  std::size_t most_rows(const std::string& table) const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  SqliteRows prepare(const std::string& sql, const std::string& table) const;
  [[noreturn]] void refuse(const std::string& table, const std::string& problem) const;

  std::string path_;
  std::uint64_t bytes_ = 0;
  std::unique_ptr<sqlite3, Close> database_{};
};

}  // namespace thermoe
