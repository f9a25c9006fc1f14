// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/snapshot.h"

namespace thermoe {

/// Columns of a recording that are no sensor's (telemetry_trace.h explains them).
inline constexpr std::string_view kTraceTime = "t_s";
inline constexpr std::string_view kTraceUtc = "utc";
inline constexpr std::string_view kTraceSimulated = "simulated";
inline constexpr std::string_view kTraceGpu = "gpu";
inline constexpr std::string_view kTraceName = "name";
inline constexpr std::string_view kTraceUuid = "uuid";
inline constexpr std::string_view kTraceHost = "host";

/// A cell's number. Bit masks and counts are whole and keep all their bits.
using TraceNumber = std::variant<double, std::uint64_t>;

/// To twelve digits, which keep a counter of 10^8 J to the millijoule and hide binary rounding.
std::string to_text(const TraceNumber& number);

double as_double(const TraceNumber& number);

/// What a cell says: a finite number, whole if it must be, or why not.
struct ParsedNumber {
  std::optional<TraceNumber> number{};
  std::string problem{};
};
ParsedNumber parse_number(std::string_view cell, bool whole);

/// Between which numbers a sensor's can be true.
struct PossibleRange {
  double low = 0.0;
  double high = 0.0;
};

/// A sensor's column: its name with the unit, the range in which its numbers can be true, and how
/// it meets a reading.
template <class R>
struct TraceColumn {
  std::string_view name;
  PossibleRange range;
  bool whole;  ///< only whole numbers, as std::uint64_t
  void (*store)(R&, const TraceNumber&);
  std::optional<TraceNumber> (*value)(const R&);
  void (*reject)(R&);  ///< makes the reading absent and `rejected`

  /// Whether a sensor can say this and be right. NaN is in no range.
  bool holds(const TraceNumber& number) const {
    const double value = as_double(number);
    return value >= range.low && value <= range.high;
  }
};

/// The one list of sensors with their names and ranges, for plausibility, for reading and for
/// writing recordings, in the order written.
std::span<const TraceColumn<GpuReading>> gpu_trace_columns();
std::span<const TraceColumn<HostReading>> host_trace_columns();

}  // namespace thermoe
