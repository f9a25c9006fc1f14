// SPDX-License-Identifier: Apache-2.0
#include "report/csv_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/csv_cells.h"
#include "core/errors.h"
#include "core/write_all.h"

namespace thermoe {

void CsvRow::separate() {
  if (cells_++ > 0) text_ += ',';
}

CsvRow& CsvRow::add(double number) {
  separate();
  fmt::format_to(std::back_inserter(text_), "{:.7g}", number);
  return *this;
}

CsvRow& CsvRow::add_all_digits(double number) {
  separate();
  fmt::format_to(std::back_inserter(text_), "{:.15g}", number);
  return *this;
}

CsvRow& CsvRow::add(std::int64_t number) {
  separate();
  fmt::format_to(std::back_inserter(text_), "{}", number);
  return *this;
}

CsvRow& CsvRow::add(std::string_view text) {
  separate();
  text_ += csv_cell(text);
  return *this;
}

CsvRow& CsvRow::add(const std::optional<double>& number) { return number ? add(*number) : empty(); }

CsvRow& CsvRow::empty() {
  separate();
  return *this;
}

CsvFile::CsvFile(std::string path, const std::vector<std::string>& columns)
    : path_(std::move(path)), columns_(static_cast<int>(columns.size())) {
  fd_ = ::open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    throw WriteError(fmt::format("{}: cannot be written: {}", path_, std::strerror(errno)));
  }
  CsvRow header;
  for (const std::string& column : columns) header.add(std::string_view(column));
  try {
    write_line(header.line());
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

CsvFile::~CsvFile() { ::close(fd_); }

void CsvFile::add(const CsvRow& row) {
  THERMOE_EXPECT(row.cells() == columns_, "{}: row of {} cells for {} columns", path_, row.cells(),
                 columns_);
  write_line(row.line());
}

void CsvFile::write_line(std::string_view line) {
  if (const int error = write_all(fd_, line); error != 0) {
    // Best effort: a half line is taken back, so that what stands in the file stays readable.
    [[maybe_unused]] const int truncated = ::ftruncate(fd_, size_);
    throw WriteError(
        fmt::format("{}: cannot be written: {} (what was written before stays readable)", path_,
                    std::strerror(error)));
  }
  size_ += static_cast<std::int64_t>(line.size());
}

}  // namespace thermoe
