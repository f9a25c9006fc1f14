// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "core/snapshot.h"
#include "monitor/monitor_view.h"

namespace thermoe {

/// A poll as one line of JSON with its line break: t_s, utc, source, simulated, gpus, host and
/// problems. Sensors have the names of the CSV's columns (telemetry_trace.h); absent ones are null.
/// Throttle reasons come as bits and in words.
std::string json_line(const Snapshot& snapshot, std::string_view source, std::string_view utc);

/// A source in trouble: the same start, and `error`.
std::string json_error_line(Seconds at, std::string_view source, std::string_view utc,
                            std::string_view error);

/// A run's newest row: strategy, controller and targets; null where absent.
std::string json_run_line(const RunView& run, Seconds at, std::string_view utc);

}  // namespace thermoe
