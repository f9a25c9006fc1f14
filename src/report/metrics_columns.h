// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/csv_reader.h"
#include "report/metrics_row.h"

namespace thermoe {

/// The columns of metrics.csv, in the file's order; docs/experiments.md explains them. Those that
/// count each layer's active experts follow kKeptMass.
enum class Metric : std::size_t {
  kStrategy,
  kTime,
  kSimulated,
  // the hardware's truth
  kPower,
  kPower1s,
  kTemperature,
  kMemoryTemperature,
  kGpuUtilisation,
  kMemoryUtilisation,
  kSmClock,
  kThrottled,
  // what its sensors said
  kSensedInstantPower,
  kSensedAveragePower,
  kSensedTemperature,
  kSensedMemoryTemperature,
  kSensedEnergy,
  kSensedGpuUtilisation,
  kSensedMemoryUtilisation,
  kSensedSmClock,
  kSensedThrottleReasons,
  kSensedPowerAge,
  kSensedPowerUnchanged,
  // what was done to it
  kBackgroundPower,
  kBandwidthTaken,
  kAmbientOffset,
  kSensorFault,
  // work
  kSteps,
  kTokens,
  kStepTime,
  kStepPeriod,
  kLateSteps,
  kRepeatedSteps,
  kDecidedPeriod,
  kPeriodLimit,
  // of an engine under arrivals
  kBatch,
  kRows,
  kRunning,
  kWaiting,
  kArrived,
  kFinished,
  kMixedSteps,
  kFirstTokens,
  kFirstTokenTime,
  kFirstTokenP99,
  kBetweenTokens,
  kBetweenTokensP99,
  kTokensInTime,
  kBits,
  kBaselineBits,
  kKl,
  kTop1,
  // routing
  kActive,
  kLoadCv,
  kLoadMaxShare,
  kKeptMass,
  kQualityLoss,
  // control
  kLambda,
  kBiasNorm,
  kPredictedPower,
  kPowerResidual,
  kPredictedTemperature,
  kTemperatureResidual,
  kPredictedStep,
  kStepResidual,
  kPredictedActive,
  kPredictedKeptMass,
  kAtFloor,
  kLossTotal,
  kLossPower,
  kLossTemperature,
  kLossLatency,
  kLossThroughput,
  kLossQuality,
  kParameterShift,
  kLearningRate,
  kPowerTarget,
  kTemperatureTarget,
  kStepTarget,
  kBetweenTokensTarget,
  kFirstTokenTarget,
  kViolation,
  kFallback,
  kCount
};

inline constexpr auto kMetrics = static_cast<std::size_t>(Metric::kCount);

/// What a column is called, how it is written, and where its value comes from. A column of numbers
/// has `number`, one of words has `words`.
struct MetricsColumn {
  Metric metric{};
  std::string_view name{};
  std::optional<double> (*number)(const MetricsRow&) = nullptr;  ///< SI units; absent = empty cell
  double file_unit = 1.0;   ///< a cell is the value times this: 1e3 where the file has ms
  bool all_digits = false;  ///< a bit mask, a counter: seven digits would not do
  std::string_view (*words)(const MetricsRow&) = nullptr;
};

const MetricsColumn& metrics_column(Metric metric);
/// Name of the column in the file.
inline std::string_view column_name(Metric metric) { return metrics_column(metric).name; }
/// Name of the column that counts a layer's active experts.
std::string active_experts_column(int layer);
/// A number of the reader's row in SI units; absent where its cell is empty.
std::optional<double> metric_value(const CsvReader& csv, std::size_t place, Metric metric);
/// Whether older runs lack the column: of an engine under arrivals, which they did not have.
bool is_of_serving(Metric metric);
/// The header of metrics.csv.
std::vector<std::string> metrics_header(int layers);

}  // namespace thermoe
