// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/targets.h"
#include "report/strategy_ticks.h"
#include "report/summary.h"

namespace thermoe {

/// A target that is held, in the unit that its outcome is told in: W, degrees C or ms.
struct HeldTarget {
  TargetOutcome::Kind kind{};
  double value = 0.0;
  Metric metric{};    ///< what it caps
  double unit = 1.0;  ///< of the outcome: the metric's value times this
};
/// Those that are set, power first.
std::vector<HeldTarget> held_targets(const Targets& targets);

/// What a summary must know beside the ticks.
struct SummaryOptions {
  Targets targets{};
  Seconds tick{0.1};
  /// The start of the first disturbance of the hardware, or of the run: settling is counted from
  /// here, and must happen before `disturbed_until`. Absent: settling is not judged.
  std::optional<Seconds> disturbed_at{};
  std::optional<Seconds> disturbed_until{};
};

/// The figures of a strategy (definitions: docs/experiments.md) as far as its ticks tell: memory,
/// extrapolation and the evenness of expert loads are the caller's. Requires a tick.
StrategySummary summarise(const StrategyTicks& ticks, const SummaryOptions& options);

}  // namespace thermoe
