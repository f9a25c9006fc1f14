// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/targets.h"
#include "report/expert_load.h"
#include "report/metrics_row.h"
#include "report/summary.h"
#include "report/target_statistics.h"

namespace thermoe {

/// What the recorder must know about a run beside its ticks.
struct RecorderOptions {
  std::string name{};
  Targets targets{};
  Seconds tick{0.1};
  /// The first disturbance of the hardware: settling is counted from its start, and must happen
  /// before its end. Without one, from the start of the run.
  Seconds disturbed_at{};
  std::optional<Seconds> disturbed_until{};
  int layers = 0;
  int experts = 0;
};

/// Collects one strategy's ticks and condenses them (definitions: design, "Energy protocol").
class StrategyRecorder {
 public:
  explicit StrategyRecorder(RecorderOptions options);

  /// Fills in the fields of the row that need history (1 s mean of power, violation), then records
  /// it. `energy` is the tick's true energy.
  void add(MetricsRow& row, Joules energy);
  /// Requires at least one tick.
  StrategySummary summary() const;

 private:
  struct Tick {
    Watts power{};
    Celsius temperature{};
    Seconds step_time{};
    double steps = 0.0, tokens = 0.0, active = 0.0;
    bool at_floor = false;
  };

  bool violates(const MetricsRow& row, Seconds step_time_1s) const;
  std::vector<double> signal(TargetOutcome::Kind kind) const;
  TargetOutcome outcome(TargetOutcome::Kind kind, double target) const;
  void summarise_quality(StrategySummary& summary) const;

  RecorderOptions options_;
  MovingMean power_1s_;
  MovingMean step_1s_;
  std::vector<Tick> ticks_{};
  std::vector<StepQuality> quality_{};
  ExpertUsage usage_;
  Joules energy_{};
  double gpu_utilisation_ = 0.0;
  double memory_utilisation_ = 0.0;
  std::string fallback_{};
  int fallbacks_ = 0;
  int fallen_ticks_ = 0;
  std::vector<std::string> reasons_{};
};

}  // namespace thermoe
