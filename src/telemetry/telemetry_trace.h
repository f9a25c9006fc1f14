// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/snapshot.h"
#include "core/units.h"

namespace thermoe {

/// One row of a recording; reading times are unset.
struct TraceRow {
  Seconds at{};
  GpuReading gpu{};
};

/// Parses a recording of one GPU: CSV with a header line, columns by name in any order. `t_s` is
/// needed and grows; known sensors are power_w (1 s average), power_instant_w, temp_gpu_c,
/// temp_mem_c, energy_j, util_gpu_pct, util_mem_pct, sm_clock_mhz, throttle_reasons (at least one);
/// other columns are ignored. An empty cell or a missing column is an absent reading. Throws
/// FormatError naming line and column; `path` is only for messages.
std::vector<TraceRow> parse_telemetry_trace(std::string_view text, const std::string& path);
/// Reads and parses a file. Throws FormatError, also when it is missing or unreadable.
std::vector<TraceRow> read_telemetry_trace(const std::string& path);

}  // namespace thermoe
