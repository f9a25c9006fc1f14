// SPDX-License-Identifier: Apache-2.0
#include "report/strategy_recorder.h"

#include <cmath>
#include <limits>

namespace thermoe {

StrategyRecorder::StrategyRecorder(RecorderOptions options)
    : options_(options.summary),
      ticks_{.name = std::move(options.name)},
      usage_(options.layers, options.experts),
      power_1s_(kTargetWindow, options_.tick) {
  for (const HeldTarget& target : held_targets(options_.targets)) {
    watched_.push_back({.target = target, .mean = MovingMean(kTargetWindow, options_.tick)});
  }
}

void StrategyRecorder::add(MetricsRow& row) {
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  const auto& power = row.truth.mean_power;
  const double last_second = power_1s_.add(power ? power->value : kUnknown);
  row.power_1s = std::isnan(last_second) ? std::nullopt : std::optional(Watts(last_second));
  row.violation = false;
  for (auto& [target, mean] : watched_) {
    const double value = target.unit * metrics_column(target.metric).number(row).value_or(kUnknown);
    row.violation |= mean.add(value) > upper_limit(target.kind, target.value);
  }
  ticks_.add(row);
  if (row.routed) usage_.add(row.stats);
}

StrategySummary StrategyRecorder::summary() const {
  StrategySummary summary = summarise(ticks_, options_);
  summary.expert_load_cv = usage_.mean_load().coefficient_of_variation;
  return summary;
}

}  // namespace thermoe
