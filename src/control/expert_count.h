// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <vector>

#include "control/adaptive_tick.h"

namespace thermoe {

/// The rivals: the same targets, sensors, residuals and guard rails as KERNEL_AWARE_TTHA, but the
/// only lever is a number of experts, fractional by mixing whole ones over tokens. REDUCED_K: how
/// many a token takes. OPPORTUNISTIC: how many it keeps, before it fills up to k from what the
/// batch keeps. At the model's k both are BASELINE.
class ExpertCountController final : public Controller {
 public:
  /// Requires one of these two strategies.
  explicit ExpertCountController(const ControllerConfig& config);
  Decision decide(const Observation& observation) override;
  const ControllerState& state() const override { return tick_.state(); }

 private:
  /// Demands of the tick's sample at counts that divide 1..k evenly.
  std::vector<Demand> demands(const TickView& view) const;
  /// Mean demand at a fractional count over the recent samples: linear between the counts known.
  Demand at(double count) const;
  /// The largest count whose forecast meets the targets.
  double choose() const;
  RoutingPlan plan(double count) const;

  ControllerConfig config_;
  AdaptiveTick tick_;
  std::deque<std::vector<Demand>> recent_{};  ///< of a sample each
};

}  // namespace thermoe
