// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/targets.h"
#include "report/summary.h"

namespace thermoe {

/// The columns of metrics.csv that a report draws or counts.
enum class TickColumn : std::size_t {
  kTime,
  kPower,
  kPower1s,
  kTemperature,
  kGpuUtilisation,
  kMemoryUtilisation,
  kSteps,
  kTokens,
  kStepTime,
  kBits,
  kBaselineBits,
  kKl,
  kTop1,
  kActive,
  kLoadCv,
  kLambda,
  kLossTotal,
  kLossPower,
  kLossTemperature,
  kLossLatency,
  kLossThroughput,
  kLossQuality,
  kViolation,
  kCount
};

/// Name of the column in the file.
std::string_view column_name(TickColumn column);

/// One strategy's ticks, column by column, in the file's order; NaN where a cell is empty.
struct StrategyTicks {
  std::string name{};
  std::array<std::vector<double>, static_cast<std::size_t>(TickColumn::kCount)> columns{};
  int fallbacks = 0;  ///< times the controller fell back to BASELINE
  std::int64_t fallen_ticks = 0;

  std::span<const double> operator[](TickColumn column) const {
    return columns[static_cast<std::size_t>(column)];
  }
  std::size_t count() const { return columns.front().size(); }
};

/// What a run's metrics.csv holds.
struct RunTicks {
  std::vector<StrategyTicks> strategies{};  ///< in order of appearance
  Targets targets{};                        ///< of the first row
  bool simulated = true;
  bool torn = false;  ///< the last line was cut short and dropped: the run was killed
};

/// Reads a metrics.csv. Throws FormatError naming file, line and column: for a missing column, for
/// what is not a number, for a file without a single whole row.
RunTicks read_run_ticks(const std::string& path);

/// The figures of a strategy as far as its ticks go, for a run that never wrote its summary:
/// settling times and peak memory are absent. Requires a tick.
StrategySummary summarise_ticks(const StrategyTicks& ticks, const Targets& targets);

}  // namespace thermoe
