// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/cost_curve.h"
#include "core/routing_stats.h"
#include "core/units.h"

namespace thermoe {

/// The controller's view of a decode step: C(n) = repeat * sum over layers of (constant + sum over
/// experts of curve(n_le)). A plain value handed out by cost/ (docs/theory.md, C_r(n)).
struct StepCost {
  /// How many charged layers each layer of the running model stands for (`costed_as`).
  double layer_repeat = 1.0;
  Cost layer_constant{};
  /// One curve a precision variant (RoutingPlan::variant); at least one.
  std::vector<CostCurve> variants{};
  /// Power with clocks up and no work.
  Watts active_idle{};

  /// Cost of one charged layer with these loads. `variant` [experts] indexes `variants`; empty
  /// means variant 0 for all.
  Cost layer(std::span<const std::int32_t> counts,
             std::span<const std::uint8_t> variant = {}) const;
  /// Cost of a whole step. `variant` is [layers, experts] or empty.
  Cost step(const RoutingStats& stats, std::span<const std::uint8_t> variant = {}) const;
};

/// Mean power of a program that starts one step each `period`: idle + E / max(period, latency).
/// period 0 means saturated: the next step starts when the last ends.
Watts mean_power(const Cost& step, Seconds period, Watts active_idle);

}  // namespace thermoe
