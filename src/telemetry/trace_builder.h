// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/csv_reader.h"
#include "core/snapshot.h"
#include "telemetry/telemetry_trace.h"
#include "telemetry/trace_columns.h"

namespace thermoe {

/// Gathers the rows of a recording into snapshots, and remembers what it had to leave out: a bad
/// cell costs that cell, a row that belongs nowhere that row. It holds no more than the file does.
class TraceBuilder {
 public:
  /// `csv` must outlive the builder; its row is what errors are about.
  explicit TraceBuilder(const CsvReader& csv) : csv_(csv) {}

  /// A row of this time: the snapshot under way, or the next one. Throws FormatError where time
  /// falls.
  Snapshot& at(Seconds time);
  /// The row's device in the snapshot under way. Throws FormatError for one that has a row there.
  GpuReading& add_gpu(unsigned index);
  HostReading& add_host(std::string name);

  /// Stores a cell's number; one that cannot be is left out.
  template <class R>
  void store(const TraceColumn<R>& column, R& reading, std::string_view name,
             std::string_view cell) {
    const ParsedNumber parsed = parse_number(cell, column.whole);
    if (parsed.number && column.holds(*parsed.number)) {
      column.store(reading, *parsed.number);
    } else {
      leave_out(name, parsed.number ? fmt::format("{} lies outside [{}, {}]", cell,
                                                  column.range.low, column.range.high)
                                    : parsed.problem);
    }
  }
  /// The cell of this column, or with no column the row, is not taken.
  void leave_out(std::string_view column, const std::string& why);

  const CsvReader& csv() const { return csv_; }
  /// Throws FormatError if there is no snapshot.
  TelemetryTrace finish(std::vector<std::string> remarks);

 private:
  struct LeftOut {
    std::string first{};
    std::int64_t count = 0;
  };
  [[noreturn]] void refuse_time(const std::string& problem) const;

  const CsvReader& csv_;
  std::vector<Snapshot> snapshots_{};
  std::map<std::string, LeftOut, std::less<>> left_out_{};  // by column
};

/// Refuses a header in the middle of the file.
void refuse_joined_files(const CsvReader& csv);

}  // namespace thermoe
