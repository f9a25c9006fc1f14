// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/calibration.h"

namespace thermoe {

/// STATIC_OPTIMAL: b, lambda and k_min calibrated once, then frozen. It listens to nothing: what it
/// lacks against KERNEL_AWARE_TTHA is adaptation, and only that.
class StaticOptimalController final : public Controller {
 public:
  explicit StaticOptimalController(const ControllerConfig& given);
  Decision decide(const Observation& observation) override;
  const ControllerState& state() const override { return state_; }

 private:
  Decision decision_;
  ControllerState state_{};
};

}  // namespace thermoe
