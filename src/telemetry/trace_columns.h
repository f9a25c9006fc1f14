// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string_view>

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

/// A sensor's column: its name with the unit, the range in which its numbers can be true, and how
/// it meets a reading.
template <class R>
struct TraceColumn {
  std::string_view name;
  double low;
  double high;
  bool whole;  ///< only whole numbers
  void (*store)(R&, double);
  std::optional<double> (*value)(const R&);
};

/// The one list of sensors that recordings know, for reading and writing, in the order written.
std::span<const TraceColumn<GpuReading>> gpu_trace_columns();
std::span<const TraceColumn<HostReading>> host_trace_columns();

}  // namespace thermoe
