// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/snapshot.h"

namespace thermoe {

/// Parses a recording: CSV with a header line, columns by name in any order, one row a GPU (or host
/// sensor) and time. trace_writer.h writes such files; data/h100/thermal_trace.csv is one of a
/// single GPU.
///
/// - `t_s` is needed and never falls. Rows of one time are one snapshot.
/// - `gpu` is the GPU's index (0, 1, ...); without that column all rows are GPU 0's. `name` and
///   `uuid` are its own.
/// - `host` names a host sensor; its row leaves `gpu` empty.
/// - Sensors (trace_columns.h; at least one): power_w (1 s average), power_instant_w,
///   power_limit_w, temp_gpu_c, temp_mem_c, energy_j, util_gpu_pct, util_mem_pct, sm_clock_mhz,
///   memory_clock_mhz, throttle_reasons; host_power_w, host_energy_j, host_temp_c.
/// - `simulated` is 1 where the snapshot's hardware was.
/// - A last line without its line break and with too few cells was torn, and is left out.
/// - Other columns are ignored. An empty cell or a missing column is an absent reading.
///
/// Returns the snapshots in order, reading times unset. GPUs and host sensors may be recorded at
/// different times: one that lacks all GPUs shows those of the snapshot before, likewise host
/// sensors. Throws FormatError naming line and column; `path` is only for messages.
std::vector<Snapshot> parse_telemetry_trace(std::string_view text, const std::string& path);
/// Reads and parses a file. Throws FormatError, also when it is missing or unreadable.
std::vector<Snapshot> read_telemetry_trace(const std::string& path);

}  // namespace thermoe
