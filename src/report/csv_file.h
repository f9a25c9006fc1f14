// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// One line of a CSV file, cell by cell. An absent value is an empty cell; text is quoted where it
/// holds a comma, a quote or a line break (RFC 4180).
class CsvRow {
 public:
  /// Seven significant digits: more than any sensor has, but for counters.
  CsvRow& add(double number);
  /// All fifteen digits that a double keeps: a counter of 10^9 J to the microjoule.
  CsvRow& add_all_digits(double number);
  CsvRow& add(std::string_view text);
  CsvRow& add(const char* text) { return add(std::string_view(text)); }
  CsvRow& add(std::int64_t number);
  CsvRow& add(int number) { return add(static_cast<std::int64_t>(number)); }
  CsvRow& add(bool yes) { return add(static_cast<std::int64_t>(yes ? 1 : 0)); }
  CsvRow& add(const std::optional<double>& number);
  template <class Tag>
  CsvRow& add(Quantity<Tag> quantity) {
    return add(quantity.value);
  }
  template <class Tag>
  CsvRow& add(const std::optional<Quantity<Tag>>& quantity) {
    return quantity ? add(quantity->value) : empty();
  }
  CsvRow& empty();

  int cells() const { return cells_; }
  /// The line with its line break.
  std::string line() const { return text_ + "\n"; }

 private:
  void separate();

  std::string text_{};
  int cells_ = 0;
};

/// A CSV file that a killed process leaves readable: every row is handed to the kernel whole, in
/// one write, so that kill -9 loses no row that was added. A row that does not fit on the disk is
/// taken back before the error is thrown.
class CsvFile {
 public:
  /// Creates or empties the file and writes the header. Throws WriteError.
  CsvFile(std::string path, const std::vector<std::string>& columns);
  ~CsvFile();
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;

  /// Throws WriteError naming the file; the rows before it stay. Requires one cell a column.
  void add(const CsvRow& row);

  const std::string& path() const { return path_; }

 private:
  void write_line(std::string_view line);

  std::string path_;
  int columns_ = 0;
  std::int64_t size_ = 0;  // bytes of whole lines
  int fd_ = -1;
};

}  // namespace thermoe
