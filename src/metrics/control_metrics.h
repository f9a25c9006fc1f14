// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/targets.h"
#include "metrics/exported_metrics.h"

namespace thermoe {

/// Of an engine whose requests arrive. Counters and histograms are the process's.
struct ServingValues {
  int running = 0, waiting = 0;  ///< requests
  double batch = 0.0;            ///< mean sequences of a decode step
  double finished = 0.0;         ///< requests, a counter
  Histogram to_first_token{{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0}};
  Histogram between_tokens{{0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05,
                            0.075, 0.1, 0.25, 0.5, 1.0}};
};

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
  std::optional<ServingValues> serving{};
  Seconds keep{10.0};  ///< older gauges are left out, counters stay
};

/// `since`: how long ago the values were handed over.
void add_control(MetricsPage& page, const ControlValues& values, Seconds since);

}  // namespace thermoe
