// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "core/units.h"
#include "gpu_meter.h"
#include "row.h"

namespace thermoe::bench {

struct RunOptions {
  int rounds = 5;   ///< over all rows, in another order each, so that drift meets all alike
  int replays = 5;  ///< timed in each round, after one that is not
  std::optional<Seconds> energy_window{};  ///< measures joules over at least so long a row, ...
  std::regex energy_rows{};                ///< ... of those whose name matches
};

/// Of one call, while its row is replayed without a pause.
struct CallEnergy {
  Joules joules{};
  Watts watts{};
};

struct RowResult {
  Row row{};
  double bytes = 0.0;
  int calls = 0;             ///< in the graph
  std::vector<double> us{};  ///< a call, the mean of each timed replay
  std::optional<CallEnergy> energy{};
};

struct RunResult {
  std::vector<RowResult> rows{};  ///< those that were timed
  std::vector<double> sm_mhz{};   ///< read while the device was busy, once a row and round
  std::vector<double> memory_mhz{};
  std::vector<std::string> left_out{};  ///< rows that could not be prepared, with the reason
  bool complete = false;
};

/// Prepares all rows, then times them in rounds. `stop` ends it after the row in hand. `progress`
/// hears of what there is after each round.
RunResult run_rows(const std::vector<Row>& rows, const RunOptions& options, GpuMeter& meter,
                   const std::atomic<bool>& stop,
                   const std::function<void(const RunResult&)>& progress);

/// Only enqueues so many calls of each row and waits: for profilers and sanitizers. Throws what a
/// row throws.
void call_rows(const std::vector<Row>& rows, int calls);

/// The value below which the share `q` of the values lie, interpolated. Requires values.
double quantile(std::vector<double> values, double q);

}  // namespace thermoe::bench
