// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// A stretch of a calibration: steps of one kind, one each `period`, or none.
struct CalibrationWindow {
  int variant = 0;   ///< of the experts that work (RoutingPlan::variant)
  int active = 0;    ///< distinct experts of every layer: D; 0: no step runs
  Seconds period{};  ///< from start to start; 0: the next step begins when one ends
  Seconds settle{};  ///< its beginning, which counts for no mean: sensors lag behind the work
  Seconds length{};

  bool idle() const { return active == 0; }
  /// Only its edges are of use: they show how the sensors lag.
  bool counted() const { return settle < length; }
  bool operator==(const CalibrationWindow&) const = default;
};

struct CalibrationTiming {
  Seconds budget{90.0};        ///< longest that all windows may take, warm-up and pauses included
  Seconds warm_up{1.0};        ///< of each variant, back to back, before the plan is made
  Seconds window{3.0};         ///< a level; shorter where the budget is short
  Seconds settle{0.7};         ///< of a level
  Seconds idle{2.5};           ///< without work, first and last; its first half settles
  Seconds edge{0.6};           ///< least time on each side of an edge
  int edges = 6;               ///< bursts of work between rests
  Seconds change{0.05};        ///< allowed for going from one window to the next
  Seconds least_counted{0.5};  ///< shorter levels say nothing: the counter changes each 0.1 s
};

struct CalibrationPlanRequest {
  int variants = 1;
  std::vector<int> active{};  ///< ascending
  Seconds period{};           ///< of the experiment; 0: saturated
  Seconds longer_period{};    ///< at which no step is late
  std::uint64_t seed = 1;     ///< of the order
  CalibrationTiming timing{};
};

/// The D to measure: k, as many as a batch can reach, and up to four evenly between.
std::vector<int> active_grid(int k, int experts, int tokens);

/// The windows in their order: a rest; bursts for the sensor lag; every variant and D at the
/// period, at the longer one, and at the period again in reverse, so that what drifts with time
/// tells no D from another; a rest. Throws UsageError where the budget is too short.
std::vector<CalibrationWindow> plan_calibration(const CalibrationPlanRequest& request);

/// Of all windows, warm-up and changes included.
Seconds planned_time(const CalibrationPlanRequest& request,
                     const std::vector<CalibrationWindow>& windows);

}  // namespace thermoe
