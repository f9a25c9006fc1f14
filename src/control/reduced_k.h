// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <vector>

#include "control/adaptive_tick.h"

namespace thermoe {

/// REDUCED_K, the rival: the same targets, sensors and residuals as KERNEL_AWARE_TTHA, but its only
/// lever is the number of experts a token takes, fractional by mixing k and k + 1 over tokens.
class ReducedKController final : public Controller {
 public:
  explicit ReducedKController(const ControllerConfig& config);
  RoutingPlan decide(const Observation& observation) override;
  const ControllerState& state() const override { return tick_.state(); }

 private:
  /// Mean demand at a fractional k over the recent samples. The union of a mixed batch lies between
  /// those of its two k; linear in the share is an approximation that the trim absorbs.
  Demand at(double k) const;
  /// The largest k whose forecast meets the targets.
  double choose() const;

  ControllerConfig config_;
  AdaptiveTick tick_;
  std::deque<std::vector<Demand>> recent_{};  ///< a sample each: demand at k = 1, 2, ...
};

}  // namespace thermoe
