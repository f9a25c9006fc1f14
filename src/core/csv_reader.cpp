// SPDX-License-Identifier: Apache-2.0
#include "core/csv_reader.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/read_block.h"

namespace thermoe {
namespace {

/// Most cells are short counts, which need no general parser.
std::optional<double> short_whole_number(std::string_view text) {
  if (text.size() > 9) return std::nullopt;
  int value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  return static_cast<double>(value);
}

std::unique_ptr<std::istream> open_file(const std::string& path) {
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file) throw FormatError(path, "", fmt::format("cannot be read: {}", std::strerror(errno)));
  return file;
}

/// Why a first line without a comma is no header of this format; empty if it may be one.
std::string other_format(std::string_view line) {
  if (line.starts_with("\xFF\xFE") || line.starts_with("\xFE\xFF")) {
    return "the file is UTF-16; make it UTF-8: iconv -f UTF-16 -t UTF-8 FILE > NEW";
  }
  if (line.find('\0') != std::string_view::npos) return "holds NUL bytes: this is no text file";
  if (line.find(',') != std::string_view::npos) return "";
  if (line.find(';') != std::string_view::npos) {
    return "cells are separated by semicolons; write commas between cells and points in decimals: "
           "tr ',;' '.,' < FILE > NEW";
  }
  if (line.find('\t') != std::string_view::npos) {
    return "cells are separated by tabs; write commas: tr '\\t' ',' < FILE > NEW";
  }
  return "";
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Commas right between two digits: "100,5 W" has one, and the comma between cells that a blank
/// follows is none.
std::size_t decimal_commas(std::string_view line) {
  std::size_t count = 0;
  for (std::size_t i = 1; i + 1 < line.size(); ++i) {
    count += line[i] == ',' && is_digit(line[i - 1]) && is_digit(line[i + 1]) ? 1 : 0;
  }
  return count;
}

std::string letters_and_digits(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) kept += static_cast<char>(std::tolower(byte));
  }
  return kept;
}

}  // namespace

bool is_near_miss(std::string_view name, std::string_view known) {
  const std::string a = letters_and_digits(name);
  const std::string b = letters_and_digits(known);
  if (a == b) return true;
  if (a.size() >= 5 && b.starts_with(a)) return true;
  constexpr std::size_t kSlips = 2;
  return a.size() >= 6 && a.size() <= b.size() + kSlips && b.size() <= a.size() + kSlips &&
         edit_distance(a, b) <= kSlips;
}

CsvReader::CsvReader(const std::string& path, LastLine last_line)
    : CsvReader(path, open_file(path), last_line) {}

CsvReader::CsvReader(std::string path, std::unique_ptr<std::istream> in, LastLine last_line)
    : path_(std::move(path)), in_(std::move(in)), last_line_(last_line), buffer_(kReadBlock) {
  read_header();
}

void CsvReader::read_header() {
  std::optional<std::string_view> header;
  do {
    header = take_line();
    if (header && line_ == 1) header = without_byte_order_mark(*header);
  } while (header && (without_blanks_around(*header).empty() || header->starts_with('#')));
  if (in_->bad()) throw FormatError(path_, "", "cannot be read; is it a file?");
  if (!header) throw FormatError(path_, "line 1", "there is no header of column names");
  header_line_ = line_;
  if (const std::string other = other_format(*header); !other.empty()) {
    throw FormatError(path_, header_place(), other);
  }
  if (const auto problem = cells_.split(*header); !problem.empty()) {
    throw FormatError(path_, header_place(), std::string(problem));
  }
  columns_.assign(cells_.begin(), cells_.end());
}

std::optional<std::size_t> CsvReader::find(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - columns_.begin());
}

std::size_t CsvReader::need(std::string_view name) const {
  if (const auto column = find(name)) return *column;
  const auto near = std::find_if(columns_.begin(), columns_.end(), [&](const std::string& column) {
    return is_near_miss(column, name);
  });
  throw FormatError(path_, header_place(),
                    near == columns_.end()
                        ? fmt::format("has no column {}", name)
                        : fmt::format("has no column {}; is '{}' meant to be it?", name, *near));
}

bool CsvReader::next() {
  if (!next_row()) return false;
  if (!row_problem_.empty()) {
    throw FormatError(path_, fmt::format("line {}", line_), row_problem_);
  }
  return true;
}

bool CsvReader::next_row() {
  std::optional<std::string_view> line;
  do {
    line = take_line();
    if (!line) return false;
  } while (without_blanks_around(*line).empty());
  row_problem_ = cells_.split(*line);
  if (row_problem_.empty() && cells_.size() != columns_.size()) {
    row_problem_ =
        fmt::format("has {} cells, and the header {}; {}", cells_.size(), columns_.size(),
                    cells_.size() - decimal_commas(*line) == columns_.size()
                        ? "a decimal comma, as in 100,5? Record with LC_ALL=C, which writes points"
                        : "remove the line");
  }
  return true;
}

std::string CsvReader::header_place() const { return fmt::format("line {}", header_line_); }

bool CsvReader::repeats_header() const { return std::ranges::equal(cells_, columns_); }

std::optional<double> CsvReader::number(std::size_t column) const {
  const std::string_view text = cells_[column];
  if (text.empty()) return std::nullopt;
  if (const auto whole = short_whole_number(text)) return *whole;
  double value = 0.0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) {
    throw FormatError(path_, fmt::format("line {}, column {}", line_, columns_[column]),
                      fmt::format("\"{}\" is not a number", text.substr(0, 40)));
  }
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

/// Moves what is left to the front of the buffer and reads on. False at the end of the file.
bool CsvReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  in_->read(buffer_.data() + end_, static_cast<std::streamsize>(buffer_.size() - end_));
  end_ += static_cast<std::size_t>(in_->gcount());
  return in_->gcount() > 0;
}

/// The next whole line without its line break; line breaks within quotes belong to it.
std::optional<std::string_view> CsvReader::take_line() {
  std::size_t scanned = 0;  // from begin_
  std::int64_t breaks = 0;
  bool quoted = false;
  for (;;) {
    const char* start = buffer_.data() + begin_;
    const auto* found =
        static_cast<const char*>(std::memchr(start + scanned, '\n', end_ - begin_ - scanned));
    if (found == nullptr) {
      const std::size_t rest = end_ - begin_;
      // What was scanned is scanned again after a read: lines are short against a block.
      if (fill()) {
        scanned = 0;
        breaks = 0;
        quoted = false;
        continue;
      }
      return rest > 0 ? take_last_line() : std::nullopt;
    }
    ++breaks;
    const std::string_view part(start + scanned, static_cast<std::size_t>(found - start) - scanned);
    if (std::memchr(part.data(), '"', part.size()) != nullptr) {
      quoted ^= std::count(part.begin(), part.end(), '"') % 2 == 1;
    }
    scanned = static_cast<std::size_t>(found - start) + 1;
    if (quoted) continue;
    line_ = following_;
    following_ += breaks;
    begin_ += scanned;
    std::string_view line(start, scanned - 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  }
}

/// What is left in the buffer, if it is a whole line although no line break ends it.
std::optional<std::string_view> CsvReader::take_last_line() {
  const std::string_view line(buffer_.data() + begin_, end_ - begin_);
  begin_ = end_;
  CsvCells cells;
  const bool whole = last_line_ == LastLine::kMayBeWhole && !columns_.empty() &&
                     cells.split(line).empty() && cells.size() == columns_.size();
  torn_ = !whole && !without_blanks_around(line).empty();
  if (!whole) return std::nullopt;
  line_ = following_;
  return line;
}

}  // namespace thermoe
