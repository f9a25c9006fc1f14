// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>

#include "core/csv_reader.h"
#include "core/errors.h"
#include "machine/simulated/arrivals.h"

namespace thermoe {
namespace {

constexpr double kMostSeconds = 1e9;

[[noreturn]] void refuse(const CsvReader& csv, std::size_t column, const char* remedy) {
  throw FormatError(csv.path(),
                    fmt::format("line {}, column {}", csv.line(), csv.columns()[column]),
                    fmt::format("\"{}\" {}", std::string(csv.cell(column)).substr(0, 40), remedy));
}

Seconds time_of(const CsvReader& csv, std::size_t column, Seconds last) {
  const auto value = csv.number(column);
  if (!value || *value < 0.0 || *value > kMostSeconds) {
    refuse(csv, column, "must be seconds since the start, a finite number within [0, 1e9]");
  }
  if (Seconds(*value) < last) {
    refuse(
        csv, column,
        fmt::format("comes after {} of the row before; sort the rows by time", last.value).c_str());
  }
  return Seconds(*value);
}

int tokens_of(const CsvReader& csv, std::size_t column) {
  const auto value = csv.number(column);
  if (!value || *value != std::floor(*value) || *value < 1.0 || *value > kMostRequestTokens) {
    refuse(csv, column, "must be a whole number of tokens within [1, 1e6]");
  }
  return static_cast<int>(*value);
}

}  // namespace

std::vector<Request> read_arrivals(const std::string& path) {
  CsvReader csv(path, CsvReader::LastLine::kMayBeWhole);
  const std::size_t time = csv.need("time");
  const std::size_t in = csv.need("tokens_in");
  const std::size_t out = csv.need("tokens_out");
  std::vector<Request> requests;
  Seconds last{};
  while (csv.next()) {
    last = time_of(csv, time, last);
    requests.push_back(
        {.at = last, .tokens_in = tokens_of(csv, in), .tokens_out = tokens_of(csv, out)});
  }
  if (requests.empty()) {
    throw FormatError(path, "", "has no row; write a line `time,tokens_in,tokens_out` a request");
  }
  return requests;
}

}  // namespace thermoe
