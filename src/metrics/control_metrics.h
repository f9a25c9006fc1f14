// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/targets.h"
#include "metrics/exported_metrics.h"

namespace thermoe {

/// What a controller holds and does, and the work beside it, as of its newest tick. What a consumer
/// does not know stays absent.
struct ControlValues {
  /// Of all samples. A run's: experiment; an engine's, as vLLM has them: model_name, engine. Of two
  /// values with the same labels the later replaces the earlier.
  std::vector<MetricLabel> labels{};
  std::string strategy{};  ///< a label of the gauges: the counters go on from one to the next
  bool simulated = false;
  Targets targets{};
  std::optional<double> activation_price{};
  std::vector<int> active_experts{};  ///< by layer
  std::optional<double> kept_mass{};
  std::optional<bool> fallback{}, at_floor{}, violated{};
  std::optional<Seconds> step_time{}, step_period{};
  std::optional<Seconds> run_time{};
  /// Counters of the process; they never fall.
  std::optional<double> steps{}, tokens{};
  std::optional<Seconds> violation{};
  Seconds keep{10.0};  ///< older gauges are left out, counters stay
};

/// `since`: how long ago the values were handed over.
void add_control(MetricsPage& page, const ControlValues& values, Seconds since);

}  // namespace thermoe
