// SPDX-License-Identifier: Apache-2.0
#include "report/csv_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 20;

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

}  // namespace

CsvReader::CsvReader(std::string path)
    : path_(std::move(path)), in_(path_, std::ios::binary), buffer_(kBlock) {
  if (!in_) {
    throw FormatError(path_, "", fmt::format("cannot be read: {}", std::strerror(errno)));
  }
  const auto header = take_line();
  if (!header || header->empty()) {
    throw FormatError(path_, "line 1", "there is no header of column names");
  }
  split(*header);
  columns_.assign(cells_.begin(), cells_.end());
}

std::optional<std::size_t> CsvReader::find(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - columns_.begin());
}

std::size_t CsvReader::need(std::string_view name) const {
  if (const auto column = find(name)) return *column;
  throw FormatError(path_, "line 1",
                    fmt::format("has no column {}; a run writes it (docs/experiments.md)", name));
}

bool CsvReader::next() {
  const auto line = take_line();
  if (!line) return false;
  split(*line);
  if (cells_.size() != columns_.size()) {
    throw FormatError(path_, fmt::format("line {}", line_),
                      fmt::format("has {} cells, and the header {}; remove the line", cells_.size(),
                                  columns_.size()));
  }
  return true;
}

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
  in_.read(buffer_.data() + end_, static_cast<std::streamsize>(buffer_.size() - end_));
  end_ += static_cast<std::size_t>(in_.gcount());
  return in_.gcount() > 0;
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
      torn_ = rest > 0;
      begin_ = end_;
      return std::nullopt;
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

void CsvReader::split(std::string_view line) {
  cells_.clear();
  unquoted_.clear();
  for (;;) {
    if (!line.empty() && line.front() == '"') {
      cells_.push_back(unquote(line));
      if (line.empty()) return;
      line.remove_prefix(1);  // the comma
      continue;
    }
    const std::size_t comma = line.find(',');
    cells_.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

/// Takes a quoted cell off `rest`, up to its comma or the end.
std::string_view CsvReader::unquote(std::string_view& rest) {
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
  rest.remove_prefix(std::min(i + 1, rest.size()));
  if (!rest.empty() && rest.front() != ',') {
    throw FormatError(path_, fmt::format("line {}", line_),
                      "a quoted cell goes on after its closing quote; write a comma after it");
  }
  return text;
}

}  // namespace thermoe
