// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "control/adaptive_tick.h"
#include "control/calibration.h"
#include "control/plan_adapter.h"

namespace thermoe {

/// KERNEL_AWARE_TTHA: each tick the least lambda whose forecast (model on recent logits + measured
/// residuals) meets the targets, on top of the adapter's biases. lambda is 0 while there is slack.
/// `adapter` may be null (dual only). With both, the adapter's proposal runs only in ticks where it
/// meets the targets with more kept mass than the dual alone, both by the exact rule on the recent
/// samples. In adapter-only mode lambda stays at its calibrated value times whatever the adapter
/// makes of it.
class KernelAwareTtha final : public Controller {
 public:
  KernelAwareTtha(const ControllerConfig& config, std::unique_ptr<PlanAdapter> adapter);
  Decision decide(const Observation& observation) override;
  const ControllerState& state() const override { return tick_.state(); }

 private:
  /// The prior's parameters plus what the adapter adds; the fault if it diverged.
  std::string adapt(const Observation& observation, const TickView& view,
                    PricingParameters& parameters);
  void learn_samples(const TickView& view);
  PriceChoice choose(DemandModel& model, const TickView& view) const;
  double shadow_price(const TickView& view, const Observation& observation) const;

  ControllerConfig config_;
  AdaptiveTick tick_;
  PricingParameters prior_;
  double fixed_lambda_;               ///< of adapter-only
  double dual_lambda_ = 0.0;          ///< that the adapter's last proposal needed
  std::optional<Demand> expected_{};  ///< of that proposal, over the recent samples
  DemandModel model_;                 ///< priced by the prior
  DemandModel adapted_;               ///< priced by the prior and the adapter
  std::unique_ptr<PlanAdapter> adapter_;
};

}  // namespace thermoe
