// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "metrics/histogram.h"
#include "metrics/metric_family.h"

namespace thermoe {

/// What thermoe exports, in the order of its page; docs/metrics.md explains each.
enum class Exported : std::size_t {
  kBuildInfo,
  kSourceUp,
  // a GPU, as its sensors say
  kGpuPower,
  kGpuPowerInstant,
  kGpuPowerLimit,
  kGpuEnergy,
  kGpuTemperature,
  kGpuMemoryTemperature,
  kGpuUtilisation,
  kGpuMemoryUtilisation,
  kGpuSmClock,
  kGpuMemoryClock,
  kGpuThrottleReasons,
  // a sensor domain of the host
  kHostPower,
  kHostEnergy,
  kHostTemperature,
  // what is asked of the controller, and what it does
  kTarget,
  kTargetViolated,
  kViolationSeconds,
  kActivationPrice,
  kPlanAtFloor,
  kFallbackActive,
  kActiveExperts,
  kKeptMass,
  kStepTime,
  kStepPeriod,
  kSteps,
  kTokens,
  // of an engine whose requests arrive
  kRequestsRunning,
  kRequestsWaiting,
  kBatchSequences,
  kRequestsFinished,
  kTimeToFirstToken,
  kInterTokenLatency,
  kRunTime,
  kCount
};

struct ExportedMetric {
  Exported id{};
  std::string_view name{};
  MetricType type = MetricType::kGauge;
  std::string_view help{};
};

/// All of them, by id.
std::span<const ExportedMetric> exported_metrics();

/// Collects samples into families, in the order of `Exported`.
class MetricsPage {
 public:
  MetricsPage();
  /// One sample; none where the value is absent or not finite.
  void add(Exported metric, std::vector<MetricLabel> labels, std::optional<double> value);
  /// Its buckets, sum and count.
  void add(Exported metric, const std::vector<MetricLabel>& labels, const Histogram& histogram);
  const std::vector<MetricFamily>& families() const { return families_; }

 private:
  std::vector<MetricSample>& samples(Exported metric);

  std::vector<MetricFamily> families_{};
};

}  // namespace thermoe
