// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/csv_reader.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {

/// Whether this is what `nvidia-smi --query-gpu=... --format=csv` wrote, by its header or, where
/// that was left out (noheader), by its first line.
bool is_smi_csv(const CsvReader& csv);

/// Reads it as a recording: `timestamp` is the time; GPUs are told apart by `index`, else by `uuid`
/// or `pci.bus_id` in the order of their appearance. One poll of several GPUs is one snapshot.
/// Units in header and cells may be there or not; `[N/A]` and `[Not Supported]` are absent
/// readings, other words in brackets too, and `problems` says so.
///
/// Throws FormatError with the remedy for a file without header or timestamp, and as
/// telemetry_trace.h says.
TelemetryTrace read_smi_csv(CsvReader& csv);

}  // namespace thermoe
