// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/expert_load.h"
#include "report/summarise.h"
#include "report/target_statistics.h"

namespace thermoe {

/// What the recorder must know about a run beside its ticks.
struct RecorderOptions {
  std::string name{};
  SummaryOptions summary{};
  int layers = 0;
  int experts = 0;
};

/// Collects one strategy's ticks and condenses them.
class StrategyRecorder {
 public:
  explicit StrategyRecorder(RecorderOptions options);

  /// Fills in the fields of the row that need history (1 s mean of power, violation), then records
  /// it.
  void add(MetricsRow& row);
  /// Requires at least one tick.
  StrategySummary summary() const;

 private:
  /// A target and the mean that it is judged by.
  struct Watched {
    HeldTarget target{};
    MovingMean mean;
  };

  SummaryOptions options_;
  StrategyTicks ticks_;
  ExpertUsage usage_;
  MovingMean power_1s_;
  std::vector<Watched> watched_{};
};

}  // namespace thermoe
