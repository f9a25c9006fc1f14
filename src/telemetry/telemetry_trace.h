// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/snapshot.h"

namespace thermoe {

/// A recording that was read.
struct TelemetryTrace {
  std::string path{};
  /// In order, reading times unset; at least one. Each holds the devices that have a row of its
  /// time, GPUs by index.
  std::vector<Snapshot> snapshots{};
  std::vector<std::string> problems{};  ///< what was left out, a sentence a column
};

/// Parses a recording: CSV with a header line, columns by name in any order, one row a GPU (or host
/// sensor) and time. trace_writer.h writes such files; data/h100/thermal_trace.csv is one of a
/// single GPU. smi_trace.h reads nvidia-smi's own CSV instead, where the header is one of those.
///
/// - `t_s` is needed and never falls. Rows of one time are one snapshot.
/// - `gpu` is the GPU's index (0, 1, ...); without that column all rows are GPU 0's. `name` and
///   `uuid` are its own.
/// - `host` names a host sensor; its row leaves `gpu` empty.
/// - Sensors (trace_columns.h; at least one): power_w (1 s average), power_instant_w,
///   power_limit_w, temp_gpu_c, temp_mem_c, energy_j, util_gpu_pct, util_mem_pct, sm_clock_mhz,
///   memory_clock_mhz, throttle_reasons, energy_gaps; host_power_w, host_energy_j, host_temp_c,
///   host_energy_gaps.
/// - `simulated` is 1 where the snapshot's hardware was.
/// - A last line without its line break and with too few cells was torn, and is left out.
/// - Other columns are ignored; one that is nearly a known one is named in `problems`. An empty
/// cell
///   or a missing column is an absent reading.
/// - A cell that cannot be true is absent, a row without a time or a device is left out, and
///   `problems` says so.
///
/// Throws FormatError naming line and column for a file without a usable row, one in which time
/// falls or a device has two rows of one time, and two recordings in one file; `path` is only for
/// messages.
TelemetryTrace parse_telemetry_trace(std::string_view text, const std::string& path);
/// Reads and parses a file. Throws FormatError, also when it is missing or unreadable.
TelemetryTrace read_telemetry_trace(const std::string& path);

}  // namespace thermoe
